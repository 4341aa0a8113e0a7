"""What values say of a column's content: check digits, number plans and syntax, by libraries that know them.

Values are looked at and forgotten: nothing here keeps, prints or raises one.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

import email_validator
import phonenumbers
from stdnum import iban, luhn
from stdnum.at import vnr
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.mx import curp
from stdnum.pl import pesel
from stdnum.us import ssn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# of a value no more is looked at; what is longer is text, not a number or an address
MAX_VALUE: Final = 320
# Card numbers have 13 to 19 digits (ISO/IEC 7812-1), and payment cards begin with 2 to 6.
_CARD: Final = re.compile(r"[2-6]\d(?:[ -]?\d){11,17}")
_SPACES: Final = re.compile(r"[ -]")
# a number that is dialled: an international or trunk prefix, or written in groups; and no date
_DIALLED: Final = re.compile(
    r"(?!\d{4}([-./])\d\d?\1\d\d?)(?!\d\d?([-./])\d\d?\2\d{2,4}$)"
    r"(?:(?:\+|00?)[\d ()/.-]{6,24}|\(?\d{2,5}\)?[ /.-][\d /.-]{4,20})"
)
# where a number without a country may come from
_REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BR", "IN")
# hashes of passwords as crypt(3) and its kin write them, JSON web tokens, keys in PEM, tokens by prefix
_SECRET: Final = re.compile(
    r"\$(?:2[abxy]|argon2\w+|5|6|y|scrypt|pbkdf2[\w-]*)\$.{10,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*|SCRAM-SHA-256\$.+|md5[0-9a-f]{32}"
    r"|(?:sk|pk|rk)_(?:live|test)_\w{10,}|gh[pousr]_\w{20,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}",
    re.DOTALL,
)
# Check digits leave few numbers by chance, and a column is of one country's numbers.
_NATIONAL: Final[tuple[Callable[[str], bool], ...]] = (
    *(idnr.is_valid, nir.is_valid, dni.is_valid, nie.is_valid, codicefiscale.is_valid, cpf.is_valid),
    *(nn.is_valid, pesel.is_valid, ahv.is_valid, vnr.is_valid, curp.is_valid),
)
_US_SSN: Final = re.compile(r"\d{3}-\d{2}-\d{4}")


def _email(value: str) -> bool:
    if "@" not in value:
        return False
    try:
        email_validator.validate_email(value, check_deliverability=False, test_environment=True)
    except email_validator.EmailNotValidError:
        return False
    return True


def _card(value: str) -> bool:
    return _CARD.fullmatch(value) is not None and luhn.is_valid(_SPACES.sub("", value))


def _iban(value: str) -> bool:
    return value[:2].isalpha() and iban.is_valid(value)


def _phone(value: str) -> bool:
    if _DIALLED.fullmatch(value) is None:
        return False
    if value.startswith("00"):
        value = f"+{value[2:]}"
    if value.startswith("+"):
        return _parsed(value, None, phonenumbers.is_possible_number)
    return any(_parsed(value, region, phonenumbers.is_valid_number) for region in _REGIONS)


def _parsed(value: str, region: str | None, check: Callable[[phonenumbers.PhoneNumber], bool]) -> bool:
    try:
        return check(phonenumbers.parse(value, region))
    except phonenumbers.NumberParseException:
        return False


def _national(value: str) -> bool:
    if len(_SPACES.sub("", value)) < 8:
        return False
    if _US_SSN.fullmatch(value):
        return ssn.is_valid(value)
    return any(check(value) for check in _NATIONAL)


def _ip(value: str) -> bool:
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return False
    return "." in value or ":" in value


def _secret(value: str) -> bool:
    return _SECRET.fullmatch(value) is not None


# The first one that most values fit is meant: what is special stands before what is general.
MATCHERS: Final[Mapping[str, Callable[[str], bool]]] = {
    "secret": _secret,
    "pii.email": _email,
    "pci.pan": _card,
    "pii.bank": _iban,
    "pii.national": _national,
    "pii.ip": _ip,
    "pii.phone": _phone,
}


def matches(values: Iterable[str]) -> dict[str, int]:
    """How many of the values fit each label that values can tell."""
    found = dict.fromkeys(MATCHERS, 0)
    for raw in values:
        value = raw.strip()
        if 0 < len(value) <= MAX_VALUE:
            for label, fits in MATCHERS.items():
                found[label] += fits(value)
    return found

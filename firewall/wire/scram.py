"""SCRAM-SHA-256, both sides, over `scramp`; and the md5 answer (manual, section 54.3; RFC 5802, RFC 7677).

The arithmetic and the grammar of the messages are scramp's. What is here is what Postgres does differently:
the user name inside the exchange is ignored (libpq sends none), a password that SASLprep forbids is used as
it is, and a client picks its mechanism for good with its first message.
Messages come before anyone is known, so their length is bounded before they are looked at.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Self, TypeVar

import scramp
from cryptography import x509
from scramp.utils import ServerError, h, hi, saslprep
from scramp.utils import hmac as keyed

from firewall.errors import FirewallError, ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"

BINDING: Final = "tls-server-end-point"
"""The one channel binding that Postgres knows: a hash of the server's certificate (RFC 5929, section 4)."""

LONGEST_MESSAGE: Final = 4096
"""Bytes of one SASL message; an honest one has a few hundred."""

ITERATIONS: Final = 4096
"""Postgres's default of `scram_iterations`, and the least that RFC 7677 allows and scramp takes."""

MOST_ITERATIONS: Final = 10_000_000
"""The most that scramp takes, from a server as well: more would be a way to keep us busy."""

SALT_LENGTH: Final = 16
"""Postgres's SCRAM_DEFAULT_SALT_LEN. Salts of one length keep real verifiers and mock ones alike."""

SHORTEST_SALT: Final = 12
"""The shortest that scramp takes."""


class ScramFailed(FirewallError):
    """The other side does not know the password (28P01), or cannot prove that it does."""

    sqlstate: Final = "28P01"


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is stored of a password: enough to check it, not enough to sign in with it elsewhere.

    `str` gives the form in which Postgres stores it (manual, pg_authid), `parse` reads it. Raises
    FirewallError for lengths and iterations that could not be served.
    """

    # INVARIANT: 10. Secrets reach no log: the keys do not print themselves.

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __post_init__(self) -> None:
        if not ITERATIONS <= self.iterations <= MOST_ITERATIONS:
            raise FirewallError(
                f"a SCRAM verifier of {self.iterations} iterations: "
                f"{ITERATIONS} to {MOST_ITERATIONS} are allowed",
                hint="set the password again",
            )
        if len(self.salt) < SHORTEST_SALT or {len(self.stored_key), len(self.server_key)} != {32}:
            raise FirewallError(
                f"a SCRAM verifier has a salt of at least {SHORTEST_SALT} bytes and two keys of 32",
                hint="set the password again",
            )

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int = ITERATIONS) -> Self:
        """The verifier of a password. `salt` is SALT_LENGTH random bytes."""
        salted = hi(sha256, _prepared(password), salt, iterations)
        stored_key = h(sha256, keyed(sha256, salted, b"Client Key"))
        return cls(iterations, salt, stored_key, keyed(sha256, salted, b"Server Key"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The verifier in its stored form. Raises FirewallError if it is not one."""
        try:
            mechanism, cost, keys = text.split("$")
            iterations, salt = cost.split(":")
            stored, server = (b64decode(key, validate=True) for key in keys.split(":"))
            raw = b64decode(salt, validate=True)
            count = int(iterations) if iterations.isascii() and iterations.isdecimal() else 0
        except ValueError:
            mechanism = ""
        if mechanism != MECHANISM:
            raise FirewallError(
                f"a stored SCRAM verifier is not of the form `{MECHANISM}$iterations:salt$stored:server`",
                hint="set the password again",
            )
        return cls(count, raw, stored, server)

    def __str__(self) -> str:
        salt, stored, server = (b64encode(x).decode() for x in (self.salt, self.stored_key, self.server_key))
        return f"{MECHANISM}${self.iterations}:{salt}${stored}:{server}"

    def __repr__(self) -> str:
        return f"Verifier(iterations={self.iterations})"


def doomed(name: str, secret: bytes, iterations: int = ITERATIONS) -> Verifier:
    """A verifier that no password satisfies, always the same for one name.

    An unknown name is met with it, so that the exchange looks and takes as long as with a known one. `secret`
    keeps others from working out the salt; it must outlive restarts.
    """

    def derived(purpose: str) -> bytes:
        return hmac.digest(secret, f"{purpose}\0{name}".encode(errors="surrogateescape"), "sha256")

    return Verifier(iterations, derived("salt")[:SALT_LENGTH], derived("stored key"), derived("server key"))


def offered(binding: bytes | None) -> tuple[str, ...]:
    """The mechanisms to offer a client, best first; -PLUS where there is a certificate to bind to."""
    return (MECHANISM,) if binding is None else (MECHANISM_PLUS, MECHANISM)


def certificate_binding(certificate: bytes) -> bytes | None:
    """The channel binding data of a certificate in DER form, or None where none is defined (Ed25519).

    RFC 5929, section 4.1: the hash of the certificate's own signature, SHA-256 instead of MD5 and SHA-1.
    """
    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in {"md5", "sha1"} else algorithm.name
    return hashlib.new(name, certificate).digest()


class ScramServer:
    """Our side of signing a client in: `first`, then `final`; good for one exchange.

    `mechanism` is the one that the client chose; `binding` the channel binding data if -PLUS was offered;
    `nonce` our part of the nonce, printable ASCII without comma, drawn from the system if not given.
    Both methods raise ProtocolViolation for what no honest client sends.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        mechanism: str = MECHANISM,
        binding: bytes | None = None,
        nonce: str | None = None,
    ) -> None:
        if mechanism not in offered(binding):
            raise ProtocolViolation(
                f"the client chose the SASL mechanism `{mechanism[:64]}`, which was not offered",
                hint=f"use {' or '.join(offered(binding))}",
            )
        self._plus = mechanism == MECHANISM_PLUS
        known = (verifier.salt, verifier.stored_key, verifier.server_key, verifier.iterations)
        self._exchange = scramp.ScramMechanism(mechanism).make_server(
            lambda _: known,
            channel_binding=None if binding is None else (BINDING, binding),
            s_nonce=nonce,
        )

    def first(self, data: bytes) -> bytes:
        """The server-first-message that answers a client-first-message."""
        flag, _, rest = _text(data).partition(",")
        authzid, _, bare = rest.partition(",")
        if authzid:
            raise ProtocolViolation(
                "the client asks for an authorization identity, which Postgres does not know",
                sqlstate="0A000",
                hint="leave the SASL authzid empty",
            )
        if flag.startswith("p=") and not self._plus:
            raise _malformed("it binds to the channel under a mechanism without channel binding")
        name, _, proper = bare.partition(",")
        if not name.startswith("n="):
            raise _malformed("it does not begin with a user name")

        def answer() -> str:
            # scramp takes no empty user name, but the exchange must be hashed as it was sent
            self._exchange.set_client_first(f"{flag},,n=ignored,{proper}")
            self._exchange.client_first_bare = bare
            return str(self._exchange.get_server_first())

        return _checked(answer).encode()

    def final(self, data: bytes) -> bytes:
        """The server-final-message for a client-final-message; raises ScramFailed if its proof is wrong."""
        text = _text(data)

        def answer() -> str:
            self._exchange.set_client_final(text)
            return str(self._exchange.get_server_final())

        return _checked(answer).encode()


class ScramClient:
    """Our side of signing in upstream: `first`, `final`, `verify`; good for one exchange.

    `mechanisms` are the server's; `binding` is its certificate's channel binding data, if TLS is on.
    `mechanism` is what was chosen. Raises ProtocolViolation if nothing offered can be spoken.
    """

    def __init__(
        self,
        password: str,
        *,
        mechanisms: tuple[str, ...] = (MECHANISM,),
        binding: bytes | None = None,
        nonce: str | None = None,
    ) -> None:
        spoken = [mechanism for mechanism in mechanisms if mechanism in offered(binding)]
        if not spoken:
            raise ProtocolViolation(
                f"the server offers none of the SASL mechanisms {', '.join(offered(binding))}",
                sqlstate="0A000",
                hint="set `password_encryption` to `scram-sha-256` upstream and the password again",
            )
        # the user name is ignored by Postgres: the startup message has said it
        self._exchange = scramp.ScramClient(
            spoken,
            "*",
            "replaced",
            channel_binding=None if binding is None else (BINDING, binding),
            c_nonce=nonce,
        )
        self._exchange.password = _prepared(password)
        self.mechanism: str = self._exchange.mechanism_name

    def first(self) -> bytes:
        """The client-first-message."""
        return _checked(lambda: str(self._exchange.get_client_first())).encode()

    def final(self, server_first: bytes) -> bytes:
        """The client-final-message; raises ProtocolViolation if the server's message is malformed."""
        text = _text(server_first)

        def answer() -> str:
            self._exchange.set_server_first(text)
            return str(self._exchange.get_client_final())

        return _checked(answer).encode()

    def verify(self, server_final: bytes) -> None:
        """Raises ScramFailed unless the server has proven that it knows the password too."""
        text = _text(server_final)
        try:
            self._exchange.set_server_final(text)
        except scramp.ScramException as error:
            raise ScramFailed(
                "the server did not prove that it knows the password",
                hint="check the upstream address: another server may be answering there",
            ) from error


def md5_response(user: str, password: str, salt: bytes) -> str:
    """The password to send when asked by AuthenticationMD5Password (manual, section 54.2.1)."""
    inner = hashlib.md5(f"{password}{user}".encode(errors="surrogateescape"), usedforsecurity=False)
    outer = hashlib.md5(inner.hexdigest().encode() + salt, usedforsecurity=False)
    return f"md5{outer.hexdigest()}"


def _prepared(password: str) -> bytes:
    """The password as both ends hash it: by SASLprep (RFC 4013), or as it is where SASLprep forbids it."""
    try:
        prepared = saslprep(password)
    except scramp.ScramException:
        prepared = ""
    try:
        return (prepared or password).encode(errors="surrogateescape")
    except UnicodeEncodeError:
        # half a surrogate pair stands for no byte; both ends hash it in the same way
        return (prepared or password).encode(errors="surrogatepass")


def _text(data: bytes) -> str:
    if len(data) > LONGEST_MESSAGE:
        raise _malformed(f"{len(data)} bytes are more than {LONGEST_MESSAGE}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    if "\0" in text:
        raise _malformed("it holds NUL")
    return text


def _checked(step: Callable[[], T]) -> T:
    try:
        return step()
    except scramp.ScramException as error:
        match error.server_error:
            case ServerError.INVALID_PROOF:
                raise ScramFailed("password authentication failed") from error
            case ServerError.SERVER_DOES_SUPPORT_CHANNEL_BINDING:
                raise ProtocolViolation(
                    "SCRAM channel binding negotiation error: -PLUS was offered",
                    sqlstate="28000",
                    hint="something on the way may be taking the offer out; check the network",
                ) from error
            case ServerError.CHANNEL_BINDINGS_DONT_MATCH:
                raise ProtocolViolation(
                    "SCRAM channel binding check failed: the client saw another certificate",
                    sqlstate="28000",
                    hint="something on the way may be ending TLS; check the network",
                ) from error
            case _:
                raise _malformed(str(error.args[0]).rstrip(".")) from error


def _malformed(why: str) -> ProtocolViolation:
    return ProtocolViolation(f"malformed SCRAM message: {why}", hint="use a driver that speaks SCRAM-SHA-256")

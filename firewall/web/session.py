"""Who is at the browser: a sealed cookie, a token for each form, and the origin of each post.

The cookie is a Fernet token (encrypted, authenticated, dated), so nothing about a session is kept here except
which ones were signed out before their time. Nothing in it is a credential for anything but this console.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firewall import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

# a working day; a browser left open overnight must sign in again
SESSION_SECONDS = 8 * 3600
# time to find the token while the sign-in page is open
DOOR_SECONDS = 3600
MIN_KEY_BYTES = 32
# with the prefix a browser takes the cookie only over https, from this very host (RFC 6265bis, 4.1.3.2)
HOST_PREFIX = "__Host-"
SESSION_COOKIE = "firewall-session"
# what the sign-in form's token is bound to; another name, so that opening the page signs nobody out
DOOR_COOKIE = "firewall-door"
# what is remembered while a person signs in elsewhere
AWAY_COOKIE = "firewall-away"


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser's session. `person` is empty at the door; `ends` is Unix seconds.

    by: the channel by which the person came in.
    """

    person: str
    nonce: str
    ends: int
    by: str = ""


@dataclass(slots=True)
class Seal:
    """Makes and reads the cookies. `ended` holds signed-out nonces until they would expire by themselves."""

    key: bytes = field(repr=False)
    _fernet: Fernet = field(init=False, repr=False)
    _away: Fernet = field(init=False, repr=False)
    _form_key: bytes = field(init=False, repr=False)
    _ended: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < MIN_KEY_BYTES:
            raise ValueError(f"the cookie key has {len(self.key)} bytes; it needs {MIN_KEY_BYTES}")
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive(self.key, b"firewall console cookie 1")))
        self._away = Fernet(base64.urlsafe_b64encode(_derive(self.key, b"firewall console away 1")))
        self._form_key = _derive(self.key, b"firewall console form 1")

    def open(self, person: str, seconds: int = SESSION_SECONDS, *, by: str = "") -> Visit:
        """A new session, under a nonce that no one has seen."""
        return Visit(person, secrets.token_urlsafe(18), _now() + seconds, by)

    def write(self, visit: Visit) -> str:
        content = json.dumps([visit.person, visit.nonce, visit.ends, visit.by]).encode()
        return self._fernet.encrypt_at_time(content, _now()).decode()

    def read(self, sealed: str) -> Visit | None:
        """The session of a cookie, or None if it is forged, expired or signed out."""
        try:
            # base64 can be spelt in more than one way; only our own spelling is taken
            if base64.urlsafe_b64encode(base64.urlsafe_b64decode(sealed)).decode() != sealed:
                return None
            person, nonce, ends, by = json.loads(self._fernet.decrypt(sealed.encode()))
        except (InvalidToken, ValueError):
            return None
        visit = Visit(person, nonce, ends, by)
        return visit if self.stands(visit) else None

    def put_away(self, text: str) -> str:
        """Sealed by another key than sessions are: neither can pass for the other."""
        return self._away.encrypt_at_time(text.encode(), _now()).decode()

    def take_back(self, sealed: str, seconds: int) -> str | None:
        """What was put away no longer ago than that."""
        try:
            return self._away.decrypt_at_time(sealed.encode(), ttl=seconds, current_time=_now()).decode()
        except (InvalidToken, ValueError):
            return None

    def stands(self, visit: Visit) -> bool:
        """Whether the session is neither over nor signed out."""
        return visit.ends > _now() and visit.nonce not in self._ended

    def end(self, visit: Visit) -> None:
        """Sign out: a copy of the cookie is worth nothing from now on."""
        now = _now()
        self._ended = {nonce: ends for nonce, ends in self._ended.items() if ends > now}
        self._ended[visit.nonce] = visit.ends

    def form_token(self, visit: Visit) -> str:
        """The token that every form of this session carries."""
        return hmac.new(self._form_key, visit.nonce.encode(), hashlib.sha256).hexdigest()

    def form_token_fits(self, visit: Visit, token: str) -> bool:
        return hmac.compare_digest(self.form_token(visit).encode(), token.encode())


def cookie(request: Request, name: str) -> str:
    """The sealed value of that cookie, or nothing."""
    return request.cookies.get(_full(request, name), "")


def set_cookie(
    request: Request, response: Response, name: str, value: str, seconds: int, *, strict: bool = True
) -> None:
    """HttpOnly, SameSite, and Secure as soon as there is https to be secure on.

    strict: not sent with a request that another site began; the way back from a provider is one.
    """
    response.set_cookie(
        _full(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=_https(request),
        httponly=True,
        samesite="strict" if strict else "lax",
    )


def drop_cookie(request: Request, response: Response, name: str) -> None:
    set_cookie(request, response, name, "", 0)


def same_origin(request: Request) -> bool:
    """Whether a post comes from this console's own pages.

    `Origin` is sent by every browser with a post; an old one that leaves it out must send `Referer`.
    """
    return _same(request.headers, request.url.scheme, request.url.netloc)


def _same(headers: Mapping[str, str], scheme: str, netloc: str) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    claimed = headers.get("origin") or headers.get("referer") or ""
    try:
        parts = urlsplit(claimed)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (scheme, netloc.lower())


def _https(request: Request) -> bool:
    return request.url.scheme == "https"


def _full(request: Request, name: str) -> str:
    return f"{HOST_PREFIX}{name}" if _https(request) else name


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)


def _now() -> int:
    return int(clock.now().timestamp())

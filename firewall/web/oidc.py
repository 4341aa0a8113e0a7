"""Sign-in by an OpenID Connect provider: authorization code with PKCE, state and nonce (OIDC Core 3.1).

What has to be remembered while the browser is away is sealed in a cookie of its own. Only a verified e-mail
address names a person, and only of people whom the firewall knows.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from firewall.answers import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

# asymmetric ones only: none can be made with what a client knows
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
SCOPE = "openid email"
TIMEOUT = aiohttp.ClientTimeout(total=10)
MAX_ANSWER = 1024 * 1024
LEEWAY_SECONDS = 60
# time to sign in at the provider
AWAY_SECONDS = 600


class OidcError(Exception):
    """Why nobody was signed in, in words for people; no token, code or secret."""


@dataclass(frozen=True, slots=True)
class Away:
    """What is remembered while the browser is at the provider, and where it goes after that."""

    state: str
    nonce: str
    verifier: str
    to: str

    @classmethod
    def begin(cls, to: str) -> Away:
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), to)

    def dump(self) -> str:
        return json.dumps([self.state, self.nonce, self.verifier, self.to])

    @classmethod
    def load(cls, text: str) -> Away:
        return cls(*json.loads(text))


@dataclass(frozen=True, slots=True)
class Oidc:
    """One provider. name: what the button says."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = "single sign-on"

    async def way(self, away: Away, redirect_uri: str) -> str:
        """Where the browser is sent to sign in. Raises OidcError."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
            endpoint = _text(await self._discover(http), "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": away.state,
            "nonce": away.nonce,
            "code_challenge": create_s256_code_challenge(away.verifier),
            "code_challenge_method": "S256",
        }
        return str(add_params_to_uri(endpoint, list(query.items())))

    async def person(self, away: Away, state: str, code: str, redirect_uri: str) -> str:
        """The verified e-mail address of who came back with the code. Raises OidcError."""
        if not code or not hmac.compare_digest(state.encode(), away.state.encode()):
            raise OidcError("the answer belongs to another sign-in; begin again")
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
            found = await self._discover(http)
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "client_id": self.client_id,
                "code_verifier": away.verifier,
                **({"client_secret": self.client_secret} if self.client_secret else {}),
            }
            answer = await _json(http, "POST", _text(found, "token_endpoint"), form)
            keys = await _json(http, "GET", _text(found, "jwks_uri"))
        return self._named(_text(answer, "id_token"), keys, away.nonce)

    def _named(self, token: str, keys: Any, nonce: str) -> str:
        """OpenID Connect Core 3.1.3.7."""
        try:
            claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.client_id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OidcError(f"the provider's token cannot be believed ({type(error).__name__})") from error
        audience = claims["aud"]
        party = claims.get("azp", self.client_id)
        if party != self.client_id or (isinstance(audience, list) and audience != [self.client_id]):
            raise OidcError("the provider's token is meant for others, too")
        email = claims.get("email")
        if claims.get("email_verified") is not True or not isinstance(email, str) or not email:
            raise OidcError("the provider does not vouch for an e-mail address")
        return email

    async def _discover(self, http: aiohttp.ClientSession) -> Any:
        found = await _json(http, "GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if _text(found, "issuer") != self.issuer:
            raise OidcError("the provider calls itself otherwise than the settings do")
        return found


async def _json(
    http: aiohttp.ClientSession, method: str, url: str, form: Mapping[str, str] | None = None
) -> Any:
    try:
        async with http.request(method, url, data=form, allow_redirects=False) as answer:
            if answer.status != 200:
                raise OidcError(f"the provider answers {answer.status}")
            return json.loads(await whole(answer, MAX_ANSWER))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise OidcError(f"the provider cannot be asked ({type(error).__name__})") from error


def _text(found: Any, name: str) -> str:
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, str):
        raise OidcError(f"the provider's answer has no `{name}`")
    return value

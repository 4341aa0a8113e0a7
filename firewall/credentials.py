"""Issues what agents and people sign in with. A token is shown once; only what verifies it is stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from firewall import audit, clock, ids, wire

if TYPE_CHECKING:
    from firewall.store import Store

# 256 random bits, so that a fast hash of a token cannot be turned back into it.
TOKEN_BYTES = 32
# time to get from the terminal to the browser
LINK_SECONDS = 300


def token_hash(token: str) -> str:
    """What is stored of a person's token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


async def add_agent(
    store: Store, name: str, *, owner: str, issuer: str, team: str = "", certificate: str = ""
) -> str:
    """Make an agent and return its token. Raises StoreError if there is one of that name.

    certificate: a name in client certificates by which it may sign in as well; empty for none.
    """
    token = f"qfa_{secrets.token_urlsafe(TOKEN_BYTES)}"
    record = _record("issued", "agent", name, owner=owner, by=issuer, certificate=certificate)
    await store.add_agent(name, owner, issuer, _verifier(token), [record], team=team, certificate=certificate)
    return token


async def renew_agent(store: Store, name: str, *, issuer: str) -> str:
    """Give an agent a new token; the old one is void. Raises StoreError if there is no such agent."""
    token = f"qfa_{secrets.token_urlsafe(TOKEN_BYTES)}"
    record = _record("reissued", "agent", name, by=issuer)
    await store.set_agent(name, [record], verifier=_verifier(token), issuer=issuer)
    return token


async def certify_agent(store: Store, name: str, certificate: str, *, issuer: str) -> None:
    """Let an agent in by certificates of this name, or of none. Raises StoreError if it is unknown."""
    record = _record("reissued", "agent", name, by=issuer, certificate=certificate)
    await store.set_agent(name, [record], certificate=certificate, issuer=issuer)


async def switch_agent(store: Store, name: str, *, disabled: bool, by: str) -> None:
    """Lock an agent out, or let it in again. Raises StoreError if there is no such agent."""
    event = "disabled" if disabled else "enabled"
    await store.set_agent(name, [_record(event, "agent", name, by=by)], disabled=disabled)


async def add_person(store: Store, name: str, *, issuer: str) -> str:
    """Make a token with which a person signs in to console, API and command line."""
    token = f"qfp_{secrets.token_urlsafe(TOKEN_BYTES)}"
    name = name.lower()
    record = _record("issued", "person", name, by=issuer)
    await store.add_token(name, token_hash(token), issuer, [record])
    return token


async def link_person(store: Store, name: str, *, issuer: str) -> str:
    """Make the secret of a link by which a person signs in to the console, once and soon."""
    secret = f"qfl_{secrets.token_urlsafe(TOKEN_BYTES)}"
    name, now = name.lower(), clock.now()
    record = _record("linked", "person", name, by=issuer)
    await store.links.add(token_hash(secret), name, now + timedelta(seconds=LINK_SECONDS), [record])
    return secret


async def revoke_person(store: Store, name: str, *, by: str) -> bool:
    """Void every token of a person; false if there was none."""
    name = name.lower()
    return await store.revoke_tokens(name, [_record("disabled", "person", name, by=by)])


def _verifier(token: str) -> str:
    return str(wire.Verifier.of(token, secrets.token_bytes(wire.SALT_LENGTH)))


def _record(
    event: str, subject: str, name: str, *, by: str, owner: str = "", certificate: str = ""
) -> audit.Credential:
    return audit.Credential.model_validate(
        {
            "id": ids.record_id(),
            "at": clock.stamp(clock.now()),
            "event": event,
            "subject": subject,
            "name": name,
            "owner": owner,
            "by": by,
            "certificate": certificate,
        }
    )

"""The firewall's keys on disk: the log's signing key; beside it, for auditors, the public half that they need
to verify; and the secret by which masked values are hashed.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from firewall import audit
from firewall.errors import ConfigurationError, Place, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.config import Settings


# whoever can guess the secret of hashes can try values; 16 bytes nobody guesses
SHORTEST: Final = 16


def derived(secret: bytes, purpose: str) -> bytes:
    """A secret for one purpose, of one that the operator keeps already."""
    return hmac.digest(secret, f"query-firewall/{purpose}".encode(), "sha256")


def mask_key(settings: Settings, seed: bytes) -> bytes:
    """The key of hashed values: of the file that several firewalls share, or of this one's own seed.

    Raises ConfigurationError.
    """
    path = settings.mask_key
    if path is None:
        return derived(seed, "mask")
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        why = f"`{path}` cannot be read ({error.strerror}); make it with `openssl rand -hex 32`"
        raise ConfigurationError((Problem(Place(path), "mask_key", why),)) from None
    if len(secret) < SHORTEST:
        why = f"it has {len(secret)} bytes, and can be guessed; make one with `openssl rand -hex 32`"
        raise ConfigurationError((Problem(Place(path), "mask_key", why),))
    return derived(secret, "mask")


def public_path(key: Path) -> Path:
    """Where the public half of a key file stands."""
    return key.with_name(f"{key.name}.pub")


def signing_key(settings: Settings) -> audit.SigningKey:
    """The log's key, made on first use; `KEY.pub` is written beside it. Raises ConfigurationError."""
    if not settings.key.exists():
        try:
            made = audit.SigningKey.generate(settings.origin)
        except audit.NoteError as error:
            raise ConfigurationError((Problem(Place(settings.key), "origin", str(error)),)) from None
        made.save(settings.key)
    key = audit.SigningKey.load(settings.key)
    public = public_path(settings.key)
    # `firewall audit key` shows it at any time, so that a directory that cannot be written is no error
    if not public.exists():
        with suppress(OSError):
            public.write_text(f"{key.public}\n", encoding="utf-8")
    return key

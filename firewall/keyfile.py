"""The log's signing key on disk, and beside it, for auditors, the public half that they need to verify."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from firewall import audit
from firewall.errors import ConfigurationError, Place, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.config import Settings


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

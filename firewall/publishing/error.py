"""What a place says when it does not take a checkpoint, and how long it may take to say so."""

from __future__ import annotations

from typing import Final

from firewall.errors import FirewallError

CALL_SECONDS: Final = 15


class PublishError(FirewallError):
    """A place that did not take a checkpoint, or cannot be read; shows no secret."""

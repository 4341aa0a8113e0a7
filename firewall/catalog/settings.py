"""Settings that hold secrets: by name, since a value tells nothing."""

from __future__ import annotations

import re
from typing import Final

# the server's own: the password of a standby's connection, how the passphrase of the key is got
SERVER_SECRETS: Final = frozenset({"primary_conninfo", "ssl_passphrase_command"})
# settings of applications and extensions, which have a dot in their names: `app.jwt_secret`
_SECRET: Final = re.compile(
    r"passw|passphrase|secret|token|credential|conninfo|(api|access|private|encryption|signing)_?key"
)


def is_secret(name: str) -> bool:
    """Whether a setting of this name, in lower case, holds a secret where it has a value."""
    return name in SERVER_SECRETS or ("." in name and _SECRET.search(name) is not None)

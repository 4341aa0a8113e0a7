"""The public keys that logs are verified with: the settings', named ones, or those beside a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from firewall import audit
from firewall.cli.exits import Usage
from firewall.keyfile import public_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.cli.terminal import Terminal

KEY_NAME = "firewall.key"


def own(terminal: Terminal) -> audit.VerifyingKey:
    """The settings' key; its public half is enough."""
    path = terminal.settings.key
    public = public_path(path)
    return _read(public) if public.is_file() and not path.is_file() else audit.SigningKey.load(path).public


def given(keys: Sequence[str]) -> list[audit.VerifyingKey]:
    """Each a key, or a file with one. Raises Usage."""
    return [_parse(one, "--key") if one.count("+") > 1 else _read(Path(one)) for one in keys]


def beside(url: str) -> list[audit.VerifyingKey]:
    """The keys next to a SQLite store."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    local = parsed is not None and parsed.drivername == "sqlite" and parsed.database
    folder = Path(local).parent if local else None
    paths = sorted(folder.glob("*.pub")) if folder and folder.is_dir() else []
    if not paths and folder and (folder / KEY_NAME).is_file():
        paths = [folder / KEY_NAME]
    if not paths:
        raise Usage(
            "the log's public key is not known",
            hint="give it with --key; `firewall audit key` shows it where the firewall runs",
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> audit.VerifyingKey:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Usage(f"the key file `{path}` cannot be read ({reason})") from None
    if text.startswith("PRIVATE+"):
        return audit.SigningKey.load(path).public
    return _parse(text, str(path))


def _parse(text: str, where: str) -> audit.VerifyingKey:
    try:
        return audit.VerifyingKey.parse(text)
    except audit.NoteError as error:
        raise Usage(
            f"{where}: {error}", hint="`firewall audit key` shows it where the firewall runs"
        ) from None

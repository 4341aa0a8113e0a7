"""Signed tree heads: a C2SP signed-note with a C2SP tlog-checkpoint inside.

https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint. A note is plain text that any tool of the
transparency ecosystem can check.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall.audit.keys import (
    KEY_HASH_BYTES,
    SIGNATURE,
    NoteError,
    SigningKey,
    UnknownSignerError,
    VerifyingKey,
    unbase64,
)
from firewall.audit.merkle import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

# 2**64 - 1 has 20 digits; no log is longer
_MAX_SIZE_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: `size` records of the log `origin` have the Merkle root `root`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The note's text (tlog-checkpoint, "Format")."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Undo `text`."""
        if not text.endswith("\n"):
            raise NoteError("a checkpoint ends with a line break")
        origin, *rest = text[:-1].split("\n")
        if len(rest) < 2 or not origin:
            raise NoteError("a checkpoint has an origin, a size and a root, each on its own line")
        size, root, *extensions = rest
        if (
            not (size.isascii() and size.isdigit())
            or len(size) > _MAX_SIZE_DIGITS
            or (size[0] == "0" and size != "0")
        ):
            raise NoteError(f"`{size[:40]}` is not the size of a log: decimal digits, no leading zero")
        hashed = unbase64(root)
        if len(hashed) != HASH_BYTES:
            raise NoteError(f"the root of a checkpoint is a base64 hash of {HASH_BYTES} bytes")
        if not all(extensions):
            raise NoteError("an extension line of a checkpoint is never empty")
        return cls(origin, int(size), hashed, tuple(extensions))


def sign_checkpoint(key: SigningKey, checkpoint: Checkpoint) -> str:
    """The tree head as a signed note."""
    return key.sign(checkpoint.text())


def open_note(note: str, keys: Iterable[VerifyingKey]) -> str:
    """The text of a note that at least one of `keys` signed; NoteError if none did or one is forged.

    Signatures by unknown keys are passed over (signed-note, "Signatures"); one that names a known key and
    does not hold condemns the note.
    """
    text, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("a signed note is a text, an empty line and signature lines")
    known = {(key.name, key.hash): key for key in keys}
    signers = 0
    text += "\n"
    for line in tail[:-1].split("\n"):
        name, space, encoded = line.removeprefix(SIGNATURE).partition(" ")
        if not line.startswith(SIGNATURE) or not space:
            raise NoteError("a signature line is written `— name base64`")
        blob = unbase64(encoded)
        key = known.get((name, blob[:KEY_HASH_BYTES]))
        if key is None:
            continue
        if not key.holds(blob[KEY_HASH_BYTES:], text):
            raise NoteError(f"the signature of `{name}` does not match what the note says")
        signers += 1
    if not signers:
        raise UnknownSignerError("no signature of the note is by a known key")
    return text


def open_checkpoint(note: str, keys: Iterable[VerifyingKey]) -> Checkpoint:
    """The tree head of a signed note. Only keys named after the head's own origin count."""
    origin = note.partition("\n")[0]
    return Checkpoint.parse(open_note(note, [key for key in keys if key.name == origin]))

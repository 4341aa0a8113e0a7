"""Ed25519 keys of logs and their text forms, as C2SP signed-note and Go's sumdb/note write them.

https://c2sp.org/signed-note. A log's key has the log's own name, its origin. The private half is shown by
`SigningKey.encoded` alone, for the key file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from firewall.errors import ConfigurationError, Place, Problem

if TYPE_CHECKING:
    from pathlib import Path

# signature type of Ed25519 in key hashes and encoded keys (signed-note, "Signature types")
ED25519 = b"\x01"
KEY_HASH_BYTES = 4
SIGNATURE = "— "
_PRIVATE = "PRIVATE+KEY"
_ENCODED_KEY_BYTES = 33
_KEY_PARTS = 3
_MODE_PRIVATE = 0o600
_MODE_OTHERS = 0o077


class NoteError(ValueError):
    """A note, checkpoint or key that is malformed, or a signature that does not hold; never shows a key."""


class UnknownSignerError(NoteError):
    """A note that none of the known keys signed."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half: all that an auditor needs."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        """The key id (signed-note, "Signatures"): first 4 bytes of SHA-256(name || 0x0A || type || key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:KEY_HASH_BYTES]

    def __str__(self) -> str:
        """The vkey string `name+hash+key` (signed-note, "Verifier keys")."""
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifyingKey:
        """Undo `str`."""
        parts = text.strip().split("+", _KEY_PARTS - 1)
        if len(parts) != _KEY_PARTS:
            raise NoteError("a public key is written `name+hash+base64`")
        name, hashed, encoded = parts
        key = cls(_name(name), _decode_key(encoded))
        if key.hash.hex() != hashed:
            raise NoteError(f"the public key of `{name}` does not match the hash that is written with it")
        return key

    def holds(self, signature: bytes, text: str) -> bool:
        """Did this key sign `text`?"""
        try:
            _public(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private half. Its text form is shown by `encoded` alone, for the key file."""

    name: str
    # INVARIANT: 10. secrets reach no log or error: the seed is in no repr
    seed: bytes = field(repr=False)
    _private: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_private", Ed25519PrivateKey.from_private_bytes(self.seed))

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """A fresh key for the log `name`."""
        return cls(_name(name), Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> VerifyingKey:
        return VerifyingKey(self.name, self._private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """`text`, an empty line and one signature line (signed-note, "Format")."""
        if not text.endswith("\n"):
            raise NoteError("the text of a note ends with a line break")
        signed = base64.b64encode(self.public.hash + self._private.sign(text.encode())).decode()
        return f"{text}\n{SIGNATURE}{self.name} {signed}\n"

    def encoded(self) -> str:
        """`PRIVATE+KEY+name+hash+base64`, as Go's golang.org/x/mod/sumdb/note writes it. A secret."""
        secret = base64.b64encode(ED25519 + self.seed).decode()
        return f"{_PRIVATE}+{self.name}+{self.public.hash.hex()}+{secret}"

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Undo `encoded`."""
        wrong = NoteError(f"a private key is written `{_PRIVATE}+name+hash+base64`")
        rest = text.strip().removeprefix(f"{_PRIVATE}+")
        parts = rest.split("+", _KEY_PARTS - 1)
        if rest == text.strip() or len(parts) != _KEY_PARTS:
            raise wrong
        name, hashed, encoded = parts
        key = cls(_name(name), _decode_key(encoded))
        if key.public.hash.hex() != hashed:
            raise NoteError(f"the private key of `{name}` does not match the hash that is written with it")
        return key

    def save(self, path: Path) -> None:
        """Write a new key file that only its owner can read; an existing file is never replaced."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(path, flags, _MODE_PRIVATE)
        except FileExistsError:
            raise _trouble(path, "this key file exists already; a log keeps its key for life") from None
        except OSError as error:
            raise _trouble(path, f"the key file cannot be written: {error.strerror}") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.encoded() + "\n")
            file.flush()
            os.fsync(descriptor)

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a key file; one that others can read is refused."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise _trouble(path, f"the key file cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _trouble(path, "this is not a key file: it is not text") from None
        if mode & _MODE_OTHERS:
            raise _trouble(path, f"mode {mode:04o} lets others read the key; run `chmod 600 {path}`")
        try:
            return cls.parse(text)
        except NoteError as error:
            raise _trouble(path, str(error)) from None


@lru_cache(maxsize=64)
def _public(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


def _name(name: str) -> str:
    """signed-note, "Signatures": not empty, no space, no plus."""
    if not name or "+" in name or any(c.isspace() for c in name) or not name.isprintable():
        raise NoteError(f"`{name}` cannot name a key: it needs at least one character, no space and no `+`")
    return name


def _decode_key(encoded: str) -> bytes:
    key = unbase64(encoded)
    if len(key) != _ENCODED_KEY_BYTES or key[:1] != ED25519:
        raise NoteError("a key is the byte 1 (Ed25519) and 32 more, in base64")
    return key[1:]


def unbase64(text: str) -> bytes:
    """Strict base64; NoteError for anything that encoding would not give back."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    # one value, one text: trailing bits and missing padding are not accepted
    if base64.b64encode(data).decode() != text:
        raise NoteError("not base64 in its canonical form")
    return data


def _trouble(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError((Problem(Place(path), "", message),))

"""Keys as text and as files; the private half shows nowhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from firewall import audit
from firewall.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

KEY = audit.SigningKey("log.test", bytes(range(32)))


def test_keys_come_back_from_their_text() -> None:
    fresh = audit.SigningKey.generate("log.test")
    assert fresh != audit.SigningKey.generate("log.test")
    assert audit.SigningKey.parse(fresh.encoded()) == fresh
    assert audit.VerifyingKey.parse(str(fresh.public)) == fresh.public


def test_the_private_half_is_not_shown() -> None:
    # INVARIANT: 10. secrets reach no log, record, card or error
    shown = repr(KEY) + str(KEY)
    assert KEY.encoded().rpartition("+")[2] not in shown
    assert repr(KEY.seed) not in shown


@pytest.mark.parametrize("text", [KEY.encoded(), str(KEY.public)])
def test_a_damaged_key_is_refused_without_showing_it(text: str) -> None:
    parse = audit.SigningKey.parse if text.startswith("PRIVATE") else audit.VerifyingKey.parse
    swapped = text[:-8] + text[-8:].swapcase()
    for damaged in (swapped, text[:-4], text.replace("log", "lag"), "", "+", "a+b+c", "PRIVATE+KEY+a+b"):
        with pytest.raises(audit.NoteError) as error:
            parse(damaged)
        assert damaged[-20:] not in str(error.value) or not damaged.strip("+")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u200bb"])
def test_a_name_that_notes_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(audit.NoteError, match="cannot name a key"):
        audit.SigningKey.generate(name)


def test_a_key_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    previous = os.umask(0)
    try:
        KEY.save(path)
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o600
    assert audit.SigningKey.load(path) == KEY
    with pytest.raises(ConfigurationError, match="exists already"):
        audit.SigningKey.generate("log.test").save(path)
    assert audit.SigningKey.load(path) == KEY


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    KEY.save(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        audit.SigningKey.load(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"PRIVATE+KEY+x+y+z", b"secret words"])
def test_another_file_is_no_key_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as error:
        audit.SigningKey.load(path)
    assert str(path) in str(error.value)
    assert "secret words" not in str(error.value)


def test_a_missing_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        audit.SigningKey.load(tmp_path / "none.key")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        KEY.save(tmp_path / "no" / "log.key")

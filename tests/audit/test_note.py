"""Signed notes and checkpoints, against Go's published example and against whoever changes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import audit
from firewall.audit.note import open_note

# golang.org/x/mod/sumdb/note, package documentation
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = f"{TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501 — as published
KEY = audit.SigningKey("log.test", bytes(range(32)))
OTHER = audit.SigningKey("other.test", bytes(32))
HEAD = audit.Checkpoint("log.test", 7, bytes(range(32)))


def test_the_published_note() -> None:
    public = audit.VerifyingKey.parse(VKEY)
    assert open_note(NOTE, [public]) == TEXT
    assert audit.SigningKey.parse(SKEY).sign(TEXT) == NOTE
    assert audit.SigningKey.parse(SKEY).public == public
    assert audit.SigningKey.parse(SKEY).encoded() == SKEY
    assert str(public) == VKEY


def test_a_checkpoint_comes_back_signed() -> None:
    note = audit.sign_checkpoint(KEY, HEAD)
    assert note.splitlines()[:3] == ["log.test", "7", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
    assert audit.open_checkpoint(note, [OTHER.public, KEY.public]) == HEAD
    extended = audit.Checkpoint("log.test", 7, HEAD.root, ("one", "two"))
    assert audit.Checkpoint.parse(extended.text()) == extended


@given(st.integers(0, 10_000), st.integers(0, 0x10FFFF).filter(lambda c: not 0xD800 <= c < 0xE000))
def test_no_changed_character_passes(place: int, code: int) -> None:
    note = audit.sign_checkpoint(KEY, HEAD)
    place %= len(note)
    changed = f"{note[:place]}{chr(code)}{note[place + 1 :]}"
    if changed == note:
        return
    with pytest.raises(audit.NoteError):
        audit.open_checkpoint(changed, [KEY.public])


def test_only_the_key_of_the_log_counts() -> None:
    # the other key may sign notes, but not heads of a log that is not its own
    note = audit.sign_checkpoint(OTHER, HEAD)
    assert open_note(note, [OTHER.public]) == HEAD.text()
    with pytest.raises(audit.UnknownSignerError):
        audit.open_checkpoint(note, [OTHER.public, KEY.public])
    namesake = audit.SigningKey("log.test", bytes(32))
    with pytest.raises(audit.UnknownSignerError):
        audit.open_checkpoint(audit.sign_checkpoint(namesake, HEAD), [KEY.public])


def test_further_signatures_are_passed_over_unless_forged() -> None:
    note = audit.sign_checkpoint(KEY, HEAD)
    cosigned = note + audit.sign_checkpoint(OTHER, HEAD).rpartition("\n\n")[2]
    assert open_note(cosigned, [KEY.public]) == HEAD.text()
    assert open_note(cosigned, [KEY.public, OTHER.public]) == HEAD.text()
    wrong = note + OTHER.sign("something else\n").rpartition("\n\n")[2]
    with pytest.raises(audit.NoteError, match=r"`other\.test` does not match"):
        open_note(wrong, [KEY.public, OTHER.public])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log.test\n",
        "log.test\n7\n",
        "\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log.test\n07\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log.test\n-7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log.test\n٧\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log.test\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "log.test\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "log.test\n7\nAAEC\n",
        "log.test\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "log.test\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n",
    ],
)
def test_other_texts_are_no_checkpoint(text: str) -> None:
    with pytest.raises(audit.NoteError):
        audit.Checkpoint.parse(text)

"""Which characters must be written out, wherever text is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.channels import visible as channel
from firewall.visible import misleads
from firewall.web import visible as console


@pytest.mark.parametrize("char", "\u202e\u2066\u200b\u00ad\u00a0\u3164\ufe0f\x1b\r\ud800\U000e0041")
def test_what_hides_misleads(char: str) -> None:
    assert misleads(f"a{char}b", 1)


@pytest.mark.parametrize("text", ["SELECT 1", "größe", "שלום", "名前", "na\u0308ive", "🙂"])
def test_what_shows_does_not(text: str) -> None:
    assert not any(misleads(text, at) for at in range(len(text)))


@given(st.text(st.characters(codec=None)))
def test_cards_and_console_agree_on_what_is_written_out(text: str) -> None:
    marked = [at for at in range(len(text)) if misleads(text, at) and text[at] not in "\n\t"]
    assert console.hidden(text) == len(marked)
    brackets = text.count("⟨")
    assert channel.visible(text).count("⟨U+") == len(marked) + brackets
    assert all(unicodedata.category(text[at]) not in {"Lu", "Ll", "Nd"} for at in marked)

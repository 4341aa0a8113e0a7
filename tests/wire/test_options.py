"""The startup parameter `options`, read as Postgres's pg_split_opts and getopt read it, settings only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import ProtocolViolation

READ = {
    "": (),
    " \t\n": (),
    "-c a=1": (("a", "1"),),
    "-ca=1": (("a", "1"),),
    "--a=1": (("a", "1"),),
    "  -c  a=1   --b=2 ": (("a", "1"), ("b", "2")),
    "--statement-timeout=5s": (("statement_timeout", "5s"),),
    "-c a=": (("a", ""),),
    "-c a=b=c": (("a", "b=c"),),
    "-c a=-1 -c a=2": (("a", "-1"), ("a", "2")),
    r"-c search_path=a,\ b": (("search_path", "a, b"),),
    r"-c a=\\x": (("a", "\\x"),),
    r"-c a=b\ ": (("a", "b "),),
    "-c a=b\\": (("a", "b"),),
    "-c x.y=z": (("x.y", "z"),),
    "-c\va=1\f": (("a", "1"),),
    "-c a=é\u2003f": (("a", "é\u2003f"),),
}
REFUSED = (
    *(
        "-d 5",
        "-c",
        "-c a",
        "-ca",
        "--a",
        "--",
        "-",
        "a=1",
        "-c =1",
        "--=1",
        "-B 3 -c a=1",
        "-c a=1 b",
        "-p 1",
    ),
    *("\\", "-C data_directory", "-- -c a=1", "-e", "-fs", "-W 10", "-O"),
)


@pytest.mark.parametrize("options", READ)
def test_settings_are_read(options):
    assert wire.parse_options(options) == READ[options]


@pytest.mark.parametrize("options", REFUSED)
def test_anything_else_is_refused(options):
    with pytest.raises(ProtocolViolation, match="`options`") as caught:
        wire.parse_options(options)
    assert caught.value.sqlstate == "42601"


plain = st.text(st.characters(exclude_characters="\0"), max_size=10)
setting = st.tuples(plain.filter(lambda n: n and not set(n) & set("-=")), plain)


def escaped(words: str) -> str:
    return "".join("\\" + c if c in " \t\n\v\f\r\\" else c for c in words)


@given(st.lists(setting, max_size=5), st.sampled_from(["-c ", "-c", "--"]))
def test_what_is_escaped_comes_back(settings, switch):
    options = " ".join(f"{switch}{escaped(name)}={escaped(value)}" for name, value in settings)
    assert wire.parse_options(options) == tuple(settings)


@given(st.text(max_size=40) | st.text("-c=a\\ ", max_size=40))
def test_any_text_is_settings_or_a_violation(options):
    try:
        settings = wire.parse_options(options)
    except ProtocolViolation:
        return
    assert all(name for name, _ in settings)

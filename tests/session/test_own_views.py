"""Where a text reads from `firewall.holds`, values take its place; everywhere else nothing happens."""

from __future__ import annotations

import pytest

from firewall.session.own_views import COLUMNS, filled, mentions, views

ROW = tuple(
    {"text": r"it's \ a 'row'; DROP TABLE x --", "boolean": "true", "integer": "3", "bigint": "4"}.get(kind)
    for _, kind in COLUMNS["holds"]
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SELECT * FROM firewall.holds", {"holds"}),
        ("select id from FIREWALL . Grants g", {"grants"}),
        ("SELECT 1 FROM orders JOIN firewall.holds h ON true, firewall.grants", {"holds", "grants"}),
        ("SELECT 'FROM firewall.holds'", set()),
        ("SELECT 1 -- FROM firewall.holds", set()),
        ("SELECT 1 /* FROM firewall.holds */", set()),
        ("SELECT $a$ FROM firewall.holds $a$", set()),
        ('SELECT * FROM "firewall.holds"', set()),
        ("SELECT firewall.holds FROM x", set()),
        ("SELECT * FROM firewall.holds.id", set()),
        ("SELECT * FROM firewall.secrets", set()),
        ("DELETE FROM myfirewall.holds", set()),
    ],
)
def test_what_is_read_from(text: str, read: set[str]) -> None:
    assert views(text) == read
    assert mentions(text) is bool(read)
    if not read:
        assert filled(text, {"holds": [ROW]}) == text


@pytest.mark.parametrize(
    ("text", "alias"),
    [
        ("SELECT * FROM firewall.holds", ") AS holds"),
        ("SELECT * FROM firewall.holds WHERE id = 'x'", ") AS holds WHERE id"),
        ("SELECT * FROM firewall.holds ORDER BY id", ") AS holds ORDER"),
        ("SELECT * FROM firewall.holds h", ") h"),
        ("SELECT * FROM firewall.holds AS h", ") AS h"),
        ('SELECT * FROM firewall.holds "H"', ') "H"'),
        ("SELECT * FROM (SELECT id FROM firewall.holds) x", ") AS holds) x"),
    ],
)
def test_it_has_a_name_either_way(text: str, alias: str) -> None:
    assert alias in filled(text, {})


def test_a_value_is_a_value() -> None:
    text = filled("SELECT * FROM firewall.holds", {"holds": [ROW]})
    assert r"'it''s \ a ''row''; DROP TABLE x --'::text" in text
    assert mentions(text) is False


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unending",
    [
        "/* " * 300_000,
        "'' " * 300_000 + "'",
        '"" ' * 300_000 + '"',
        " ".join(f"$a{number}$" for number in range(100_000)),
        "from " * 200_000,
        "," + " " * 900_000,
    ],
    ids=["comments", "literals", "names", "dollars", "words", "spaces"],
)
def test_a_text_without_an_end_takes_no_longer_than_to_read_it(unending: str) -> None:
    """It is looked at on the event loop; looked for from every place in it, an end took minutes."""
    assert not mentions(f"firewall {unending}")
    assert mentions(f"SELECT FROM firewall.holds {unending}")

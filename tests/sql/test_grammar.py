"""What the grammar is not asked: texts that would cost more than they can be worth."""

from __future__ import annotations

import pytest

from firewall.sql import grammar
from firewall.sql.analysis import GrammarError

DEEP = grammar.MAX_DEPTH
HARD = {
    "a byte too long": ("SELECT '" + "x" * grammar.MAX_SQL_BYTES + "'", "bytes long"),
    "a token too many": (
        "SELECT 1" + ",1" * (grammar.MAX_TOKENS // 2),
        f"more than {grammar.MAX_TOKENS} tokens",
    ),
    "too deep": ("SELECT " + "(" * (DEEP + 1) + "1" + ")" * (DEEP + 1), f"more than {DEEP} parentheses"),
    "too deep and not closed": ("SELECT " + "(" * 500_000, f"more than {grammar.MAX_TOKENS} tokens"),
    "too deep in subqueries": ("SELECT " + "(SELECT " * (DEEP + 1) + "1" + ")" * (DEEP + 1), "parentheses"),
    "too deep in brackets": ("SELECT " + "ARRAY[" * (DEEP + 1) + "1" + "]" * (DEEP + 1), "parentheses"),
    "too many arms": ("SELECT 1" + " UNION SELECT 1" * 60_000, "operators and keywords"),
    "too many statements": ("SELECT 1;" * (grammar.MAX_STATEMENTS + 1), "statements"),
    "a NUL": ("SELECT 1\0", "NUL"),
    "a lone surrogate": ("SELECT '\ud800'", "lone surrogate"),
}
FINE = {
    "as deep as may be": "SELECT " + "(" * DEEP + "1" + ")" * DEEP,
    "many beside each other": "INSERT INTO t VALUES " + ", ".join(["(1, 'x')"] * 5_000),
    "parentheses in strings and comments": f"SELECT '{'(' * (DEEP + 9)}' /* {'[' * (DEEP + 9)} */",
    "a long IN": f"SELECT 1 WHERE x IN ({', '.join(['1'] * 20_000)})",
}


@pytest.mark.parametrize(("text", "why"), HARD.values(), ids=HARD)
def test_too_hard(text, why):
    parsed = grammar.parse(text)
    assert isinstance(parsed, grammar.TooHard)
    assert why in parsed.reason


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_not_too_hard(text):
    parsed = grammar.parse(text)
    assert isinstance(parsed, tuple)
    assert len(parsed) == 1


@pytest.mark.parametrize(
    "text", ["SELECT 'x", 'SELECT "x', "SELECT $$x", "/* SELECT 1", "SELECT E'\\", "SELECT ("]
)
def test_what_is_not_closed_is_an_error(text):
    assert isinstance(grammar.parse(text), GrammarError)
    # a long one is cut into tokens first, which fails as well
    assert isinstance(grammar.parse(text + " " * grammar.SMALL_SQL_BYTES), GrammarError)


def test_identifiers_of_any_length_are_cut_as_postgres_does():
    (parsed,) = grammar.parse(f'SELECT 1 FROM {"x" * 10_000}, "{"Y" * 10_000}"')
    names = [item["RangeVar"]["relname"] for item in parsed.tree["fromClause"]]
    assert names == ["x" * 63, "Y" * 63]

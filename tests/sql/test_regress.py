"""The differential test in short: one statement in a hundred; regress.py compares them all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sql.regress import DEFAULT, MOST_UNKNOWN, grammar, run, statements

ARCHIVE = Path(os.environ.get("REGRESS_SQL") or DEFAULT)


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"`{ARCHIVE}` is not there: set REGRESS_SQL to its path")
def test_what_we_say_is_what_the_grammar_says():
    tally = run(ARCHIVE, every=97)
    assert tally.valid > 300
    assert tally.disagreements == []
    assert sum(tally.unknown.values()) <= MOST_UNKNOWN * tally.valid + 5  # few are chosen


def test_a_script_is_cut_as_psql_cuts_it():
    script = r"""
SELECT ';' AS "a;b" -- ;
;
\d orders
CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; SELECT 1);
COPY t FROM STDIN;
1;
2
\.
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;
SELECT $a$;$a$ \gset
SELECT 2;
"""
    assert [s.strip().split()[0] for s in statements(script) if s.strip()] == [
        *("SELECT", "CREATE", "COPY", "CREATE", "SELECT", "SELECT"),
    ]


def test_the_grammars_word():
    said = grammar("WITH a AS (DELETE FROM t RETURNING *) INSERT INTO s.u SELECT * FROM a, v FOR UPDATE OF v")
    assert said is not None
    assert (said.node, said.named - said.ctes, said.written) == ("insert_stmt", {"t", "u", "v"}, {"t", "u"})
    assert grammar("EXPLAIN DELETE FROM t").written == set()
    assert grammar("EXPLAIN (ANALYZE) DELETE FROM t").written == {"t"}
    assert grammar("nonsense") is None

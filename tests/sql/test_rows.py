"""The table of statements against the grammar itself."""

from __future__ import annotations

from postgast import pg_query_pb2

from firewall.sql import grammar
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts, Kind
from firewall.sql.rows import NEVER_ALONE, ROWS


def test_every_statement_of_the_grammar_has_a_row():
    nodes = {field.name for field in pg_query_pb2.Node.DESCRIPTOR.oneofs_by_name["node"].fields}
    statements = {name for name in nodes if name.endswith("_stmt")}
    assert statements == set(ROWS) | NEVER_ALONE
    assert not set(ROWS) & NEVER_ALONE


def test_the_grammars_names_are_kept():
    assert grammar.node_name("SelectStmt") == "select_stmt"
    assert grammar.node_name("CreatedbStmt") == "createdb_stmt"
    assert grammar.node_name("AlterTSDictionaryStmt") == "alter_tsdictionary_stmt"


def test_a_statement_without_a_row_is_unknown(shop, monkeypatch):
    monkeypatch.setattr("firewall.sql.rows.ROWS", {})
    found = analyse("CREATE EXTENSION x", shop, Facts())
    assert [effect.kind for effect in found.effects] == [Kind.UNKNOWN]
    assert "`create_extension_stmt` has no row" in found.opaque

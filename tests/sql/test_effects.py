"""Statements with their whole expected analysis: fixtures/sql/*.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from firewall.sql import grammar
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts
from tests.sql.shop import FIXTURES, SHOP, compact

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = [
    (sql, effects)
    for path in sorted((FIXTURES / "sql").glob("*.yaml"))
    for sql, effects in yaml.safe_load(path.read_text()).items()
]


@pytest.mark.parametrize(("sql", "effects"), CASES, ids=[sql[:60] for sql, _ in CASES])
def test_the_effects_are_these_and_no_others(sql, effects):
    assert [compact(effect) for effect in analyse(sql, SHOP, Facts()).effects] == effects


# what issue and design name, as the grammar does: wrappers, writes, and the ways to a value
CONSTRUCTS = grammar.words(
    """
    ExplainStmt CopyStmt DeclareCursorStmt FetchStmt PrepareStmt ExecuteStmt CreateTableAsStmt ViewStmt
    IntoClause InsertStmt UpdateStmt DeleteStmt MergeStmt MergeWhenClause OnConflictClause
    MultiAssignRef LockingClause RuleStmt CreateTrigStmt CreateFunctionStmt DoStmt CallStmt TruncateStmt
    DropStmt AlterTableStmt IndexStmt RefreshMatViewStmt LockStmt VacuumStmt TransactionStmt NotifyStmt
    ListenStmt VariableSetStmt AlterSystemStmt GrantStmt GrantRoleStmt CreateRoleStmt ReassignOwnedStmt
    CreateExtensionStmt DiscardStmt CommentStmt JoinExpr RangeSubselect RangeFunction RangeTableSample
    CommonTableExpr WithClause SubLink WindowDef SortBy GroupingSet A_Indirection A_Indices A_ArrayExpr
    CaseExpr CoalesceExpr CollateClause TypeCast XmlSerialize XmlExpr ParamRef RowExpr A_Star
    """
)


def named(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from named(value)
    elif isinstance(node, list):
        for item in node:
            yield from named(item)


def test_the_corpus_has_every_construct_that_matters():
    found: set[str] = set()
    for sql, _ in CASES:
        parsed = grammar.parse(sql)
        assert isinstance(parsed, tuple), sql
        for one in parsed:
            found |= {one.kind, *named(one.tree)}
    # messages of one type stand under the name of their field
    fields = {
        "IntoClause": "intoClause",
        "OnConflictClause": "onConflictClause",
        "WithClause": "withClause",
        "WindowDef": "windowClause",
    }
    assert not {name for name in CONSTRUCTS if not {name, fields.get(name, name)} & found}

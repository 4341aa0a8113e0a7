"""What a text would do: the one entrance of this room.

`analyse` never raises and never calls a dangerous statement harmless: what is not understood is an `unknown`
effect with the reason in words. Postgres's grammar is the authority on everything that is named; sqlglot's
lineage makes the columns precise where it can follow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firewall.sql import (
    calls,
    columns,
    copies,
    definitions,
    events,
    functions,
    grammar,
    opened,
    own,
    queries,
    reviewed,
    rows,
    sessions,
    upkeep,
    writes,
)
from firewall.sql.analysis import Analysis, Effect, GrammarError, Kind, Statement, unknown
from firewall.sql.names import Scope
from firewall.sql.walk import TooLarge, Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.catalog.snapshot import Snapshot
    from firewall.sql.analysis import Facts
    from firewall.sql.grammar import Parsed
    from firewall.sql.walk import Handler


_CURSORS = frozenset({"DeclareCursorStmt", "FetchStmt"})
_MAKING = frozenset({Kind.CREATE, Kind.ALTER, Kind.CODE})


HANDLERS: Mapping[str, Handler] = {
    **rows.HANDLERS,
    **queries.HANDLERS,
    **calls.HANDLERS,
    **writes.HANDLERS,
    **definitions.HANDLERS,
    **upkeep.HANDLERS,
    **opened.HANDLERS,
    **sessions.HANDLERS,
}


def analyse(sql: str, snapshot: Snapshot, facts: Facts) -> Analysis:
    """What the text would do in this database, in a session of which these facts are true. Never raises."""
    # INVARIANT: 3. What is not understood is `unknown`; there is no path that leaves an effect out.
    lasting = replace(facts, parameters=()) if facts.parameters else facts
    if not facts.lexing_safe:
        return unknown("the session's settings change how texts are read", sql, lasting)
    try:
        parsed = grammar.parse(sql)
        if isinstance(parsed, grammar.TooHard):
            return unknown(parsed.reason, sql, lasting)
        if isinstance(parsed, GrammarError):
            return Analysis(error=parsed, after=lasting)
        return _statements(parsed, snapshot, lasting, facts.parameters)
    except TooLarge:
        return unknown("the text sets off more than is analysed", sql, lasting)
    except RecursionError:
        return unknown("the text nests too deeply", sql, lasting)
    except Exception as error:  # noqa: BLE001 - a bug here may cost a hold, never a passage
        return unknown(f"the analysis failed ({type(error).__name__})", sql, lasting)


def _loses_names(effect: Effect, missing: Mapping[str, None]) -> bool:
    """Whether what runs can change settings that are not in the text. A name that is missing runs nothing."""
    match effect.kind:
        case Kind.CODE:
            return True
        case Kind.EXECUTE:
            return not effect.object.startswith("pg_catalog.") or reviewed.danger(effect.object[11:]) is None
        case Kind.UNKNOWN:
            return effect.object not in missing and f"{effect.object}()" not in missing
        case _:
            return False


def _bare(name: str) -> str:
    return name.rpartition(".")[2].removesuffix("()")


def _statements(
    parsed: tuple[Parsed, ...], snapshot: Snapshot, facts: Facts, parameters: tuple[int, ...]
) -> Analysis:
    statements: list[Statement] = []
    missing: dict[str, None] = {}
    made: set[str] = set()  # by earlier statements of the text, so that Postgres will not miss it
    volatile = False
    after = facts
    for one in parsed:
        walk = Walk(own.seen(snapshot, after.own), HANDLERS, after, sql=one.sql, alone=len(parsed) == 1)
        scope = Scope(path=after.search_path, temporary=after.doubtful)
        functions.everywhere(walk, scope)
        functions.parameters(walk, parameters, scope)
        walk.visit(one.kind, one.tree, scope)
        events.set_off(walk, one, scope)
        narrowed = columns.narrow(walk, one, after)
        effects = walk.collected()
        if any(_loses_names(effect, walk.missing) for effect in effects):
            walk.lose_names()
        followed = own.followed(walk, one, effects, narrowed.traced, scope)
        statements.append(
            Statement(
                sql=one.sql,
                node=grammar.node_name(one.kind),
                effects=effects,
                output=narrowed.output,
                opaque=walk.opaque,
                fingerprint=grammar.fingerprint(one.sql),
                copies=copies.of(walk, one, effects, narrowed.traced, after),
                followed=followed,
                cursor=one.tree.get("portalname", "") if one.kind in _CURSORS else "",
                copy_out=narrowed.copy_out,
                step=sessions.step(one),
                savepoint=one.tree.get("savepoint_name", "") if one.kind == "TransactionStmt" else "",
            )
        )
        missing |= dict.fromkeys(name for name in walk.missing if _bare(name) not in made)
        made |= {_bare(effect.object) for effect in effects if effect.kind in _MAKING}
        volatile = volatile or walk.volatile
        after = walk.after
    return Analysis(tuple(statements), missing=tuple(missing), after=after, volatile=volatile)

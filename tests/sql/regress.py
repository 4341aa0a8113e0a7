"""A differential test on the regression suite of Postgres: what we say against what the grammar says.

    REGRESS_SQL=…/postgres-regress-sql.tar.gz python -m tests.sql.regress

The grammar's word is had from libpg_query's protobuf tree by a walk of its own, which shares no code with the
analysis: how many statements a text has, of what kind, which relations each names, and which it writes. The
analysis must say the same or `unknown`. It is given a catalog in which all that a file names exists, because
otherwise everything would be unknown. Prints the rates; exits 1 if anything disagrees or crashes.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tarfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import postgast
from postgast import pg_query_pb2

from firewall.catalog.snapshot import Function, Relation, RelationKind, Snapshot, Type, TypeKind
from firewall.sql.analyse import analyse
from firewall.sql.analysis import Analysis, Facts, Kind, ObjectType

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = Path(__file__).parents[3] / "shared" / "data" / "postgres-regress-sql.tar.gz"
MOST_UNKNOWN = 0.02  # of the valid statements
BATCH = 25
WRITES = {Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.COPY_IN, Kind.TRUNCATE}
# In these every relation that is named is read or written; others name some only to describe them.
QUERIES = {
    *("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt"),
    *("declare_cursor_stmt", "copy_stmt", "truncate_stmt", "lock_stmt", "view_stmt"),
}
# one piece of a text that psql takes as one: quotes, comments, dollar quotes, a line that is psql's own
PIECE = re.compile(
    r"""
    (?P<psql>^\\[^\n]*$ | \\[a-z]+[^\n;]*$ | \\;)
  | (?P<skip> --[^\n]* | /\*(?:[^*]|\*(?!/))*\*/ )
  | (?P<keep> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
  | (?P<open>\() | (?P<close>\)) | (?P<end>;) | (?P<word>\w+) | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
COPIED = re.compile(r"(?im)^(copy\s[^;]*from\s+stdin[^;\n]*;[^\n]*\n)(.*?)^\\\.$", re.DOTALL)


@dataclass(slots=True)
class Said:
    """The grammar's word on one statement."""

    node: str
    named: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    ctes: set[str] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    types: set[tuple[str, str]] = field(default_factory=set)
    relations: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Tally:
    """What came of it."""

    valid: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def statements(text: str) -> Iterator[str]:
    """The statements of a psql script, one by one, as psql would cut them."""
    text = COPIED.sub(r"\1", text)
    depth, atomic, begun = 0, 0, ""
    for piece in PIECE.finditer(text):
        match piece.lastgroup if piece.lastgroup != "tag" else "keep":
            case "psql":
                yield begun
                begun, depth, atomic = "", 0, 0
                continue
            case "open":
                depth += 1
            case "close":
                depth -= 1
            case "word":
                word = piece[0].lower()
                last = begun.rstrip()[-5:].lower()
                if word == "atomic" and last == "begin":
                    atomic = 1
                elif atomic and word == "case":
                    atomic += 1
                elif atomic and word == "end":
                    atomic -= 1
            case "end" if depth <= 0 and not atomic:
                yield begun
                begun, depth = "", 0
                continue
            case _:
                pass
        begun += piece[0]


def grammar(sql: str) -> Said | None:
    """The one statement of the text; None if the grammar rejects it, or it is none or more than one."""
    try:
        parsed = postgast.parse(sql)
    except (postgast.PgQueryError, UnicodeError, ValueError):
        return None
    if len(parsed.stmts) != 1:
        return None
    statement = parsed.stmts[0].stmt
    said = Said(statement.WhichOneof("node"))
    _walk(statement, said, runs=True)
    return said


def _walk(message: Any, said: Said, *, runs: bool) -> None:
    name = message.DESCRIPTOR.name
    match name:
        case "RangeVar":
            said.named.add(message.relname)
            said.relations.add((message.schemaname, message.relname))
        case "CommonTableExpr":
            said.ctes.add(message.ctename)
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt" if runs:
            said.written.add(message.relation.relname)
        case "MergeStmt" if runs:
            actions = {when.merge_when_clause.command_type for when in message.merge_when_clauses}
            if actions - {pg_query_pb2.CMD_NOTHING}:
                said.written.add(message.relation.relname)
        case "CopyStmt" if message.is_from:
            said.written.add(message.relation.relname)
        case "TruncateStmt":
            said.written.update(item.range_var.relname for item in message.relations)
        case "FuncCall":
            said.functions.add(_last(message.funcname))
        case "TypeName":
            said.types.add(_last(message.names))
        case "ExplainStmt":
            options = {option.def_elem.defname.lower(): option.def_elem for option in message.options}
            analyzed = options.get("analyze")
            runs = runs and analyzed is not None and _on(analyzed)
        case "PrepareStmt" | "CreateFunctionStmt":
            runs = False
        case "LockingClause":
            return  # its relations are aliases
        case _:
            pass
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for part in value if descriptor.is_repeated else [value]:
            _walk(part, said, runs=runs)


def _on(option: Any) -> bool:
    if not option.HasField("arg"):
        return True
    return option.arg.string.sval.lower() not in {"off", "false"} and "boolean" not in str(option.arg)


def _last(names: Any) -> tuple[str, str]:
    parts = [item.string.sval for item in names]
    return (parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def catalog(all_said: list[Said]) -> Snapshot:
    """A catalog in which everything that the statements name exists, and none of it does anything."""
    relations = {(schema or "public", name) for said in all_said for schema, name in said.relations}
    functions = {(schema or "pg_catalog", name) for said in all_said for schema, name in said.functions}
    types = {(schema or "public", name.lstrip("_")) for said in all_said for schema, name in said.types}
    functions.add(("pg_catalog", "lower"))
    return Snapshot(
        version=f"regress {hash(frozenset(relations))}",
        database="regression",
        server_version=180000,
        relations=tuple(
            Relation(s, n, RelationKind.TABLE, ())
            for s, n in sorted(relations)
            if s not in {"pg_catalog", "information_schema"}
        ),
        functions=tuple(Function(s, n, "internal", "immutable", -1, 0) for s, n in sorted(functions)),
        types=tuple(Type(s, n, TypeKind.ENUM) for s, n in sorted(types) if s != "pg_catalog"),
        role="agent",
    )


def unknown(analysis: Analysis) -> str:
    """Why an analysis says that it does not know; empty if it does not say so."""
    if any(effect.kind is Kind.UNKNOWN for effect in analysis.effects):
        return analysis.opaque or "unknown"
    return analysis.opaque


def compare(sql: str, said: Said, snapshot: Snapshot, tally: Tally) -> None:
    tally.valid += 1
    tally.nodes[said.node] += 1
    analysis = analyse(sql, snapshot, Facts(role="agent"))
    wrong = _wrong(analysis, said)
    if reason := unknown(analysis):
        tally.unknown[re.sub(r"`[^`]*`", "`…`", reason) if "no row" not in reason else reason] += 1
    elif wrong:
        tally.disagreements.append(f"{wrong}: {sql.strip()[:300]}")


def _wrong(analysis: Analysis, said: Said) -> str:
    if analysis.error is not None or len(analysis.statements) != 1:
        return f"{len(analysis.statements)} statements, error {analysis.error}"
    statement = analysis.statements[0]
    if statement.node != said.node:
        return f"kind {statement.node} instead of {said.node}"
    ours = {
        effect.object.rpartition(".")[2]: effect
        for effect in statement.effects
        if effect.type is ObjectType.RELATION and not effect.via
    }
    written = {
        effect.object.rpartition(".")[2]
        for effect in statement.effects
        if effect.kind in WRITES and effect.type is ObjectType.RELATION and not effect.via
    }
    if (said.written - written) or (written & said.named) - said.written - said.ctes:
        return f"writes {sorted(written)} instead of {sorted(said.written)}"
    if said.node in QUERIES:
        if overlooked := said.named - said.ctes - ours.keys():
            return f"overlooks {sorted(overlooked)}"
        sequences = said.functions & {("", "nextval"), ("", "setval"), ("pg_catalog", "nextval")}
        if not sequences and (invented := ours.keys() - said.named):
            return f"invents {sorted(invented)}"
    return ""


def compare_batch(batch: list[tuple[str, Said]], snapshot: Snapshot, tally: Tally) -> None:
    """Many statements in one text: cut at the same places."""
    analysis = analyse(";\n".join(sql for sql, _ in batch), snapshot, Facts(role="agent"))
    nodes = [statement.node for statement in analysis.statements]
    if nodes != [said.node for _, said in batch] and nodes != ["unknown"]:
        tally.disagreements.append(f"a text of {len(batch)} statements is cut otherwise: {batch[0][0][:200]}")


def run(archive: Path, *, every: int = 1) -> Tally:
    """Compare every `every`-th statement of the archive."""
    tally = Tally()
    number = 0
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda m: m.name):
            source = files.extractfile(member) if member.name.endswith(".sql") else None
            if source is None:
                continue
            chosen: list[tuple[str, Said]] = []
            for sql in statements(source.read().decode(errors="replace")):
                number += 1
                if number % every == 0 and sql.strip() and (said := grammar(sql)) is not None:
                    chosen.append((sql, said))
            snapshot = catalog([said for _, said in chosen])
            for sql, said in chosen:
                compare(sql, said, snapshot, tally)
            for start in range(0, len(chosen), BATCH):
                compare_batch(chosen[start : start + BATCH], snapshot, tally)
    return tally


def report(tally: Tally, seconds: float) -> None:
    doubt = sum(tally.unknown.values())
    print(f"{tally.valid} statements of {len(tally.nodes)} kinds in {seconds:.0f} s")
    print(f"{doubt} unknown ({doubt / max(tally.valid, 1):.2%})")
    for reason, count in tally.unknown.most_common(15):
        print(f"  {count:6} {reason}")
    print(f"{len(tally.disagreements)} disagree")
    for line in tally.disagreements[:60]:
        print(f"  {line}")


def main() -> int:
    archive = Path(os.environ.get("REGRESS_SQL") or DEFAULT)
    if not archive.exists():
        print(f"`{archive}` is not there: set REGRESS_SQL to the path of postgres-regress-sql.tar.gz")
        return 2
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    began = time.perf_counter()
    tally = run(archive)
    report(tally, time.perf_counter() - began)
    too_many = sum(tally.unknown.values()) > MOST_UNKNOWN * tally.valid
    return 1 if tally.disagreements or too_many or not tally.valid else 0


if __name__ == "__main__":
    sys.exit(main())

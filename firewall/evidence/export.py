"""The forms of an export. Each takes records in portions and keeps none of them.

jsonl: what `firewall audit verify --export` reads (`audit/lines.py`), values included. csv, parquet: a line
for each record, with what it belongs to.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TextIO

from firewall import audit
from firewall.audit import lines
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from firewall.store.exporting import Exported

TEXTS = (
    *("at", "kind", "id", "session", "statement", "hold", "agent", "owner", "database", "environment"),
    *("address", "verdict", "risk", "rule", "fingerprint", "sql", "person", "result", "sqlstate", "message"),
)
NUMBERS = ("rows", "bytes", "micros")
COLUMNS = ("origin", "index", *TEXTS, *NUMBERS, "record")
# what spreadsheets take for a formula (OWASP, "CSV Injection"); the statements are strangers' words
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Form(Protocol):
    """Somewhere that records go to. context: does it show what they belong to?"""

    context: ClassVar[bool]

    def write(self, records: Sequence[Exported]) -> None: ...
    def close(self) -> None: ...


def columns(exported: Exported) -> dict[str, Any]:
    """One line for a record, flat; `record` is the whole of it as JSON. Nothing for what does not apply."""
    fields = exported.record.model_dump(mode="json")
    judged = exported.judgement.model_dump(mode="json") if exported.judgement else {}
    begun = exported.session.model_dump(mode="json") if exported.session else {}
    of_holds = fields if fields["kind"] == "hold" else {}
    by = fields.get("by") or fields.get("person") or ""
    return {
        "origin": exported.stored.origin,
        "index": exported.stored.index,
        **dict.fromkeys(TEXTS, ""),
        **{name: fields[name] for name in ("at", "kind", "id", "session", "statement", "hold")},
        "agent": fields.get("agent") or judged.get("agent") or begun.get("agent", ""),
        "owner": fields.get("owner") or judged.get("owner") or begun.get("owner", ""),
        "database": fields.get("database") or judged.get("database") or begun.get("database", ""),
        "environment": judged.get("environment", ""),
        "address": begun.get("address", ""),
        **{name: (of_holds or judged).get(name, "") for name in ("risk", "rule")},
        **{name: judged.get(name, "") for name in ("verdict", "fingerprint", "sql")},
        "person": by if isinstance(by, str) else " ".join(by),
        "result": _result(exported.record),
        **{name: fields.get(name, "") for name in ("sqlstate", "message")},
        **{name: fields.get(name) for name in NUMBERS},
        "record": json.dumps(fields, ensure_ascii=False, sort_keys=True),
    }


def _result(record: audit.Record) -> str:
    """What became of it, in a word or two."""
    match record:
        case audit.Judgement():
            return record.verdict if record.enforced else f"{record.verdict}, observed only"
        case audit.Vote():
            word = "approve" if record.approve else "deny"
            return word if record.counted else f"{word}, not counted: {record.why}"
        case audit.Decision():
            return record.state
        case audit.Release():
            return record.leave
        case audit.Outcome():
            return record.tag
        case audit.Session() | audit.Credential() | audit.Label():
            return record.event
        case audit.SignIn():
            return "succeeded" if record.succeeded else f"failed: {record.why}"
        case _:
            return ""


class JsonLines:
    """The log itself, to be verified elsewhere, each signed head behind what it counts.

    notes: the newest heads. They come first: an export whose end is missing is then known by them.
    """

    context: ClassVar[bool] = False

    def __init__(self, stream: TextIO, notes: Iterable[str]) -> None:
        self._stream = stream
        stream.writelines(map(lines.checkpoint_line, notes))

    def write(self, records: Sequence[Exported]) -> None:
        for one in records:
            self._stream.write(lines.record_line(one.stored))
            self._stream.writelines(map(lines.checkpoint_line, one.heads))

    def close(self) -> None:
        """Nothing follows."""


class Csv:
    """RFC 4180, with a line of headings. What a spreadsheet would take for a formula begins with `'`."""

    context: ClassVar[bool] = True

    def __init__(self, stream: TextIO) -> None:
        self._writer = csv.DictWriter(stream, COLUMNS)
        self._writer.writeheader()

    def write(self, records: Sequence[Exported]) -> None:
        for one in records:
            self._writer.writerow({name: _cell(value) for name, value in columns(one).items()})

    def close(self) -> None:
        """Nothing follows."""


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class Parquet:
    """Zstandard-compressed; one row group for each portion."""

    context: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 — heavy, and an extra
            import pyarrow.parquet as pq  # noqa: PLC0415 — as above
        except ImportError:
            raise FirewallError(
                "Parquet needs the package `pyarrow`, which is not installed",
                hint="pip install 'query-firewall[parquet]', or choose --format csv",
            ) from None
        whole = [("index", pa.int64()), *((name, pa.int64()) for name in NUMBERS)]
        types = dict(whole)
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
        self._table = pa.Table
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, records: Sequence[Exported]) -> None:
        if records:
            made = self._table.from_pylist([columns(one) for one in records], schema=self._schema)
            self._writer.write_table(made)

    def close(self) -> None:
        self._writer.close()

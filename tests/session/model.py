"""A small Postgres: the state machine of its protocol, with texts that say what they do.

Messages are answered as in manual 53.2 and as `PostgresMain` does it: an error in the extended protocol
discards everything up to Sync, a simple Query included; a failed transaction takes nothing but its end; a
COPY takes nothing but its data and ignores Sync and Flush. Texts: `SELECT …` (two rows of column 1 of
relation 7, or of column 2 with SECRET in it if the text is about secrets), `BEGIN`, `COMMIT`,
`ROLLBACK`, `FAIL …` (fails when it is run), `BAD …` (is not SQL), `COPY …` (FROM STDIN), `PREPARE name AS
…`, `DEALLOCATE name`, `EXECUTE name`; anything else is not SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firewall import wire

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = ("SELECT", "BEGIN", "COMMIT", "ROLLBACK", "FAIL", "COPY", "PREPARE", "DEALLOCATE", "EXECUTE")
_ROWS = 2
SECRET = b"secret"


def _secret(text: str) -> bool:
    return "secret" in text


def _value(text: str) -> bytes:
    return SECRET if _secret(text) else b"x"


def _described(text: str) -> bytes:
    if not text.startswith("SELECT"):
        return b"n\0\0\0\4"
    return wire.RowDescription((wire.Field("c", 7, 2 if _secret(text) else 1),)).encode()


class Failed(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@dataclass
class _Portal:
    text: str
    given: int = 0
    done: bool = False


@dataclass
class Model:
    """refuses: called with a text to bind or query, the transaction status, and whether it is a Query; a
    SQLSTATE fails it.

    ran: every text that was bound or queried, with its values. executed: every EXECUTE and what it ran.
    """

    refuses: Callable[[str, str, bool], str | None] = lambda *_: None
    ran: list[tuple[str, tuple[bytes | None, ...]]] = field(default_factory=list)
    executed: list[tuple[str, str]] = field(default_factory=list)
    # how often a text that was `approved` has run in the open block, and of each block that was committed
    written: int = 0
    committed: list[int] = field(default_factory=list)
    status: str = "I"
    skipping: bool = False
    copying: str = ""  # the protocol that COPY was begun by, Q or E
    statements: dict[str, str] = field(default_factory=dict)
    portals: dict[str, _Portal] = field(default_factory=dict)
    _framer: wire.Framer = field(default_factory=lambda: wire.Framer(1 << 30))

    def receive(self, data: bytes) -> bytes:
        return b"".join(self._answer(frame) for frame in self._framer.feed(data))

    def _answer(self, frame: wire.Frame) -> bytes:
        message = wire.decode_frontend(frame)
        if self.copying:
            return self._copy(message)
        if isinstance(message, wire.Sync):
            self.skipping = False
            return self._ready()
        if self.skipping or isinstance(message, wire.CopyData | wire.CopyDone | wire.CopyFail | wire.Flush):
            return b""
        try:
            return self._do(message)
        except Failed as failed:
            if self.status == "T":
                self.status = "E"
            if self.status == "E":
                self.portals.clear()
            error = wire.error(sqlstate=failed.sqlstate, message="no").encode()
            if isinstance(message, wire.Query):
                return error + self._ready()
            self.skipping = True
            return error

    def _do(self, message: wire.FrontendMessage) -> bytes:
        match message:
            case wire.Parse(name, sql):
                self._parse(name, sql)
                return b"1\0\0\0\4"
            case wire.Bind(portal, statement, _, values):
                self._bind(portal, statement, values)
                return b"2\0\0\0\4"
            case wire.Describe(kind, name):
                if name not in (self.statements if kind == "S" else self.portals):
                    raise Failed("26000" if kind == "S" else "34000")
                text = self.statements[name] if kind == "S" else self.portals[name].text
                return (wire.ParameterDescription(()).encode() if kind == "S" else b"") + _described(text)
            case wire.Execute(portal, rows):
                return self._execute(portal, rows)
            case wire.Close(kind, name):
                (self.statements if kind == "S" else self.portals).pop(name, None)
                return b"3\0\0\0\4"
            case wire.Query(sql):
                return self._query(sql)
        raise AssertionError(f"{message} reached Postgres")

    def _parse(self, name: str, sql: str) -> None:
        if not name:
            self.statements.pop("", None)
        self._check(sql)
        if name in self.statements:
            raise Failed("42P05")
        self.statements[name] = sql

    def _check(self, sql: str) -> None:
        if not sql.startswith(KNOWN):
            raise Failed("42601")
        if self.status == "E" and sql not in {"COMMIT", "ROLLBACK"}:
            raise Failed("25P02")

    def _bind(self, portal: str, statement: str, values: tuple[bytes | None, ...]) -> None:
        if statement not in self.statements:
            raise Failed("26000")
        text = self.statements[statement]
        if sqlstate := self.refuses(text, self.status, False):
            raise Failed(sqlstate)
        self._check(text)
        if portal and portal in self.portals:
            raise Failed("42P03")
        self.ran.append((text, values))
        self.portals[portal] = _Portal(text)

    def _execute(self, name: str, rows: int) -> bytes:
        portal = self.portals.get(name)
        if portal is None:
            raise Failed("34000")
        self._check(portal.text)
        if portal.done and not portal.text.startswith("SELECT"):
            raise Failed("55000")
        self._wrote(portal.text)
        if portal.text.startswith("SELECT"):
            left = _ROWS - portal.given
            now = min(left, rows) if rows else left
            portal.given += now
            out = wire.DataRow((_value(portal.text),)).encode() * now
            if rows and now == rows:
                return out + b"s\0\0\0\4"
            return out + wire.CommandComplete(f"SELECT {now}").encode()
        portal.done = True
        return self._run(portal.text, "E")

    def _query(self, sql: str) -> bytes:
        self.portals.pop("", None)
        if sqlstate := self.refuses(sql, self.status, True):
            raise Failed(sqlstate)
        self._check(sql)
        self.ran.append((sql, ()))
        self._wrote(sql)
        if sql.startswith("SELECT"):
            rows = wire.DataRow((_value(sql),)).encode() * _ROWS
            return _described(sql) + rows + wire.CommandComplete(f"SELECT {_ROWS}").encode() + self._ready()
        out = self._run(sql, "Q")
        return out if self.copying else out + self._ready()

    def _run(self, sql: str, by: str) -> bytes:
        word, _, rest = sql.partition(" ")
        tag = word
        match word:
            case "FAIL":
                raise Failed("22012")
            case "BEGIN":
                self.status = "T"
            case "COMMIT" | "ROLLBACK":
                if word == "COMMIT" and self.status == "T":
                    self.committed.append(self.written)
                self.written = 0
                tag = "ROLLBACK" if self.status == "E" else word
                self.status = "I"
            case "COPY":
                self.copying = by
                return b"G\0\0\0\7\0\0\0"
            case "PREPARE":
                name, _, text = rest.partition(" AS ")
                if name in self.statements:
                    raise Failed("42P05")
                self._check(text)
                self.statements[name] = text
            case "DEALLOCATE":
                if rest == "ALL":
                    self.statements.clear()
                    tag = "DEALLOCATE ALL"
                elif self.statements.pop(rest, None) is None:
                    raise Failed("26000")
            case "EXECUTE":
                if rest not in self.statements:
                    raise Failed("26000")
                self.executed.append((sql, self.statements[rest]))
        return wire.CommandComplete(tag).encode()

    def _wrote(self, text: str) -> None:
        self.written += self.status == "T" and text.endswith("approved")

    def _copy(self, message: wire.FrontendMessage) -> bytes:
        match message:
            case wire.CopyData() | wire.Sync() | wire.Flush():
                return b""
            case wire.CopyDone():
                by, self.copying = self.copying, ""
                return wire.CommandComplete("COPY 1").encode() + (self._ready() if by == "Q" else b"")
            case wire.CopyFail():
                by, self.copying = self.copying, ""
                self.status = "E" if self.status == "T" else self.status
                error = wire.error(sqlstate="57014", message="no").encode()
                self.skipping = by == "E"
                return error + (self._ready() if by == "Q" else b"")
        raise AssertionError(f"{message} reached Postgres in the middle of COPY")

    def _ready(self) -> bytes:
        if self.status == "I":
            self.portals.clear()
        return wire.ReadyForQuery(self.status).encode()  # type: ignore[arg-type]  # one of the three

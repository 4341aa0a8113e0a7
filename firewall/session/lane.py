"""The lane: one whole run of a statement whose release stands, relayed as it came and as it is answered.

Most of what an agent sends is what it sent before: one chunk that binds, executes and syncs a prepared
statement (or is one known Query), and one chunk that answers it. Where the session is at rest and the edge
has said that the release of that very statement stands, neither has to be cut into frames, queued, matched:
it only has to be looked at. Anything else, a longer answer, an error, one more byte, a cancel, a notice, is
not the lane's business: `merge` puts the run into the session's books as if it had gone the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firewall import wire
from firewall.session.commands import Work
from firewall.session.replies import Owed, Reply
from firewall.wire.framing import HEADER

if TYPE_CHECKING:
    from firewall.session.backend import Backend
    from firewall.session.commands import Ruling
    from firewall.session.line import Line
    from firewall.session.prepared import Known
    from firewall.session.turn import Deciding

# What is remembered; drivers keep about as many statements prepared.
MAX_ENTRIES: Final = 64
# Longer chunks gain little, and are taken down later.
MAX_CHUNK: Final = 64 * 1024

_EXECUTED: Final = wire.Execute("").encode() + wire.Sync().encode()
_DESCRIBED: Final = wire.Describe("P", "").encode() + _EXECUTED
_FORGETS: Final = (b"DISCARD ALL\0", b"DEALLOCATE ALL\0")


class Entry:
    """A statement whose release stands. key: a Query or an unnamed Parse as its bytes, or a statement's name.

    known: what the name meant when the release was given; None for a text that comes with every run.
    """

    __slots__ = ("facts", "key", "known", "name", "ruling", "settings", "sql", "stands", "types")

    def __init__(  # noqa: PLR0913 — a record without behaviour
        self,
        key: bytes,
        sql: str,
        ruling: Ruling,
        stands: object,
        *,
        name: str = "",
        types: tuple[int, ...] = (),
        known: Known | None = None,
        facts: object,
        settings: int,
    ) -> None:
        self.key = key
        self.name = name
        self.sql = sql
        self.ruling = ruling
        self.stands = stands
        self.types = types
        self.known = known
        self.facts = facts
        self.settings = settings


class Lane:
    """What the edge asks before it troubles the session.

    `look` at a chunk from the client: what stands for it, or None. If the edge lets it go, `enter` and send
    the chunk; then `leaves` says whether a chunk from the server is its whole answer, to be passed on as is.
    bind: the Bind message of the chunk last looked at, empty for a Query. types: of its parameters.
    number: the ticket of the run under way. tag, size: of the answer, as `Done` has them.
    """

    # INVARIANT: 1. what is sent on was read to its last byte, and is one run of a statement that was cleared
    # INVARIANT: 2. whether a run takes the lane depends on chunks; what comes of it does not

    def __init__(self, line: Line, framer: wire.Framer, backend: Backend, deciding: Deciding) -> None:
        self._line = line
        self._framer = framer
        self._backend = backend
        self._deciding = deciding
        self._entries: dict[bytes, Entry] = {}
        self._names: dict[bytes, Entry] = {}
        self._seen: Entry | None = None
        self._flying: Entry | None = None
        # the last that happened was a run that was answered: the session is where it was before
        self._rested = False
        self._parses = False
        self._describes = False
        self._newest_parse = b""
        self.bind = b""
        self.types: tuple[int, ...] = ()
        self.number = 0
        self.tag = b""
        self.size = 0

    @property
    def flying(self) -> bool:
        """A run of the lane is not answered yet."""
        return self._flying is not None

    # --- what stands

    def parsing(self, raw: bytes) -> None:
        """An unnamed Parse was sent, these bytes."""
        self._newest_parse = raw if len(raw) <= MAX_CHUNK else b""

    def learn(self, sql: str, bind: wire.Bind | None, ruling: Ruling, stands: object) -> None:
        """The release of this text stands, as it was just given to the head of the line."""
        if not ruling.single or ruling.prepares or ruling.changes_catalog:
            return
        backend = self._backend
        if backend.catalog_changed:
            return  # names may mean something else once the transaction has ended
        facts, settings = self._deciding.facts, backend.settings
        if ruling.facts != facts:
            return
        if bind is None:
            key = wire.Query(sql).encode()
            self._keep(self._entries, Entry(key, sql, ruling, stands, facts=facts, settings=settings))
            return
        if bind.portal:
            return
        name = bind.statement
        known = backend.prepared.settled(name)
        if known is not None and known.text == sql:
            entry = Entry(
                name.encode(),
                sql,
                ruling,
                stands,
                name=name,
                types=known.types,
                known=known,
                facts=facts,
                settings=settings,
            )
            self._keep(self._names, entry)
        if not name and self._newest_parse:
            parse = wire.Parse.decode(self._newest_parse[HEADER:])
            if parse.sql == sql:
                key = self._newest_parse
                entry = Entry(key, sql, ruling, stands, types=parse.types, facts=facts, settings=settings)
                self._keep(self._entries, entry)

    def forget(self) -> None:
        """What was last looked at does not stand any more."""
        entry = self._seen
        if entry is not None:
            self._seen = None
            self._entries.pop(entry.key, None)
            self._names.pop(entry.key, None)

    def _keep(self, entries: dict[bytes, Entry], entry: Entry) -> None:
        if len(entry.key) > MAX_CHUNK:
            return
        entries.pop(entry.key, None)
        if len(entries) >= MAX_ENTRIES:
            del entries[next(iter(entries))]
        entries[entry.key] = entry

    # --- a run

    def look(self, data: bytes) -> object | None:
        """What the edge said stands for the one run that `data` is; None if it is anything else."""
        size = len(data)
        if (not self._entries and not self._names) or size < 6 or size > MAX_CHUNK:
            return None
        if not self._rested and not self._at_rest():
            return None
        code = data[0]
        at = 0
        entry: Entry | None = None
        self._parses = False
        if code == 0x51:  # Query
            self._describes = False
            self.bind = b""
            entry = self._entries.get(data)
            return None if entry is None else self._offer(entry)
        if code == 0x50:  # Parse
            at = 1 + (data[1] << 24 | data[2] << 16 | data[3] << 8 | data[4])
            entry = self._entries.get(data[:at])
            if entry is None:
                return None
            self._parses = True
        if at + 6 > size or data[at] != 0x42 or data[at + 5] != 0:  # Bind, of the unnamed portal
            return None
        end = at + 1 + (data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4])
        name = data.find(b"\0", at + 6, end)
        if end > size or name < 0:
            return None
        if entry is None:
            entry = self._names.get(data[at + 6 : name])
            if entry is None or entry.known is not self._backend.prepared.settled(entry.name):
                return None
        elif name != at + 6:
            return None
        if _end_of_bind(data, name + 1, end) != end:
            return None
        rest = data[end:]
        if rest == _DESCRIBED:
            self._describes = True
        elif rest == _EXECUTED:
            self._describes = False
        else:
            return None
        self.bind = data[at:end]
        return self._offer(entry)

    def enter(self) -> int:
        """The chunk that was looked at is about to be sent; the ticket of its run."""
        self._flying = self._seen
        self._seen = None
        self._rested = False
        self.number = self._deciding.take_ticket()
        return self.number

    def leaves(self, data: bytes) -> bool:
        """Whether `data` is the whole and ordinary answer to the run under way; then it is over."""
        entry = self._flying
        if entry is None:
            return False
        size = len(data)
        at = 0
        if self._parses:
            if size < 5 or data[:5] != b"1\0\0\0\4":
                return False
            at = 5
        if self.bind:
            if data[at : at + 5] != b"2\0\0\0\4":
                return False
            at += 5
        if at + 5 <= size and (data[at] == 0x54 or data[at] == 0x6E):  # RowDescription, NoData
            if self.bind and not self._describes:
                return False
            length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
            begun = at
            at += 1 + length
            if length < 4:
                return False
            watched = entry.ruling.watch is not None
            if watched and not self._backend.watcher.same(entry.ruling, data[begun:at]):
                return False
        elif self._describes:
            return False
        rows = at
        while at + 5 <= size and data[at] == 0x44:  # DataRow
            length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
            if length < 4:
                return False
            at += 1 + length
        # CommandComplete and ReadyForQuery, and nothing behind them
        if at + 11 > size or data[at] != 0x43:
            return False
        length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
        last = at + 1 + length
        if length < 5 or last + 6 != size or data[last : last + 5] != b"Z\0\0\0\5":
            return False
        tag = data[at + 5 : last]
        if tag[-1] != 0 or tag in _FORGETS:
            return False
        self._flying = None
        self.tag = tag
        self.size = at - rows
        self._close_books(entry, data[last + 5])
        return True

    def merge(self) -> None:
        """Something else happens: the run under way goes into the books, and the session goes on with it."""
        self._rested = False
        entry = self._flying
        if entry is None:
            return
        self._flying = None
        backend = self._backend
        replies = backend.replies
        work = Work(self.number, entry.ruling, 1)
        backend.opens(work)
        if not self.bind:
            replies.push(Reply(Owed.QUERY, work=work))
            work.index = replies.sent
            return
        if self._parses:
            replies.push(Reply(Owed.PARSE, sql=entry.sql, types=entry.types))
            backend.prepared.sent()
        work.described = self._describes
        replies.push(Reply(Owed.BIND, work=work, portal=backend.portals.find("")))
        work.index = replies.sent
        backend.portals.bound("", work, replies.sent)
        portal = backend.portals.find("")
        assert portal is not None
        if self._describes:
            replies.push(Reply(Owed.DESCRIBE, portal=portal))
        portal.begun = True
        replies.push(Reply(Owed.EXECUTE, work=work, portal=portal))
        replies.push(Reply(Owed.SYNC))

    # --- inside

    def _at_rest(self) -> bool:
        """Nothing waits, nothing is owed, nothing half come, and nothing in doubt."""
        backend = self._backend
        return (
            self._flying is None
            and not len(self._line)
            and self._framer.pending == 0
            and self._deciding.at_rest
            and backend.at_rest
        )

    def _offer(self, entry: Entry) -> object | None:
        if entry.facts is not self._deciding.facts or entry.settings != self._backend.settings:
            return None
        backend = self._backend
        portal = backend.portals.find("")
        if portal is not None and not portal.over:
            return None
        if self.bind and not self._describes and not backend.watcher.has_seen(entry.ruling):
            return None
        self._seen = entry
        self.types = entry.types
        return entry.stands

    def _close_books(self, entry: Entry, status: int) -> None:
        backend = self._backend
        if self._parses:
            backend.prepared.parsed_again(entry.sql, entry.types, backend.replies.sent)
        if self.bind or status == 0x49:
            # the unnamed portal has run to its end; outside a transaction all portals are gone
            backend.portals.finished()
        if status == 0x49:
            backend.portals.ended(backend.replies.sent + 1)
        backend.status = chr(status)
        self._rested = True


def _end_of_bind(data: bytes, at: int, end: int) -> int:
    """Where a Bind's body ends if it is well formed from its format codes on (manual 54.7), or -1."""
    if at + 2 > end:
        return -1
    at += 2 + 2 * (data[at] << 8 | data[at + 1])
    if at + 2 > end:
        return -1
    count = data[at] << 8 | data[at + 1]
    at += 2
    for _ in range(count):
        if at + 4 > end:
            return -1
        length = data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
        at += 4
        if length != 0xFFFF_FFFF:
            at += length
    if at + 2 > end:
        return -1
    return at + 2 + 2 * (data[at] << 8 | data[at + 1])

"""Does a log still say what was signed? One pass over its records, with nothing but the public keys.

The tree is rebuilt record by record and compared with every signed head on the way, so that a difference is
placed between two heads: to the record where each commit was signed. Memory does not grow with the log: a
head that comes right behind what it counts is compared there and let go, of one that comes before the root is
kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from itertools import combinations
from typing import TYPE_CHECKING, Any

from firewall.audit import sealed
from firewall.audit.erased import Gone
from firewall.audit.keys import NoteError, VerifyingKey
from firewall.audit.merkle import Frontier, leaf_hash
from firewall.audit.note import open_checkpoint

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable

_EMPTY = Frontier()

# told the number of records looked at so far
Progress = Callable[[int], None]

PROGRESS_EVERY = 1000
# records that came too early, or may come twice, are remembered over this distance; beyond it a displaced
# record counts as missing and a repeated one as changed
MEMORY = 100_000
# of more findings than this only the number is kept
MAX_FINDINGS = 1000
# records of one commit up to this number are tried in other orders when they do not match their head
MAX_PERMUTED = 64


@dataclass(frozen=True, slots=True)
class Inside:
    """What a record's bytes say; nothing for what is no record. holds: the values beside are those meant."""

    fields: dict[str, Any]
    holds: bool


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the store or an export has it: nothing in it is believed before it is verified."""

    origin: str
    index: int
    id: str
    bytes: builtins.bytes
    leaf_hash: builtins.bytes
    # salt and values that the record commits to (`sealed.py`); None where it has none, or they are erased
    private: builtins.bytes | None = None

    def inside(self) -> Inside:
        """What it says of itself, and of the values that stand beside it."""
        fields = _fields(self.bytes)
        commitment = fields.get("sealed") or ""
        return Inside(fields, self.private is None or sealed.holds(str(commitment), self.private))

    def opened(self) -> builtins.bytes:
        """Its JSON, values included as far as they are there. Raises ValueError."""
        return sealed.opened(self.bytes, self.private)


class Flaw(StrEnum):
    """What can be wrong with a log."""

    CHANGED = "changed"
    MISSING = "missing"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    CUT = "cut tail"
    UNSIGNED = "unsigned"
    SIGNATURE = "bad signature"
    FORKED = "forked"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw and its place: record `id` at `index` of the log `origin`, or a head of `index` records."""

    flaw: Flaw
    origin: str
    index: int
    id: str
    message: str

    def __str__(self) -> str:
        record = f" (`{self.id}`)" if self.id else ""
        return f"{self.origin}: record {self.index}{record}: {self.flaw}: {self.message}"


@dataclass(frozen=True, slots=True)
class Proven:
    """One log: how many records were seen, and the newest signed head that they were found to match.

    erased: how many of them have lost their values, as records of the log say.
    """

    origin: str
    records: int
    size: int
    root: bytes
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found; `more` counts the findings that were not kept."""

    logs: tuple[Proven, ...]
    findings: tuple[Finding, ...]
    records: int
    more: int = 0

    @property
    def sound(self) -> bool:
        """Every record of every log is there, in its place, as it was signed."""
        return not self.findings


def verify(
    rows: Iterable[StoredRecord],
    heads: Iterable[str],
    keys: Iterable[VerifyingKey],
    progress: Progress | None = None,
) -> Report:
    """Check logs, each in the order of its indexes, against signed heads: the store's own, published ones."""
    verification = Verification(heads, keys)
    for row in rows:
        verification.add(row)
        if progress is not None and verification.records % PROGRESS_EVERY == 0:
            progress(verification.records)
    if progress is not None:
        progress(verification.records)
    return verification.finish()


class Verification:
    """`verify` for whoever gets records and heads piece by piece. heads: those that are known before."""

    def __init__(self, heads: Iterable[str], keys: Iterable[VerifyingKey]) -> None:
        self.records = 0
        self.findings: list[Finding] = []
        self._more = 0
        self._logs: dict[str, _Log] = {}
        self._keys = tuple(keys)
        for note in heads:
            self.head(note)

    def add(self, row: StoredRecord, inside: Inside | None = None) -> None:
        """Look at the next record. inside: of it, if that was looked at already."""
        self.records += 1
        self._log(row.origin).add(row, inside)

    def head(self, note: str) -> bool:
        """A signed head, best right behind the records that it counts.

        False if the log has gone on since, so that nothing is known of it: it has to be given earlier.
        """
        try:
            head = open_checkpoint(note, self._keys)
        except NoteError as error:
            origin, _, rest = note.partition("\n")
            size = rest.partition("\n")[0]
            index = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0
            self.find(Finding(Flaw.SIGNATURE, origin[:200], index, "", f"a signed head: {error}"))
            return True
        return self._log(head.origin).head(head.size, head.root)

    def unexplained(self, origin: str) -> bool:
        """Have records of this log lost their values, and no record has said so yet?"""
        log = self._logs.get(origin)
        return log is not None and log.unexplained()

    def finish(self) -> Report:
        """Look at the ends, and say everything."""
        for log in self._logs.values():
            log.finish()
        proven = tuple(log.proven() for _, log in sorted(self._logs.items()))
        return Report(proven, tuple(self.findings), self.records, self._more)

    def _log(self, origin: str) -> _Log:
        log = self._logs.get(origin)
        if log is None:
            log = self._logs[origin] = _Log(origin, self.find)
        return log

    def find(self, finding: Finding) -> None:
        """Add what somebody else found, or we did."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self._more += 1


@dataclass(slots=True)
class _Log:
    """One log while it is read."""

    origin: str
    find: Callable[[Finding], None]
    # roots of heads that were given before the records that they count, and the size of the largest of all
    heads: dict[int, bytes] = field(default_factory=dict)
    signed: int = -1
    records: int = 0
    # the tree by the leaf hashes as stored, and by those that the bytes have; the same until one of them lies
    by_hash: Frontier = _EMPTY
    by_bytes: Frontier = _EMPTY
    # the newest head that was matched, and what came after it
    good: Frontier = _EMPTY
    since: list[tuple[str, bytes]] = field(default_factory=list)
    since_first: str = ""
    newest: str = ""
    flawed: bool = False
    # the tree cannot be followed any further
    lost: bool = False
    early: dict[int, StoredRecord] = field(default_factory=dict)
    # indexes of `early`, smallest first; those that were taken since are still in it
    waiting: list[int] = field(default_factory=list)
    highest: int = -1
    gone: set[int] = field(default_factory=set)
    seen: dict[bytes, int] = field(default_factory=dict)
    values: Gone = field(default_factory=Gone)
    erased: int = 0

    def head(self, size: int, root: bytes) -> bool:
        self.signed = max(self.signed, size)
        known = self.heads.get(size)
        if known is None and size == self.good.size:
            known = self.good.root()
        if known is not None:
            if known != root:
                self.find(Finding(Flaw.FORKED, self.origin, size, "", "two signed heads of this size differ"))
        elif size > self.by_hash.size:
            self.heads[size] = root
        elif not self.lost:
            if size < self.by_hash.size:
                return False
            self._compare(root)
        return True

    def unexplained(self) -> bool:
        self.erased += self.values.by_leave()
        return bool(self.values)

    def add(self, row: StoredRecord, inside: Inside | None) -> None:
        self.records += 1
        expected = self.by_hash.size
        if row.index == expected:
            if self.early:
                self._flaw(Flaw.REORDERED, row, f"it stands behind record {self.highest}")
            self._take(row, inside or row.inside())
            self._drain()
        elif row.index in self.gone:
            self.gone.discard(row.index)
            self._flaw(Flaw.REORDERED, row, f"it stands behind record {expected - 1}")
        elif row.index < expected or row.index in self.early:
            self._flaw(Flaw.DUPLICATED, row, "there are two records with this index")
        else:
            self.early[row.index] = row
            heappush(self.waiting, row.index)
            self.highest = max(self.highest, row.index)
            if len(self.early) > MEMORY:
                self._give_up()

    def finish(self) -> None:
        while self.early:
            self._give_up()
        self.erased += self.values.by_leave()
        for index, many in self.values.without_leave():
            message = (
                f"the values of {many} record{'s' * (many > 1)} are gone, and no record says who erased them"
            )
            self.find(Finding(Flaw.ERASED, self.origin, index, "", message))
        size, signed = self.by_hash.size, self.signed
        if signed > size:
            many = signed - size
            message = f"{many} record{'s' * (many > 1)} missing from here on: {signed} were signed"
            self.find(Finding(Flaw.CUT, self.origin, size, "", message))
        elif signed < 0:
            if size:
                self.find(Finding(Flaw.UNSIGNED, self.origin, 0, "", "no head of this log is signed"))
        elif size > signed:
            message = f"{size - signed} of the records stand behind the last signed head"
            self.find(Finding(Flaw.UNSIGNED, self.origin, signed, self.since_first, message))

    def proven(self) -> Proven:
        return Proven(self.origin, self.records, self.good.size, self.good.root(), self.erased)

    def _flaw(self, flaw: Flaw, row: StoredRecord, message: str) -> None:
        self.flawed = True
        self.find(Finding(flaw, self.origin, row.index, row.id, message))

    def _drain(self) -> None:
        while (row := self.early.pop(self.by_hash.size, None)) is not None:
            self._take(row, row.inside())

    def _give_up(self) -> None:
        """What was waited for is not coming: go on behind the gap, without the tree."""
        start, end = self.by_hash.size, heappop(self.waiting)
        while end not in self.early:
            end = heappop(self.waiting)
        many = end - start
        message = "there is no such record"
        if many > 1:
            message = f"there are no records {start} to {end - 1}"
        self.find(Finding(Flaw.MISSING, self.origin, start, "", message))
        self.gone.update(range(start, min(end, start + MEMORY)))
        self.lost = True
        # only the size still counts
        self.by_hash = Frontier(end)
        self._drain()

    def _take(self, row: StoredRecord, inside: Inside) -> None:
        """The record of the next index: look at it by itself, then at the tree that ends with it."""
        leaf = leaf_hash(row.bytes)
        if leaf != row.leaf_hash:
            self._flaw(Flaw.CHANGED, row, "its bytes do not match its leaf hash")
        else:
            self._look_inside(row, inside)
        first = self.seen.setdefault(leaf, row.index)
        if first != row.index:
            self._flaw(Flaw.DUPLICATED, row, f"it is record {first} again")
        if len(self.seen) > MEMORY:
            del self.seen[next(iter(self.seen))]
        if self.lost:
            self.by_hash = Frontier(self.by_hash.size + 1)
            return
        same = self.by_bytes is self.by_hash
        self.by_hash = self.by_hash.append(row.leaf_hash)
        self.by_bytes = self.by_hash if same and leaf == row.leaf_hash else self.by_bytes.append(leaf)
        self.newest = row.id
        if not self.since:
            self.since_first = row.id
        if len(self.since) <= MAX_PERMUTED:
            self.since.append((row.id, row.leaf_hash))
        root = self.heads.get(self.by_hash.size)
        if root is not None:
            self._compare(root)

    def _look_inside(self, row: StoredRecord, inside: Inside) -> None:
        fields = inside.fields
        inner = fields.get("id")
        if inner != row.id:
            known = isinstance(inner, str) and inner
            self._flaw(Flaw.CHANGED, row, f"its bytes are those of `{inner}`" if known else "it is no record")
            return
        if row.private is None:
            if fields.get("sealed"):
                self.values.gone(row.index)
        elif not inside.holds:
            self._flaw(Flaw.CHANGED, row, "the values beside it are not those that it commits to")
        if fields.get("kind") == "erasure":
            self.values.leave(fields.get("spans"))

    def _compare(self, root: bytes) -> None:
        """A signed head of just these records: they match it, or the difference lies since the last match."""
        for candidate in (self.by_hash, self.by_bytes):
            if candidate.root() == root:
                self._matched(candidate)
                return
        start, end = self.good.size, self.by_hash.size
        if not self.flawed:
            swapped = self._swapped(root)
            if swapped is not None:
                self._matched(swapped)
                return
            message = "it is not the record that was signed in this place"
            if end - start > 1:
                message = (
                    f"the records {start} to {end - 1} (`{self.newest}`) are not those that were signed in "
                    "these places: changed, left out, added or in another order"
                )
            self.find(Finding(Flaw.CHANGED, self.origin, start, self.since_first, message))
        self.lost = True

    def _matched(self, frontier: Frontier) -> None:
        self.good = self.by_hash = self.by_bytes = frontier
        self.since.clear()
        self.flawed = False

    def _swapped(self, root: bytes) -> Frontier | None:
        """Would two records of this commit, exchanged, match its head?"""
        if len(self.since) > MAX_PERMUTED:
            return None
        leaves = [leaf for _, leaf in self.since]
        for left, right in combinations(range(len(leaves)), 2):
            trial = leaves.copy()
            trial[left], trial[right] = trial[right], trial[left]
            frontier = self.good.extend(trial)
            if frontier.root() == root:
                index, other = self.good.size + left, self.good.size + right
                message = f"it and record {other} (`{self.since[right][0]}`) have changed places"
                self.find(Finding(Flaw.REORDERED, self.origin, index, self.since[left][0], message))
                return frontier
        return None


def _fields(data: bytes) -> dict[str, Any]:
    """What a record's bytes say; nothing for what is no record."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}

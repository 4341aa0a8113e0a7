"""A log as a file that proves itself: JSON lines of records and checkpoints, in the log's order.

    {"origin", "index", "id", "record", "private"}   its canonical bytes as text; what stands beside, base64
    {"checkpoint"}                                   a signed note; best right behind what it counts, and the
                                                     newest at the beginning

Leaf hashes are made anew from the records, so they are not in it.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from firewall.audit.keys import unbase64
from firewall.audit.merkle import leaf_hash
from firewall.audit.verify import PROGRESS_EVERY, StoredRecord, Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firewall.audit.keys import VerifyingKey
    from firewall.audit.verify import Progress, Report


# no checkpoint begins so
_RECORD = b'{"origin":'


def record_line(row: StoredRecord) -> str:
    """A record; it may be shown without its values: `replace(row, private=None)`."""
    return _line({
        "origin": row.origin,
        "index": row.index,
        "id": row.id,
        "record": row.bytes.decode(errors="surrogateescape"),
        "private": None if row.private is None else base64.b64encode(row.private).decode(),
    })  # fmt: skip


def checkpoint_line(note: str) -> str:
    return _line({"checkpoint": note})


def read(lines: Iterable[bytes]) -> Iterator[StoredRecord | str]:
    """Records and checkpoints (as notes) as they stand. Raises ValueError, with the line, for others."""
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            if set(fields) == {"checkpoint"}:
                yield _text(fields["checkpoint"])
                continue
            data = _text(fields["record"]).encode(errors="surrogateescape")
            private, index = fields.get("private"), _number(fields["index"])
            beside = None if private is None else unbase64(_text(private))
            origin, name = _text(fields["origin"]), _text(fields["id"])
            yield StoredRecord(origin, index, name, data, leaf_hash(data), beside)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"line {number} is neither a record nor a checkpoint ({_why(error)})") from None


def verify(
    again: Callable[[], Iterable[bytes]],
    published: Sequence[str],
    keys: Sequence[VerifyingKey],
    progress: Progress | None = None,
) -> Report:
    """Verify an export, which `again` reads from its beginning, against its checkpoints and published ones.

    One reading is enough where every checkpoint stands right behind what it counts, or before it; where one
    stands further behind, they are gathered first. Raises ValueError as `read` does.
    """
    verification = Verification(published, keys)
    if not _read(again(), verification, progress, gathered=False):
        verification = Verification([*published, *_heads(again())], keys)
        _read(again(), verification, progress, gathered=True)
    return verification.finish()


def _read(
    lines: Iterable[bytes], verification: Verification, progress: Progress | None, *, gathered: bool
) -> bool:
    """False when a checkpoint came too late to be compared."""
    for one in read(lines):
        if isinstance(one, str):
            if not gathered and not verification.head(one):
                return False
            continue
        verification.add(one)
        if progress is not None and verification.records % PROGRESS_EVERY == 0:
            progress(verification.records)
    return True


def _heads(lines: Iterable[bytes]) -> Iterator[str]:
    """The checkpoints alone; what begins as records do is passed over."""
    for one in read(line for line in lines if not line.startswith(_RECORD)):
        if isinstance(one, str):
            yield one


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":")) + "\n"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("the index is no number")
    return value


def _why(error: Exception) -> str:
    return f"`{error.args[0]}` is not there" if isinstance(error, KeyError) else str(error).split(": line")[0]

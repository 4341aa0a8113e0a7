"""`Runs` records, written straight as canonical bytes: there are thousands of runs in a second.

What a model of a run would cost, and a dump of it, and an encoder that sorts its keys, is many times what it
costs here. The bytes are those that `canonical.encode` gives for the same record; a test holds them to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from json.encoder import encode_basestring as _quoted  # the C one: short escapes, all else as it is
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# a run or an end without its values, and the values
Line = tuple[str, str]

# RFC 8785 writes integers beyond this as other doubles (3.2.2.3)
_LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Written:
    """A record as its canonical bytes, and the fields by which it is found.

    before, after: the bytes around the commitment to its values, which is not known yet. values: their JSON
    as `sealed` has it; empty where it has none.
    """

    id: str
    at: str
    session: str
    statement: str
    agent: str
    before: str
    after: str
    values: str
    kind: str = "runs"
    hold: str = ""


def run(number: int, at: str, digest: str, parameters: Iterable[str | None]) -> Line:
    """One `Run`. at, digest: plain ASCII that needs no escape. Raises ValueError for a number too large."""
    if number > _LARGEST:
        raise ValueError("an integer is too large for a record")
    values = ",".join(["null" if value is None else _quoted(value) for value in parameters])
    return f'{{"at":"{at}","digest":"{digest}","number":{number},"parameters":[]}}', f"[{values}]"


def end(  # noqa: PLR0913 — the fields of `End`
    number: int,
    at: str,
    *,
    tag: str,
    rows: int,
    size: int,
    micros: int,
    sqlstate: str = "",
    message: str = "",
) -> Line:
    """One `End`. Raises ValueError for a number too large."""
    if number > _LARGEST or rows > _LARGEST or size > _LARGEST or micros > _LARGEST:
        raise ValueError("an integer is too large for a record")
    return (
        (
            f'{{"at":"{at}","bytes":{size},"message":"","micros":{micros},"number":{number},'
            f'"rows":{rows},"sqlstate":{_quoted(sqlstate)},"tag":{_quoted(tag)}}}'
        ),
        _quoted(message) if message else '""',
    )


def runs(
    *,
    id: str,  # noqa: A002 — the record's field
    at: str,
    session: str,
    statement: str,
    agent: str,
    released: Sequence[Line],
    ended: Sequence[Line],
) -> Written:
    """A `Runs` record of runs and ends that are written already."""
    parameters = [values for _, values in released]
    messages = [message for _, message in ended]
    any_values = any(one != "[]" for one in parameters) or any(one != '""' for one in messages)
    before = (
        f'{{"agent":{_quoted(agent)},"at":{_quoted(at)},"ended":[{",".join([line for line, _ in ended])}],'
        f'"hold":"","id":{_quoted(id)},"kind":"runs",'
        f'"released":[{",".join([line for line, _ in released])}],"sealed":"'
    )
    after = f'","session":{_quoted(session)},"statement":{_quoted(statement)},"v":1}}'
    values = f'{{"messages":[{",".join(messages)}],"parameters":[{",".join(parameters)}]}}'
    return Written(id, at, session, statement, agent, before, after, values if any_values else "")

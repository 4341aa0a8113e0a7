"""The records of a period, in the order of their log, page by page; memory does not grow with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

from sqlalchemy import select

from firewall import audit, clock
from firewall.errors import StoreError
from firewall.store import tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Row, Select

    from firewall.store import engine

_R = tables.records.c
_PAGE = 1000
# what this version writes
_KINDS = frozenset(kind.model_fields["kind"].default for kind in get_args(get_args(audit.Record)[0]))


async def during(
    database: engine.Database, origin: str, size: int, since: datetime, until: datetime
) -> AsyncIterator[Sequence[audit.Record | str]]:
    """Of the first `size` records of a log, those from `since` on and before `until`, without their values.

    A record of a kind that this version does not know is given as the name of its kind.
    """
    wanted = (_R.origin == origin, _R.idx < size, _R.at >= clock.stamp(since), _R.at < clock.stamp(until))
    after = -1
    while True:
        query = select(_R.idx, _R.id, _R.bytes).where(*wanted, _R.idx > after).order_by(_R.idx).limit(_PAGE)
        page = await _read(database, query)
        if page:
            yield [_record(row) for row in page]
        if len(page) < _PAGE:
            return
        after = page[-1].idx


async def _read(database: engine.Database, query: Select[Any]) -> Sequence[Row[Any]]:
    return await database.read(lambda connection: connection.execute(query).all())


def _record(row: Row[Any]) -> audit.Record | str:
    data = bytes(row.bytes)
    try:
        return audit.decode(data)
    except ValueError as error:
        kind = _kind(data)
        if kind and kind not in _KINDS:
            return kind
        raise StoreError(
            f"record `{row.id}` is damaged: {error}", hint="`firewall audit verify` says what else is"
        ) from error


def _kind(data: bytes) -> str:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    kind = fields.get("kind") if isinstance(fields, dict) else None
    return kind if isinstance(kind, str) else ""

"""More to search by, and filters that people keep."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# how many records are filed anew in one go
_BATCH = 2000


def upgrade() -> None:
    for name in ("owner", "database", "rule"):
        op.add_column("records", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.create_table(
        "record_facets",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("record", "facet", "value", "at")),
        sa.PrimaryKeyConstraint("record", "facet", "value", name="record_facets_pkey"),
    )
    op.create_table(
        "views",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("person", "name", "query")),
        sa.PrimaryKeyConstraint("person", "name", name="views_pkey"),
    )
    _file()
    judged = sa.text("verdict <> ''")
    for name in ("owner", "database", "rule"):
        op.create_index(
            f"records_by_{name}",
            "records",
            [name, "at", "id"],
            sqlite_where=sa.text("verdict != ''"),
            postgresql_where=judged,
        )
    op.create_index("record_facets_by_value", "record_facets", ["facet", "value", "at", "record"])


def _file() -> None:
    """What is in the log already is filed as new records are; its bytes say how."""
    connection = op.get_bind()
    names = ("origin", "idx", "id", "at", "kind", "bytes")
    records = sa.table("records", *map(sa.column, (*names, "owner", "database", "rule")))
    facets = sa.table("record_facets", *map(sa.column, ("record", "facet", "value", "at")))
    r = records.c
    named = sa.update(records).where(r.id == sa.bindparam("record"))
    named = named.values({name: sa.bindparam(f"new_{name}") for name in ("owner", "database", "rule")})
    page = sa.select(*(r[name] for name in names)).where(r.kind.in_(("judgement", "decision")))
    page = page.order_by(r.origin, r.idx).limit(_BATCH)
    rows = connection.execute(page).all()
    while rows:
        columns: list[dict[str, str]] = []
        several: list[dict[str, str]] = []
        for row in rows:
            fields = json.loads(bytes(row.bytes))
            if row.kind == "judgement":
                new = {f"new_{name}": _cut(fields[name]) for name in ("owner", "database", "rule")}
                columns.append({"record": row.id, **new})
                effects = fields["effects"]
                found = [("effect", effect["kind"]) for effect in effects]
                found += [("label", label) for effect in [*effects, fields] for label in effect["labels"]]
            else:
                found = [("by", person) for person in fields["by"]]
            filed = dict.fromkeys((facet, _cut(value)) for facet, value in found)
            key = {"record": row.id, "at": row.at}
            several += [{**key, "facet": facet, "value": value} for facet, value in filed]
        if columns:
            connection.execute(named, columns)
        if several:
            connection.execute(sa.insert(facets), several)
        last = rows[-1]
        after = sa.or_(r.origin > last.origin, sa.and_(r.origin == last.origin, r.idx > last.idx))
        rows = connection.execute(page.where(after)).all()


def _cut(text: str) -> str:
    return text.replace("\x00", "\ufffd")[:500]

"""The log, holds, agents and tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("idx", sa.BigInteger, nullable=False),
        *_text("id", "kind", "at", "session", "statement", "hold", "agent", "verdict", "text"),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("bytes", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("origin", "idx", name="records_pkey"),
    )
    op.create_index("records_by_id", "records", ["id"], unique=True)
    op.create_index("records_by_kind", "records", ["kind", "at", "id"])
    op.create_index("records_by_session", "records", ["session", "at", "id"])
    op.create_index("records_by_statement", "records", ["statement"])
    op.create_index("records_by_hold", "records", ["hold"])
    judged = sa.text("verdict <> ''")
    for column in ("agent", "verdict"):
        op.create_index(
            f"records_by_{column}",
            "records",
            [column, "at", "id"],
            sqlite_where=judged,
            postgresql_where=judged,
        )
    op.create_table(
        "record_relations",
        *_text("record", "relation", "name", "at"),
        sa.PrimaryKeyConstraint("record", "relation", name="record_relations_pkey"),
    )
    op.create_index("record_relations_by_relation", "record_relations", ["relation", "at", "record"])
    op.create_index("record_relations_by_name", "record_relations", ["name", "at", "record"])
    op.create_table(
        "heads",
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("origin", name="heads_pkey"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("origin", "size", name="checkpoints_pkey"),
    )
    op.create_table(
        "holds",
        *_text("id", "state", "opened_at", "votes", "outcome", "body"),
        sa.PrimaryKeyConstraint("id", name="holds_pkey"),
    )
    op.create_index("holds_by_state", "holds", ["state", "opened_at"])
    op.create_index("holds_by_time", "holds", ["opened_at"])
    op.create_table("cards", *_text("hold", "value"), sa.PrimaryKeyConstraint("hold", name="cards_pkey"))
    op.create_table(
        "agents",
        *_text("name", "owner", "team", "issuer", "verifier"),
        sa.Column("disabled", sa.Boolean, nullable=False),
        *_text("created_at"),
        sa.Column("valid_until", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("name", name="agents_pkey"),
    )
    op.create_table(
        "tokens",
        *_text("token_hash", "person", "issuer", "created_at"),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="tokens_pkey"),
    )
    op.create_index("tokens_by_person", "tokens", ["person"])

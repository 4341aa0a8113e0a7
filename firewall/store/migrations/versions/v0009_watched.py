"""How often the database had run what, when it was last compared with the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "watched",
        sa.Column("database", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("database", "role", "query", name="watched_pkey"),
    )

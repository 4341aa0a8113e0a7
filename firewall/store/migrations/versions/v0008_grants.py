"""Grants, and holds that outlive whoever waits for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("holds", sa.Column("digest", sa.Text, nullable=False, server_default=""))
    op.add_column("holds", sa.Column("awaited", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("holds", sa.Column("agent", sa.Text, nullable=False, server_default=""))
    op.add_column("holds", sa.Column("database", sa.Text, nullable=False, server_default=""))
    op.create_index("holds_by_agent", "holds", ["agent", "database", "opened_at"])
    op.create_index("holds_by_digest", "holds", ["digest"])
    op.create_table(
        "grants",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("database", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("revoked_by", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="grants_pkey"),
    )
    op.create_index("grants_by_shape", "grants", ["shape", "until"])
    op.create_index("grants_by_agent", "grants", ["agent", "database", "until"])

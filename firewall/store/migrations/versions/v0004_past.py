"""What agents have run before, and how many rows of budgets they have had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "shapes",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("database", "agent", "fingerprint", "at")),
        sa.PrimaryKeyConstraint("database", "agent", "fingerprint", name="shapes_pkey"),
    )
    op.create_table(
        "spending",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("database", "budget", "agent", "statement")),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("database", "budget", "statement", name="spending_pkey"),
    )
    op.create_index("spending_by_agent", "spending", ["database", "budget", "agent", "at"])

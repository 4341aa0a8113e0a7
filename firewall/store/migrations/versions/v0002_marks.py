"""Labels that no policy says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "marks",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("database", "relation", "column", "label", "source", "statement", "at")
        ),
        sa.PrimaryKeyConstraint("database", "relation", "column", "label", "source", name="marks_pkey"),
    )
    op.create_table(
        "mark_changes",
        sa.Column("database", sa.Text, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("database", name="mark_changes_pkey"),
    )

"""Values apart from the records that commit to them, and the traces that statements belong to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("records", sa.Column("private", sa.LargeBinary, nullable=True))
    op.add_column("records", sa.Column("trace", sa.Text, nullable=False, server_default=""))
    traced = sa.text("trace != ''")
    op.create_index("records_by_trace", "records", ["trace"], sqlite_where=traced, postgresql_where=traced)

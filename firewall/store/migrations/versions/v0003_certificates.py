"""The client certificates by which agents are known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("agents", sa.Column("certificate", sa.Text, nullable=False, server_default=""))

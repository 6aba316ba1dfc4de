"""Agents that an operator took out of service."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "drains",
        sa.Column("agent_id", sa.String(128), primary_key=True),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("deadline", sa.BigInteger()),
        sa.Column("drained_at", sa.BigInteger()),
    )

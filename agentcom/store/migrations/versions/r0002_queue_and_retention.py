"""What a queue asks of a task, when it ends by itself, and what was forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("needs", sa.Text()))
    op.add_column("tasks", sa.Column("terms", sa.Text()))
    op.add_column(
        "tasks", sa.Column("series", sa.Integer(), nullable=False, server_default=sa.text("1"))
    )
    op.add_column("tasks", sa.Column("ready_at", sa.BigInteger()))
    op.add_column("tasks", sa.Column("expires_at", sa.BigInteger()))
    expires = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "tasks_by_expiry",
        "tasks",
        ["expires_at"],
        sqlite_where=expires,
        postgresql_where=expires,
    )
    op.add_column(
        "meta",
        sa.Column("pruned_seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )

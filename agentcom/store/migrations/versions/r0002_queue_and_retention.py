"""What a queue asks of a task, when it ends by itself, what was forgotten; events by number."""

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
    for name in ("pruned_seq", "pruned_number"):
        op.add_column(
            "meta", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
        )
    op.add_column("events", sa.Column("task_number", sa.BigInteger()))
    # Before the rows change, or each of them would change it as well.
    op.drop_index("events_by_task", "events")
    op.execute(
        "UPDATE events SET task_number ="
        " (SELECT number FROM tasks WHERE tasks.id = events.task_id)"
        " WHERE task_id IS NOT NULL"
    )
    of_task = sa.text("task_number IS NOT NULL")
    op.create_index(
        "events_by_task",
        "events",
        ["task_number", "seq"],
        sqlite_where=of_task,
        postgresql_where=of_task,
    )

"""Indexes that find what people list, however many other tasks there are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("tasks_by_status", "tasks")
    op.create_index("tasks_by_status", "tasks", ["status"])
    op.create_index("tasks_by_submitter", "tasks", ["submitted_by"])
    for name, columns, condition in (
        ("tasks_by_priority", ["priority"], "priority != 'normal'"),
        ("dead_letters_by_error", ["status", "last_error"], "status = 'dead_letter'"),
    ):
        where = sa.text(condition)
        op.create_index(name, "tasks", columns, sqlite_where=where, postgresql_where=where)

"""Tasks, the event log, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "tasks",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("priority", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("pinned", sa.String(128)),
        sa.Column("agent_id", sa.String(128)),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float()),
        sa.Column("result", sa.Text()),
        sa.Column("tokens_used", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.Column("submitted_by", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("assigned_at", sa.BigInteger()),
        sa.Column("hold_s", sa.Float(), nullable=False),
        sa.Column("requeues", sa.Integer(), nullable=False),
        sa.Column("recover_due", sa.BigInteger()),
        sa.Column("output_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ending", sa.Text()),
        sa.Column("idempotency_key", sa.String(256)),
        sa.Column("body_hash", sa.String(64)),
    )
    by_key = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        "tasks_by_key",
        "tasks",
        ["submitted_by", "idempotency_key"],
        unique=True,
        sqlite_where=by_key,
        postgresql_where=by_key,
    )
    unfinished = sa.text("status != 'completed'")
    op.create_index(
        "tasks_by_status",
        "tasks",
        ["status"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_index("tasks_by_agent", "tasks", ["agent_id"])
    op.create_table(
        "events",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("task_id", sa.String(64)),
        sa.Column("agent_id", sa.String(128)),
        sa.Column("generation", sa.BigInteger()),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
    )
    of_task = sa.text("task_id IS NOT NULL")
    op.create_index(
        "events_by_task",
        "events",
        ["task_id", "seq"],
        sqlite_where=of_task,
        postgresql_where=of_task,
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(128), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
    )
    op.create_index("ix_tokens_agent_id", "tokens", ["agent_id"])

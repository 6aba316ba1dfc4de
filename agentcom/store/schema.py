"""The tables, in SQLAlchemy Core; ``migrations/`` makes them.

The two must agree: a test compares what the migrations make with this.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

# SQLite gives a row number only to a plain INTEGER primary key.
_Number = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("epoch", String(32), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("pruned_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("pruned_number", BigInteger, nullable=False, server_default=text("0")),
    Column("message_seq", BigInteger, nullable=False, server_default=text("0")),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(64), nullable=False, unique=True),
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("status", String(16), nullable=False),
    Column("description", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("pinned", String(128)),
    Column("agent_id", String(128)),
    Column("generation", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("progress", Float),
    Column("result", Text),
    Column("tokens_used", BigInteger),
    Column("last_error", Text),
    Column("submitted_by", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("assigned_at", BigInteger),
    Column("hold_s", Float, nullable=False),
    Column("requeues", Integer, nullable=False),
    Column("recover_due", BigInteger),
    Column("output_bytes", BigInteger, nullable=False),
    Column("ending", Text),
    Column("idempotency_key", String(256)),
    Column("body_hash", String(64)),
    Column("needs", Text),
    Column("terms", Text),
    Column("series", Integer, nullable=False, server_default=text("1")),
    Column("ready_at", BigInteger),
    Column("expires_at", BigInteger),
)

Index(
    "tasks_by_key",
    tasks.c.submitted_by,
    tasks.c.idempotency_key,
    unique=True,
    sqlite_where=text("idempotency_key IS NOT NULL"),
    postgresql_where=text("idempotency_key IS NOT NULL"),
)
Index("tasks_by_status", tasks.c.status)
Index("tasks_by_agent", tasks.c.agent_id)
Index("tasks_by_submitter", tasks.c.submitted_by)
# Most have no other priority, and need no index to be found.
Index(
    "tasks_by_priority",
    tasks.c.priority,
    sqlite_where=text("priority != 'normal'"),
    postgresql_where=text("priority != 'normal'"),
)
# With the status, or SQLite would rather take the index of that alone.
Index(
    "dead_letters_by_error",
    tasks.c.status,
    tasks.c.last_error,
    sqlite_where=text("status = 'dead_letter'"),
    postgresql_where=text("status = 'dead_letter'"),
)
Index(
    "tasks_by_expiry",
    tasks.c.expires_at,
    sqlite_where=text("expires_at IS NOT NULL"),
    postgresql_where=text("expires_at IS NOT NULL"),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("topic", String(16), nullable=False),
    Column("event", String(32), nullable=False),
    Column("task_id", String(64)),
    Column("agent_id", String(128)),
    Column("generation", BigInteger),
    Column("timestamp", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("task_number", BigInteger),
)
# Ids are random, so an index of them would have each new row on a page of its own.
Index(
    "events_by_task",
    events.c.task_number,
    events.c.seq,
    sqlite_where=text("task_number IS NOT NULL"),
    postgresql_where=text("task_number IS NOT NULL"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("agent_id", String(128), nullable=False, index=True),
    Column("prefix", String(16), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

drains = Table(
    "drains",
    metadata,
    Column("agent_id", String(128), primary_key=True),
    Column("by", String(128), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("note", Text),
    Column("deadline", BigInteger),
    Column("drained_at", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("id", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sender", String(128), nullable=False),
    Column("to", String(128)),
    Column("channel", String(64)),
    Column("message_type", String(256), nullable=False),
    Column("payload", Text, nullable=False),
    Column("reply_to", String(256)),
    Column("root", String(256)),
    Column("timestamp", BigInteger, nullable=False),
)


def _partial(name: str, condition: str, *columns: Column[Any]) -> None:
    where = text(condition)
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


Index("messages_by_id", messages.c.id)
Index("messages_by_sender", messages.c.sender, messages.c.seq)
_partial("messages_by_to", '"to" IS NOT NULL', messages.c.to, messages.c.seq)
_partial("messages_by_channel", "channel IS NOT NULL", messages.c.channel, messages.c.seq)
_partial("messages_by_root", "root IS NOT NULL", messages.c.root, messages.c.seq)
# With all that is asked of them at the start, so that it is found in the index alone.
_partial(
    "messages_to_all",
    "kind = 'broadcast'",
    messages.c.seq,
    messages.c.timestamp,
    messages.c.kind,
)

mail = Table(
    "mail",
    metadata,
    Column("agent_id", String(128), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
Index("mail_by_seq", mail.c.seq)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("agent_id", String(128), primary_key=True),
    Column("floor", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("away_since", BigInteger, nullable=False),
    Column("absences", Text, nullable=False),
)

channels = Table(
    "channels",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("description", Text, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("agent_id", String(128), primary_key=True),
    Column("since", BigInteger, nullable=False),
)

"""Messages, mailboxes, channels."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        "messages",
        columns,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    op.add_column(
        "meta",
        sa.Column("message_seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "messages",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sender", sa.String(128), nullable=False),
        sa.Column("to", sa.String(128)),
        sa.Column("channel", sa.String(64)),
        sa.Column("message_type", sa.String(256), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.String(256)),
        sa.Column("root", sa.String(256)),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
    )
    op.create_index("messages_by_id", "messages", ["id"])
    op.create_index("messages_by_sender", "messages", ["sender", "seq"])
    _partial("messages_by_to", ["to", "seq"], '"to" IS NOT NULL')
    _partial("messages_by_channel", ["channel", "seq"], "channel IS NOT NULL")
    _partial("messages_by_root", ["root", "seq"], "root IS NOT NULL")
    _partial("messages_to_all", ["seq", "timestamp", "kind"], "kind = 'broadcast'")
    op.create_table(
        "mail",
        sa.Column("agent_id", sa.String(128), primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index("mail_by_seq", "mail", ["seq"])
    op.create_table(
        "mailboxes",
        sa.Column("agent_id", sa.String(128), primary_key=True),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("away_since", sa.BigInteger(), nullable=False),
        sa.Column("absences", sa.Text(), nullable=False),
    )
    op.create_table(
        "channels",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "subscriptions",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(128), primary_key=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
    )

"""What must be true of a hub's database, beside what SQLite itself keeps.

Each rule is one statement that finds what breaks it; it is read row by row,
and only the first few are named, so a check of any size needs little memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import msgspec

NAMED = 3
"""Rows that one broken rule names."""

COUNTED = 1_000
"""Rows that it counts; beyond that it says "and more"."""

STATUSES = "'queued', 'assigned', 'working', 'completed', 'dead_letter', 'cancelled', 'expired'"
LIVE = "'queued', 'assigned', 'working'"


class Rule(msgspec.Struct, frozen=True):
    """One rule.

    :ivar about: what holds where it is kept.
    :ivar tables: without which it says nothing.
    :ivar broken: selects the names of what breaks it.
    """

    about: str
    tables: tuple[str, ...]
    broken: str


RULES = (
    Rule(
        "there is one description of the database",
        ("meta",),
        "SELECT 'rows: ' || COUNT(*) FROM meta HAVING COUNT(*) != 1"
        " UNION ALL SELECT 'no epoch' FROM meta WHERE epoch = ''",
    ),
    Rule(
        "the event log ends where it is said to end",
        ("meta", "events"),
        "SELECT 'event ' || MAX(seq) || ', said: ' || (SELECT last_seq FROM meta) FROM events"
        " HAVING MAX(seq) > (SELECT last_seq FROM meta)"
        " UNION ALL SELECT 'event ' || last_seq || ' is missing' FROM meta"
        " WHERE last_seq > pruned_seq AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE seq = last_seq)",
    ),
    Rule(
        "no event is missing since the last one that was forgotten",
        ("meta", "events"),
        "SELECT 'events: ' || COUNT(*) || ' of ' || (SELECT last_seq - pruned_seq FROM meta)"
        " FROM events WHERE seq > (SELECT pruned_seq FROM meta)"
        " HAVING COUNT(*) != (SELECT MAX(last_seq - pruned_seq, 0) FROM meta)",
    ),
    Rule(
        "every task has a status that exists",
        ("tasks",),
        f"SELECT id FROM tasks WHERE status NOT IN ({STATUSES})",
    ),
    Rule(
        "every task that lives has its events",
        ("tasks", "events"),
        f"SELECT id FROM tasks WHERE status != 'completed' AND status IN ({LIVE}) AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE events.task_number = tasks.number)",
    ),
    Rule(
        "every task that an agent has names the agent and a generation",
        ("tasks",),
        "SELECT id FROM tasks WHERE status != 'completed' AND status IN ('assigned', 'working')"
        " AND (agent_id IS NULL OR generation < 1)",
    ),
    Rule(
        "no event of a task that lives is of a later generation than the task",
        ("tasks", "events"),
        f"SELECT id FROM tasks WHERE status != 'completed' AND status IN ({LIVE}) AND generation <"
        " (SELECT MAX(generation) FROM events WHERE events.task_number = tasks.number)",
    ),
    Rule(
        "metadata, results and endings of tasks are JSON",
        ("tasks",),
        "SELECT id FROM tasks WHERE NOT (json_valid(metadata)"
        " AND json_valid(COALESCE(result, 'null')) AND json_valid(COALESCE(ending, 'null')))",
    ),
    Rule(
        "every event's payload is JSON",
        ("events",),
        "SELECT 'event ' || seq FROM events WHERE NOT json_valid(payload)",
    ),
    Rule(
        "what waits in a mailbox is stored",
        ("mail", "messages"),
        "SELECT agent_id || ' ' || seq FROM mail WHERE NOT EXISTS"
        " (SELECT 1 FROM messages WHERE messages.seq = mail.seq)",
    ),
    Rule(
        "no message has a number that is yet to be given out",
        ("messages", "meta"),
        "SELECT 'message ' || MAX(seq) FROM messages"
        " HAVING MAX(seq) > (SELECT message_seq FROM meta)",
    ),
    Rule(
        "who subscribes does so to a channel that there is",
        ("subscriptions", "channels"),
        "SELECT agent_id || ' ' || channel FROM subscriptions WHERE NOT EXISTS"
        " (SELECT 1 FROM channels WHERE channels.name = subscriptions.channel)",
    ),
)


class Broken(msgspec.Struct, frozen=True):
    """A rule that is broken.

    :ivar names: of what breaks it, the first few.
    :ivar count: how many there are, :data:`COUNTED` for that many or more.
    """

    rule: Rule
    names: list[str]
    count: int


def broken(db: sqlite3.Connection, look: Callable[[Rule], None]) -> Iterator[Broken]:
    """Go through all rules.

    :param look: told of each before its statement runs.
    """
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for rule in RULES:
        look(rule)
        if not tables.issuperset(rule.tables):
            continue
        names: list[str] = []
        count = 0
        rows = db.execute(rule.broken)
        for (name,) in rows:
            count += 1
            if len(names) < NAMED:
                names.append(str(name)[:80])
            if count == COUNTED:
                break
        rows.close()
        if count:
            yield Broken(rule, names, count)

"""What an agent has promised and found out, on disk: one row for each attempt.

One SQLite file: a library that is made for power cuts is better than renames
of our own.  It is written on the reactor's thread: an attempt costs four
writes from its assignment to its acknowledgement, nothing may be said or begun
before they are done, and so every decision of the ``desk`` stays one step.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from twisted.logger import Logger

from agentcom.sidecar.jobs import Frame, Key

VERSION = 1
ACCEPTED, WORKING, ENDED = "accepted", "working", "ended"
# Somebody may look into the file; the agent must not stand still for long.
BUSY_S = 1.0
KEPT_WAL_BYTES = 4 * 1024 * 1024

_SCHEMA = (
    "CREATE TABLE owner (agent_id TEXT NOT NULL)",
    """
    CREATE TABLE attempts (
        task_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        stage TEXT NOT NULL CHECK (stage IN ('accepted', 'working', 'ended')),
        turn INTEGER NOT NULL,
        task BLOB NOT NULL,
        said BLOB,
        PRIMARY KEY (task_id, generation)
    )
    """,
)
_PUT = """
    INSERT INTO attempts (task_id, generation, stage, turn, task, said) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        stage = excluded.stage, turn = excluded.turn, task = excluded.task, said = excluded.said
"""
_WORKING = "UPDATE attempts SET stage = 'working' WHERE task_id = ? AND generation = ?"
_FORGET = "DELETE FROM attempts WHERE task_id = ? AND generation = ?"
_ALL = "SELECT task_id, generation, stage, task FROM attempts ORDER BY turn"
_SAID = "SELECT said FROM attempts WHERE task_id = ? AND generation = ?"


class JournalFailed(Exception):
    """The journal cannot be written or read; the text is a sentence that says why."""


@dataclass(frozen=True)
class Entry:
    """What an earlier process of the agent left.

    :ivar stage: ``accepted``, ``working`` or ``ended``.
    :ivar task: the whole ``task_assign``; empty once it has ended.
    """

    key: Key
    stage: str
    task: Frame


class Journal:
    """The attempts of one agent, from acceptance to acknowledgement.

    An end that cannot be written waits in memory, as does the wish to forget
    one; each later write tries again, and so does :meth:`catch_up`.

    :param db: in autocommit mode.
    :param name: of the file, for people.
    :raises JournalFailed: it cannot be used, is another agent's, or of a newer version.
    """

    log = Logger()

    def __init__(self, db: sqlite3.Connection, name: str, agent_id: str) -> None:
        self._db = db
        self._name = name
        self._trouble: str | None = None
        self._unwritten: dict[Key, list[Frame]] = {}
        self._unwanted: set[Key] = set()
        try:
            self._prepare(agent_id)
            (last,) = db.execute("SELECT coalesce(max(turn), 0) FROM attempts").fetchone()
        except sqlite3.Error as e:
            raise JournalFailed(f"the journal {name} cannot be used: {e}") from e
        self._turn: int = last

    @classmethod
    def open(cls, path: Path, agent_id: str) -> Journal:
        """Open the file, and make it where it is missing.

        :raises JournalFailed: as the constructor.
        """
        try:
            # SQLite gives its further files the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as e:
            raise JournalFailed(f"the journal {path} cannot be opened: {e}") from e
        try:
            return cls(db, str(path), agent_id)
        except JournalFailed:
            db.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def behind(self) -> bool:
        """Whether something waits in memory to be written."""
        return bool(self._unwritten or self._unwanted)

    def entries(self) -> list[Entry]:
        """All attempts, in the order in which they were accepted or have ended.

        :raises JournalFailed: they cannot be read.
        """
        try:
            rows = self._db.execute(_ALL).fetchall()
            return [Entry((i, g), stage, msgspec.json.decode(task)) for i, g, stage, task in rows]
        except (sqlite3.Error, msgspec.DecodeError) as e:
            raise JournalFailed(f"the journal {self._name} cannot be read: {e}") from e

    def accepted(self, key: Key, task: Frame) -> None:
        """The attempt is this agent's from here on; before it says so.

        :raises JournalFailed: it could not be written.
        """
        self._unwanted.discard(key)
        self._put(key, ACCEPTED, task)
        self.catch_up()

    def working(self, key: Key) -> None:
        """Work begins; before it does.

        :raises JournalFailed: it could not be written.
        """
        self._write(_WORKING, *key)
        self.catch_up()

    def ended(self, key: Key, said: list[Frame]) -> None:
        """The attempt has ended; before it is reported.

        :param said: what is to be said, the final report last.
        """
        self._unwritten[key] = said
        self.catch_up()

    def holds(self, key: Key) -> bool:
        """Whether an end is on disk, not in memory."""
        return key not in self._unwritten

    def said(self, key: Key) -> list[dict[str, Any]]:
        """What is to be said of an attempt that has ended, its final report last.

        :raises JournalFailed: it cannot be read.
        """
        waiting = self._unwritten.get(key)
        if waiting is not None:
            return [dict(frame) for frame in waiting]
        try:
            (said,) = self._db.execute(_SAID, key).fetchone()
            return msgspec.json.decode(said, type=list[dict[str, Any]])
        except (sqlite3.Error, TypeError, msgspec.DecodeError) as e:
            raise JournalFailed(f"the journal {self._name} cannot be read: {e}") from e

    def forget(self, key: Key) -> None:
        """The hub has had its last word on the attempt."""
        self._unwritten.pop(key, None)
        self._unwanted.add(key)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what could not be written before."""
        try:
            for key, said in list(self._unwritten.items()):
                self._put(key, ENDED, {}, said)
                del self._unwritten[key]
            for key in list(self._unwanted):
                self._write(_FORGET, *key)
                self._unwanted.discard(key)
        except JournalFailed:
            # It is said, and tried again.
            return

    def _put(self, key: Key, stage: str, task: Frame, said: Sequence[Frame] | None = None) -> None:
        self._turn += 1
        self._write(_PUT, *key, stage, self._turn, _json(task), _json(said))

    def _write(self, statement: str, *values: object) -> None:
        try:
            self._db.execute(statement, values)
        except (sqlite3.Error, OverflowError, UnicodeError) as e:
            if self._trouble is None:
                self.log.error(
                    "the journal {name} cannot be written: {e}; no task is taken until it can",
                    name=self._name,
                    e=e,
                )
            self._trouble = str(e)
            raise JournalFailed(f"the agent's journal cannot be written: {e}") from e
        if self._trouble is not None:
            self._trouble = None
            self.log.info("the journal {name} can be written again", name=self._name)

    def _prepare(self, agent_id: str) -> None:
        db, name = self._db, self._name
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise JournalFailed(
                f"the journal {name} is of a newer version of agentcom; "
                "use that one, or another state directory"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # Without it macOS lets the disk keep what was flushed in its cache.
        db.execute("PRAGMA fullfsync = ON")
        db.execute(f"PRAGMA journal_size_limit = {KEPT_WAL_BYTES}")
        if version == 0:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO owner VALUES (?)", (agent_id,))
                db.execute(f"PRAGMA user_version = {VERSION}")
        (owner,) = db.execute("SELECT agent_id FROM owner").fetchone()
        if owner != agent_id:
            raise JournalFailed(
                f"the journal {name} is the one of agent {owner}; "
                f"give {agent_id} a state directory of its own"
            )


def _json(value: object) -> bytes | None:
    # As the session sends it: a lone surrogate must stop neither.
    return (
        None if value is None else json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    )

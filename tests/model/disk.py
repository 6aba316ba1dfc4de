"""One database file that outlives hubs, and says when it writes and reads.

A real file with a write-ahead log, because one connection in memory would
show the hub what it has not committed yet.  ``synchronous`` is off: what a
crash of the machine loses is not the question here, what a crash of the hub
loses is, and :meth:`Disk.crash` decides that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock

from agentcom.core.events import Event
from agentcom.core.state import Task
from agentcom.core.tokens import Token
from agentcom.store import migrate, reads
from agentcom.store import statements as sql
from agentcom.store.connections import connect
from agentcom.store.local import insert
from agentcom.store.schema import meta, metadata
from agentcom.store.script import commit_here
from agentcom.store.sqlite import SqliteStore

Work = Callable[[], Any]


class _Lasting(sqlite3.Connection):
    """Stays open when a hub closes it: the next one reads through it as well."""

    def close(self) -> None:
        pass


class Disk:
    """The file, for one hub at a time.

    :ivar slow: commits wait for :meth:`finish`.
    :ivar late: what is read is given out at :meth:`deliver`.
    :ivar failing: so many of the next commits fail.
    :ivar look: a connection for those who check.
    """

    def __init__(self, path: Path, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._writer = connect(str(path))
        self._writer.execute("PRAGMA synchronous=OFF")
        migrate.upgrade(self._writer, lambda: "00000000")
        self._reader = self._open(path)
        self.look = self._open(path)
        self._life = 0
        self._committing: tuple[Work, Deferred[Any]] | None = None
        self._reading: list[tuple[Deferred[Any], Deferred[Any]]] = []
        self.clear()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(str(path), isolation_level=None, factory=_Lasting)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def close(self) -> None:
        """Close all of it."""
        for connection in (self._reader, self.look):
            sqlite3.Connection.close(connection)
        self._writer.close()

    def clear(self) -> None:
        """As new; but for the tokens, which are always the same."""
        self.slow = self.late = False
        self.failing = 0
        self._lose()
        db = self._writer
        db.execute("BEGIN IMMEDIATE")
        for table in metadata.sorted_tables:
            if table.name != "meta":
                db.execute(f"DELETE FROM {table.name}")
        counters = [c.name for c in meta.columns if c.name not in ("id", "epoch")]
        db.execute(f"UPDATE meta SET {', '.join(f'{name} = 0' for name in counters)}")
        db.execute("COMMIT")
        for token in self._tokens:
            insert(db, token)

    def open(self, clock: Clock, give_up: Callable[[], None]) -> SqliteStore:
        """The store of a new hub; ``give_up`` is told that this life must end."""
        life = self._life
        return SqliteStore(
            clock,
            self._writer,
            lambda: self._reader,
            commit_here(self._writer, lambda work: self._commit(life, work)),
            lambda work: self._read(life, work),
            give_up,
        )

    @property
    def still(self) -> bool:
        """Whether nothing is under way."""
        return self._committing is None and not self._reading

    def finish(self) -> bool:
        """Let the commit that waits come to its end; says whether there was one."""
        waiting, self._committing = self._committing, None
        if waiting is None:
            return False
        work, done = waiting
        work()
        done.callback(None)
        return True

    def deliver(self, backwards: bool) -> bool:
        """Give out what was read; says whether there was anything."""
        waiting, self._reading = self._reading, []
        for found, done in reversed(waiting) if backwards else waiting:
            found.addBoth(done.callback)
        return bool(waiting)

    def crash(self, written: bool) -> None:
        """The hub that had it open is no more.

        :param written: the commit that it waited for was done, and it never heard of it.
        """
        if self._committing is not None and written:
            self._committing[0]()
        self._lose()

    def _lose(self) -> None:
        self._life += 1
        self._committing = None
        self._reading = []
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _commit(self, life: int, work: Work) -> Deferred[Any]:
        if life != self._life:
            return Deferred()
        if self.failing:
            self.failing -= 1
            return fail(sqlite3.OperationalError("disk I/O error"))
        if self.slow:
            done: Deferred[Any] = Deferred()
            self._committing = work, done
            return done
        work()
        return succeed(None)

    def _read(self, life: int, work: Work) -> Deferred[Any]:
        if life != self._life:
            return Deferred()
        if not self.late:
            return maybeDeferred(work)
        done: Deferred[Any] = Deferred()
        self._reading.append((maybeDeferred(work), done))
        return done

    # -- for those who check ----------------------------------------------

    def rows(self) -> list[tuple[Any, ...]]:
        """Every row of the tasks table, in the order of ``rows.to_task``."""
        return self.look.execute(_ROWS).fetchall()

    def task(self, task_id: str) -> Task | None:
        """One task, as it is now."""
        return reads.task(self.look, task_id)

    def events(self, after: int) -> list[tuple[Any, ...]]:
        """The events after a sequence number, oldest first, each with its task's number first."""
        return self.look.execute(_EVENTS, (after,)).fetchall()

    def kept(self) -> set[int]:
        """The sequence numbers that are in the log."""
        return {seq for (seq,) in self.look.execute("SELECT seq FROM events")}

    def count(self) -> int:
        """How many events are in the log."""
        return int(self.look.execute("SELECT count(*) FROM events").fetchone()[0])

    def numbers(self) -> tuple[int, int]:
        """The last sequence number, and the highest one that was ever forgotten."""
        found: tuple[int, int] = self.look.execute(
            "SELECT last_seq, pruned_seq FROM meta"
        ).fetchone()
        return found


_EVENTS = (
    f"SELECT task_number, {', '.join(Event.__struct_fields__)} FROM events"
    " WHERE seq > ? ORDER BY seq"
)
_ROWS = f"SELECT {', '.join(sql.TASK_COLUMNS)} FROM tasks"

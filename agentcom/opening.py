"""What a hub keeps on disk, opened: the store, its threads, the audit log.

Blocks, and raises :class:`.errors.StartError`; the service does this once,
before it listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from agentcom.config import Config
from agentcom.core.ids import ADMIN_ID, Ids
from agentcom.core.tokens import ADMIN, mint
from agentcom.datadir import DataDir, free_bytes, write_secret
from agentcom.errors import StartError
from agentcom.store.auditfile import NAME as AUDIT_LOG
from agentcom.store.auditfile import AuditFile, AuditWriter
from agentcom.store.local import count_tokens, insert
from agentcom.store.sqlite import SqliteStore, connect_reader, open_file

READERS = 4
"""Threads that read the store."""

log = Logger()


class DaemonThread(Thread):
    """A thread that never keeps a process alive which is otherwise at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class Pool(ThreadPool):
    """Threads for what may block."""

    threadFactory = DaemonThread


class OnDisk:
    """A hub's files while they are open.

    :param give_up: ends the process when the store has failed for a minute.
    :ivar store: what the hub's state is in.
    :ivar audit: writes who did what.
    :ivar pools: the threads that go with them.
    :raises StartError: the database cannot be opened, or the token not written.
    """

    def __init__(
        self, config: Config, data: DataDir, reactor: Any, give_up: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self.pools: list[ThreadPool] = []
        path = config.database
        ids = Ids(os.urandom)
        connection = open_file(path, ids.epoch)
        if count_tokens(connection) == 0:
            _first_token(connection, ids, data, int(reactor.seconds() * 1000))
        commits, reads = self._pool("commit", 1, 1), self._pool("read", 1, READERS)
        self.store = SqliteStore(
            reactor,
            connection,
            lambda: connect_reader(str(path)),
            commits,
            reads,
            give_up,
            lambda: free_bytes(path.parent),
            config.min_free,
        )
        self.audit = AuditWriter(AuditFile(data.path / AUDIT_LOG), self._pool("audit", 0, 1))

    def close(self) -> None:
        """End the threads, then close the files."""
        for pool in self.pools:
            pool.stop()
        self.audit.close()
        self.store.close()

    def _pool(self, name: str, least: int, most: int) -> Callable[[Callable[[], Any]], Any]:
        """What runs a call in a thread of a new pool."""
        pool = Pool(least, most, name)
        pool.start()
        self.pools.append(pool)
        return lambda work: deferToThreadPool(self._reactor, pool, work)


def _first_token(connection: Any, ids: Ids, data: DataDir, now: int) -> None:
    secret, token = mint(ids, ADMIN_ID, (ADMIN,), now)
    # The file first: a crash between the two leaves a file that the next
    # start replaces, and never a hub whose only token nobody knows.
    try:
        write_secret(data.token_file, secret)
    except OSError as e:
        raise StartError(f"cannot write {data.token_file}: {e.strerror}") from e
    insert(connection, token)
    log.info("the admin token is in {path}", path=str(data.token_file))

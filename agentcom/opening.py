"""What a hub keeps on disk, opened: the store, its threads, the audit log.

Blocks, and raises :class:`.errors.StartError`; the service does this once,
before it listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from agentcom.config import Config
from agentcom.core.ids import ADMIN_ID, Ids
from agentcom.core.tokens import ADMIN, mint
from agentcom.datadir import DataDir, free_bytes, write_secret
from agentcom.errors import StartError
from agentcom.store.auditfile import NAME as AUDIT_LOG
from agentcom.store.auditfile import AuditFile, AuditWriter
from agentcom.store.local import count_tokens, insert
from agentcom.store.sqlite import SqliteStore, connect_reader, open_file
from agentcom.workers import Workers

READERS = 4
"""Threads that read the store."""

log = Logger()


class OnDisk:
    """A hub's files while they are open.

    :param give_up: ends the process when the store has failed for a minute.
    :ivar store: what the hub's state is in.
    :ivar audit: writes who did what.
    :ivar workers: the threads that go with them.
    :raises StartError: the database cannot be opened, or the token not written.
    """

    def __init__(
        self, config: Config, data: DataDir, reactor: Any, give_up: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self.workers: list[Workers] = []
        path = config.database
        ids = Ids(os.urandom)
        connection = open_file(path, ids.epoch)
        if count_tokens(connection) == 0:
            _first_token(connection, ids, data, int(reactor.seconds() * 1000))
        self.store = SqliteStore(
            reactor,
            connection,
            lambda: connect_reader(str(path)),
            self._workers("commit", 1),
            self._workers("read", READERS),
            give_up,
            lambda: free_bytes(path.parent),
            config.min_free,
        )
        self.audit = AuditWriter(AuditFile(data.path / AUDIT_LOG), self._workers("audit", 1))

    def close(self) -> None:
        """End the threads, then close the files."""
        for workers in self.workers:
            workers.stop()
        self.audit.close()
        self.store.close()

    def _workers(self, name: str, most: int) -> Workers:
        made = Workers(self._reactor, name, most)
        self.workers.append(made)
        return made


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

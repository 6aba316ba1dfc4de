"""What a hub keeps on disk, opened: the store, who writes and reads it, the audit log.

Blocks, and raises :class:`.errors.StartError`; the service does this once,
before it listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger

from agentcom.config import Config
from agentcom.core.ids import ADMIN_ID, Ids
from agentcom.core.tokens import ADMIN, mint
from agentcom.datadir import DataDir, Lock, free_bytes, write_secret
from agentcom.errors import StartError
from agentcom.store.auditfile import NAME as AUDIT_LOG
from agentcom.store.auditfile import AuditFile, AuditWriter
from agentcom.store.connections import connect_reader
from agentcom.store.local import count_tokens, insert
from agentcom.store.sqlite import SqliteStore, open_file
from agentcom.store.writing import Writer
from agentcom.workers import Workers

READERS = 4
"""Threads that read the store."""

log = Logger()


class OnDisk:
    """A hub's files while they are open.

    :param locks: of the hub, shared with the process that writes.
    :param give_up: ends the process when the store has failed for a minute, or when what
        writes it has ended.
    :ivar store: what the hub's state is in.
    :ivar writer: the process that writes it.
    :ivar audit: writes who did what.
    :ivar workers: the threads that go with them.
    :raises StartError: the database cannot be opened, or the token not written.
    """

    def __init__(
        self,
        config: Config,
        data: DataDir,
        locks: Iterable[Lock],
        reactor: Any,
        give_up: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._give_up = give_up
        self.workers: list[Workers] = []
        path = config.database
        ids = Ids(os.urandom)
        connection = open_file(path, ids.epoch)
        if count_tokens(connection) == 0:
            _first_token(connection, ids, data, int(reactor.seconds() * 1000))
        self.writer = Writer(self._writer_ended)
        try:
            self.writer.start(reactor, path, [lock.descriptor for lock in locks])
        except OSError as e:
            connection.close()
            raise StartError(f"cannot start the process that writes {path}: {e}") from e
        self.store = SqliteStore(
            reactor,
            connection,
            lambda: connect_reader(str(path)),
            self.writer.commit,
            self._workers("read", READERS),
            give_up,
            lambda: free_bytes(path.parent),
            config.min_free,
        )
        self.audit = AuditWriter(AuditFile(data.path / AUDIT_LOG), self._workers("audit", 1))

    def close(self) -> None:
        """End the process and the threads, then close the files.

        Does not wait for the process, which may have a disk that hangs; who wants to, waits
        for its :meth:`.Writer.stop` before.
        """
        self.writer.stop()
        for workers in self.workers:
            workers.stop()
        self.audit.close()
        self.store.close()

    def _writer_ended(self, why: str) -> None:
        # What it was given is on disk or not: only a hub that begins anew can tell.
        log.critical(
            "the process that writes the database has ended ({why}): the hub ends to recover"
            " from disk",
            why=why,
        )
        self._give_up()

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

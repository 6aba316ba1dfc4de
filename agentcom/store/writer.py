"""The program of the process that writes a hub's database.

Says that it is there; then it reads batches of statements from its standard input, writes
each in one transaction, and says on its standard output what became of it.  The hub's side,
which starts it, is :mod:`.writing`.  It ends when its input does: with the hub, however that
ended.  A batch that has not arrived whole by then is not written; one that has, is.

Imports nothing but the standard library: it is there in some 20 ms and takes some 10 MiB.
"""

from __future__ import annotations

import marshal
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from agentcom.store import transaction
from agentcom.store.connections import connect

SIZE_BYTES = 8
"""What comes before each batch, and before each answer: how long it is, big-endian."""

BUSY_MS = 1_000
"""Milliseconds that a batch waits for another process's write lock."""


class Source(Protocol):
    """Where batches come from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer where it has ended."""


def serve(
    connection: sqlite3.Connection, source: Source, answer: Callable[[bytes], object]
) -> None:
    """Write what comes, until nothing more does.

    :param answer: told nothing at the beginning, and of each batch, in their order: nothing
        where it is durable, otherwise why it is not.
    """
    answer(b"")
    while len(head := source.read(SIZE_BYTES)) == SIZE_BYTES:
        size = int.from_bytes(head, "big")
        batch = source.read(size)
        if len(batch) < size:
            return
        try:
            transaction.write(connection, marshal.loads(batch))
            transaction.commit(connection)
        except Exception as e:
            transaction.rollback(connection)
            answer((str(e) or type(e).__name__).encode("utf-8", "replace"))
        else:
            answer(b"")


def framed(content: bytes) -> bytes:
    """As it goes over the pipe."""
    return len(content).to_bytes(SIZE_BYTES, "big") + content


def main() -> None:
    """Serve the hub that started this."""
    # What ends a hub may be meant for all its group; here it has to come from the hub, for
    # what it still sends is what it has promised.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = connect(sys.argv[1], BUSY_MS)
    with open(0, "rb") as source, open(1, "wb", buffering=0) as out, suppress(BrokenPipeError):
        serve(connection, source, lambda told: out.write(framed(told)))
    connection.close()

"""The hub's side of the process that writes its database.

Statements and commits take a quarter of the time of a hub at work, and in a thread they take
it from the reactor, whose lock of the interpreter they need between any two steps.  The
process needs none of it: the reactor only makes the rows, and hears when they are on disk.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

import agentcom
from agentcom.store.commit import Batch
from agentcom.store.pipe import Pipe
from agentcom.store.script import Script
from agentcom.store.writer import SIZE_BYTES, framed

PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from agentcom.store.writer import main; main()"
)
"""Called with the directory that this package is in, and the database.  It is behind the
standard library there, lest something beside the package be taken for a part of that."""

INTO, OUT_OF, ERRORS = range(3)

MOST_ERRORS = 4_096
"""Bytes of what the process says on its standard error that are logged."""


class WriterFailed(Exception):
    """A batch was not written; says why."""


class Writer(ProcessProtocol):
    """One process that writes one database.

    :ivar ready: fires when the process is there.
    :param ended: told why when it has ended without having been asked to: what it was given
        may be on disk or not, and only those who begin anew can tell.
    """

    log = Logger()

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self.ready: Deferred[None] = Deferred()
        self._script = Script()
        # What the process will answer: first that it is there.
        self._awaited = deque([self.ready])
        self._answers = bytearray()
        self._errors = bytearray()
        self._stopped: Deferred[None] | None = None
        self._running = False
        self._process: Any = None
        self._pipe: Pipe | None = None
        self.pid: int | None = None

    def start(self, reactor: Any, database: Path, keep: Iterable[int]) -> None:
        """Start the process.

        :param keep: descriptors of locks, which are held for as long as it lives: a hub that
            comes after a crash must not begin before the last batch of the one before is
            written.
        :raises OSError: it cannot be started.
        """
        inherited = {3 + n: fd for n, fd in enumerate(keep)}
        home = str(Path(agentcom.__file__).parent.parent)
        flags = ("-P", "-E" * sys.flags.ignore_environment, "-I" * sys.flags.isolated)
        self._pipe = pipe = Pipe(reactor)
        try:
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, *filter(None, flags), "-S", "-c", PROGRAM, home, str(database)],
                env=None,
                childFDs={INTO: pipe.far, OUT_OF: "r", ERRORS: "r", **inherited},
            )
        except BaseException:
            pipe.connectionLost(Failure())
            raise
        finally:
            os.close(pipe.far)
        self._running = True
        self.pid = self._process.pid

    def place(self, place: Callable[[int], None]) -> None:
        """Have its pipes told from the reactor's other descriptors.

        :param place: called with the number of each while the reactor does not look at it.
        """
        if self._pipe is not None:
            place(self._pipe.fileno())
        # Twisted's own end of the other one.
        reader = getattr(self._process, "pipes", {}).get(OUT_OF)
        if reader is not None:
            reader.stopReading()
            place(reader.fileno())
            reader.startReading()

    @property
    def busy(self) -> bool:
        """Whether the process has something to answer, or to end."""
        return bool(self._awaited) or (self._stopped is not None and self._running)

    def commit(self, batch: Batch) -> Deferred[None]:
        """See :data:`.commit.Commit`."""
        if self._pipe is None or not self._running:
            return fail(WriterFailed("the process that writes the database has ended"))
        try:
            steps = marshal.dumps(self._script.of(batch))
        except Exception:
            self._script.forget()
            return fail(Failure())
        self._pipe.send(framed(steps))
        done: Deferred[None] = Deferred()
        self._awaited.append(done)
        return done

    def stop(self) -> Deferred[None]:
        """End the process; fires when it is gone.  Nothing may be under way."""
        if self._stopped is None:
            self._stopped = Deferred()
            if self._pipe is not None and self._running:
                self._pipe.end()
            else:
                self._stopped.callback(None)
        return self._stopped

    def outReceived(self, data: bytes) -> None:
        """It says that it is there, or what became of a batch."""
        self._answers += data
        while len(self._answers) >= SIZE_BYTES:
            end = SIZE_BYTES + int.from_bytes(self._answers[:SIZE_BYTES], "big")
            if len(self._answers) < end:
                break
            said = bytes(self._answers[SIZE_BYTES:end])
            del self._answers[:end]
            self._answered(self._awaited.popleft(), said)

    def errReceived(self, data: bytes) -> None:
        """It complains; told when it has ended."""
        self._errors += data[: MOST_ERRORS - len(self._errors)]

    def processEnded(self, reason: Failure) -> None:
        """It is no more."""
        self._running = False
        if self._pipe is not None:
            self._pipe.end()
        if self._errors:
            said = self._errors.decode("utf-8", "replace")
            self.log.error("the process that writes the database said: {said}", said=said)
        if self._stopped is not None:
            self._stopped.callback(None)
        else:
            self._ended(reason.getErrorMessage())

    def _answered(self, done: Deferred[None], said: bytes) -> None:
        if said:
            self._script.forget()
            done.errback(WriterFailed(said.decode("utf-8", "replace")))
        else:
            done.callback(None)

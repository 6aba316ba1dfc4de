"""The hub's side of the process that writes, with a process that the test plays."""

from __future__ import annotations

import contextlib
import marshal
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.store import writing
from agentcom.store.commit import Batch
from agentcom.store.interface import Unit
from agentcom.store.script import Script
from agentcom.store.writer import SIZE_BYTES, framed
from agentcom.store.writing import MOST_ERRORS, Writer, WriterFailed
from tests.unit.store.support import make_draft, make_task


class Process:
    """A reactor that starts one process, and the process.

    :ivar closed: whether its standard input has ended.
    """

    pid = 77

    def __init__(self) -> None:
        self.closed = False
        self.pipes: dict[int, Any] = {}
        self._input = -1
        self._unread = b""
        self._writers: list[Any] = []

    def spawnProcess(self, protocol: Any, path: str, args: list[str], **given: Any) -> Process:
        self.args, self.given = args, given
        self.end()
        self._input = os.dup(given["childFDs"][0])
        return self

    def end(self) -> None:
        """Read no more."""
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def addWriter(self, pipe: Any) -> None:
        self._writers.append(pipe)

    def removeWriter(self, pipe: Any) -> None:
        if pipe in self._writers:
            self._writers.remove(pipe)

    def removeReader(self, pipe: Any) -> None:
        pass

    def turn(self) -> None:
        """There is room in what is waited for."""
        for pipe in list(self._writers):
            if reason := pipe.doWrite():
                self.removeWriter(pipe)
                pipe.connectionLost(Failure(reason))

    def sent(self) -> list[bytes]:
        """The batches that came to its standard input, whole, since it was asked last."""
        os.set_blocking(self._input, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._input, 1 << 20):
                self._unread += data
            self.closed = True
        found = []
        while len(self._unread) >= SIZE_BYTES:
            end = SIZE_BYTES + int.from_bytes(self._unread[:SIZE_BYTES], "big")
            if end > len(self._unread):
                break
            found.append(self._unread[SIZE_BYTES:end])
            self._unread = self._unread[end:]
        return found


def batch(n: int = 1) -> Batch:
    """A batch of one new task."""
    return Batch([Unit(new=[make_task(f"t{n}", number=n)], drafts=[make_draft()])], n)


class WriterCase(SynchronousTestCase):
    """A writer whose process the test plays."""

    def setUp(self) -> None:
        self.ended: list[str] = []
        self.process = Process()
        self.addCleanup(self.process.end)
        self.writer = Writer(self.ended.append)
        self.writer.start(self.process, Path("x.db"), [5, 9])
        self.assertNoResult(self.writer.ready)
        self.writer.outReceived(framed(b""))
        self.assertIsNone(self.successResultOf(self.writer.ready))

    def died(self) -> None:
        """The process is no more."""
        self.writer.processEnded(Failure(ProcessTerminated(signal=9)))


class WriterTests(WriterCase):
    """Batches out, answers in."""

    def test_started(self) -> None:
        """The process has the database, three pipes, and the locks that it shares."""
        self.assertEqual(self.process.args[-1], "x.db")
        given = self.process.given["childFDs"]
        self.assertEqual({**given, 0: "w"}, {0: "w", 1: "r", 2: "r", 3: 5, 4: 9})
        self.assertRaises(OSError, os.fstat, given[0])
        self.assertEqual(self.writer.pid, 77)
        self.assertIsNone(self.process.given["env"])

    def test_cannot_be_started(self) -> None:
        """Where there is no process there is no pipe, either."""
        before = os.listdir("/proc/self/fd")

        class Reactor(Process):
            def spawnProcess(self, *_: Any, **given: Any) -> Process:
                raise OSError("no")

        start = Writer(self.ended.append).start
        self.assertRaises(OSError, start, Reactor(), Path("x.db"), [])
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_placed(self) -> None:
        """Its pipes are told while the reactor does not look at them."""
        told: list[object] = []
        reader = SimpleNamespace(
            fileno=lambda: 44,
            stopReading=lambda: told.append("stop"),
            startReading=lambda: told.append("start"),
        )
        self.process.pipes = {1: reader}
        self.writer.place(told.append)
        self.assertEqual(told[1:], ["stop", 44, "start"])
        self.assertEqual(len(told), 4)
        self.assertIsInstance(told[0], int)

    def test_committed(self) -> None:
        """A batch goes out as its statements, and is done when the process says so."""
        done = self.writer.commit(batch())
        (sent,) = self.process.sent()
        self.assertEqual(marshal.loads(sent), Script().of(batch()))
        self.assertTrue(self.writer.busy)
        self.assertNoResult(done)
        self.writer.outReceived(framed(b""))
        self.assertIsNone(self.successResultOf(done))

    def test_before_it_is_there(self) -> None:
        """What is committed before the process has come up is answered after it has."""
        writer = Writer(self.ended.append)
        writer.start(self.process, Path("x.db"), [])
        done = writer.commit(batch())
        writer.outReceived(framed(b"")[:-1])
        self.assertNoResult(writer.ready)
        writer.outReceived(framed(b"")[-1:] + framed(b"no"))
        self.successResultOf(writer.ready)
        self.failureResultOf(done, WriterFailed)

    def test_isolated(self) -> None:
        """The process goes by the environment where the hub's own interpreter does."""

        def flags(**given: int) -> list[str]:
            usual = {"isolated": 0, "ignore_environment": 0}
            self.patch(writing.sys, "flags", SimpleNamespace(**{**usual, **given}))
            Writer(self.ended.append).start(self.process, Path("x.db"), [])
            return self.process.args[1 : self.process.args.index("-S")]

        self.assertEqual(flags(), ["-P"])
        self.assertEqual(flags(ignore_environment=1), ["-P", "-E"])
        self.assertEqual(flags(ignore_environment=1, isolated=1), ["-P", "-E", "-I"])

    def test_failed(self) -> None:
        """What the process says of a batch that failed is the reason of the failure."""
        done = self.writer.commit(batch())
        self.writer.outReceived(framed("the disk is full é".encode()))
        self.assertEqual(str(self.failureResultOf(done, WriterFailed).value), "the disk is full é")

    def test_answers_in_pieces(self) -> None:
        """An answer counts when it is whole, however the pipe has cut it."""
        for said in (b"", b"no"):
            answer = framed(said)
            for cut in range(1, len(answer)):
                done = self.writer.commit(batch(cut))
                self.writer.outReceived(answer[:cut])
                self.assertNoResult(done)
                self.writer.outReceived(answer[cut:])
                if said:
                    self.failureResultOf(done, WriterFailed)
                else:
                    self.successResultOf(done)

    def test_after_a_failure_nothing_is_taken_for_known(self) -> None:
        """A batch that is tried again has the same statements, the task's agent among them."""
        changed = Batch([Unit(tasks=[make_task("t", number=3, agent_id="w")])], 0)
        self.writer.commit(changed).addErrback(lambda _: None)
        self.writer.outReceived(framed(b"no"))
        self.writer.commit(changed)
        first, again = self.process.sent()
        self.assertEqual(first, again)
        self.writer.outReceived(framed(b""))
        self.writer.commit(changed)
        self.assertNotEqual(self.process.sent(), [first])

    def test_more_than_the_pipe_takes(self) -> None:
        """What does not fit goes out as there is room, whole, and a stop waits for it."""
        long = "x" * 5_000_000
        self.writer.commit(Batch([Unit(new=[make_task("t", number=1, description=long)])], 0))
        self.writer.stop()
        found = self.process.sent()
        self.assertEqual((found, self.process.closed), ([], False))
        for _ in range(1_000):
            self.process.turn()
            found += self.process.sent()
            if self.process.closed:
                break
        self.assertEqual([len(sent) > len(long) for sent in found], [True])
        self.assertTrue(self.process.closed)

    def test_what_cannot_be_sent(self) -> None:
        """A value that cannot go over the pipe fails its batch, and sends nothing."""
        broken = Batch([Unit(new=[make_task("t", number=1, description=object())])], 0)
        changed = Batch([Unit(tasks=[make_task("u", number=3, agent_id="w")])], 0)
        both = Batch([*changed.units, *broken.units], 0)
        self.failureResultOf(self.writer.commit(both), ValueError)
        self.assertEqual(self.process.sent(), [])
        self.writer.commit(changed)
        self.assertEqual(list(map(marshal.loads, self.process.sent())), [Script().of(changed)])


class EndTests(WriterCase):
    """How it comes to an end."""

    def test_stop(self) -> None:
        """A stop closes the pipe, and is over when the process is; asked twice, the same."""
        stopped = self.writer.stop()
        self.assertIs(self.writer.stop(), stopped)
        self.process.turn()
        self.process.sent()
        self.assertTrue(self.process.closed)
        self.assertNoResult(stopped)
        self.assertTrue(self.writer.busy)
        self.died()
        self.assertFalse(self.writer.busy)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.ended, [])

    def test_dies(self) -> None:
        """A process that ends by itself is told of, and nothing is committed any more."""
        done = self.writer.commit(batch())
        self.process.end()
        self.died()
        self.process.turn()
        self.assertEqual(len(self.ended), 1)
        self.assertIn("signal 9", self.ended[0])
        # Whether this one is on disk nobody knows: it is neither done nor failed.
        self.assertNoResult(done)
        self.failureResultOf(self.writer.commit(batch(2)), WriterFailed)
        self.assertIsNone(self.successResultOf(self.writer.stop()))

    def test_last_words(self) -> None:
        """What it complained of is logged when it has ended, up to a bound."""
        lines: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        self.writer.errReceived(b"x" * (MOST_ERRORS - 1))
        self.writer.errReceived(b"yz")
        self.died()
        (said,) = [line["said"] for line in lines if "said" in line]
        self.assertEqual(said, "x" * (MOST_ERRORS - 1) + "y")

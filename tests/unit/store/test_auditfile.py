"""The audit log on disk: private, turned over, and never in the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.ids import Ids
from agentcom.store.auditfile import MOST_WAITING, NAME, AuditFile, AuditWriter
from agentcom.store.local import create_admin_token
from agentcom.store.sqlite import open_file


class FileTests(SynchronousTestCase):
    """``AuditFile``."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / NAME

    def test_private(self) -> None:
        """Only its owner can read it."""
        AuditFile(self.path).append(b"one\n")
        AuditFile(self.path).append(b"two\n")
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\n")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_turned_over(self) -> None:
        """A file that would grow too large gives way to a new one; the oldest is forgotten."""
        file = AuditFile(self.path, largest=10, kept=2)
        for text in (b"first..\n", b"second.\n", b"third..\n", b"fourth.\n"):
            file.append(text)
        self.assertEqual(
            {path.name: path.read_bytes() for path in self.folder.iterdir()},
            {NAME: b"fourth.\n", f"{NAME}.1": b"third..\n", f"{NAME}.2": b"second.\n"},
        )

    def test_not_turned_over(self) -> None:
        """Somebody else than the hub only adds to it."""
        file = AuditFile(self.path, largest=10)
        file.append(b"first..\n")
        file.append(b"second.\n", turn_over=False)
        self.assertEqual(self.path.read_bytes(), b"first..\nsecond.\n")

    def test_after_a_failure(self) -> None:
        """What was cut off by a full disk does not spoil the line after it."""
        file = AuditFile(self.folder / "missing" / NAME)
        self.assertRaises(OSError, file.append, b"one\n")
        (self.folder / "missing").mkdir()
        file.append(b"two\n")
        self.assertEqual((self.folder / "missing" / NAME).read_bytes(), b"\ntwo\n")


class LocalTests(SynchronousTestCase):
    """What is done on the machine, without asking the hub."""

    def test_admin_token(self) -> None:
        """A token that is made locally has a line that says who made it, without the token."""
        folder = Path(self.mktemp())
        folder.mkdir()
        open_file(folder / "agentcom.db", Ids(os.urandom).epoch).close()
        secret = create_admin_token(folder, 123)
        text = (folder / NAME).read_text()
        told = {"time": 123, "act": "create_admin_token_locally", "uid": os.getuid()}
        self.assertEqual(json.loads(text), told)
        self.assertNotIn(secret[:8], text)


class WriterTests(SynchronousTestCase):
    """``AuditWriter``, with threads that run when the test says so."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / NAME
        self.works: list[tuple[Callable[[], None], Deferred[None]]] = []
        self.writer = AuditWriter(AuditFile(self.path), self.in_thread)

    def in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.works.append((work, done))
        return done

    def run_one(self) -> None:
        work, done = self.works.pop(0)
        try:
            work()
        except OSError:
            fail(Failure()).chainDeferred(done)
        else:
            succeed(None).chainDeferred(done)

    def test_in_order(self) -> None:
        """Lines are written in order, one batch at a time."""
        for text in (b"1", b"2", b"3"):
            self.writer.write(text)
        self.assertEqual(len(self.works), 1)
        self.run_one()
        self.run_one()
        self.assertEqual(self.path.read_bytes(), b"1\n2\n3\n")
        self.assertEqual(self.works, [])

    def test_stuck(self) -> None:
        """A disk that is stuck takes a bounded number of lines, and then their number."""
        self.writer.write(b"0")
        for _ in range(MOST_WAITING + 7):
            self.writer.write(b"x")
        self.run_one()
        self.run_one()
        lines = self.path.read_bytes().splitlines()
        self.assertEqual(len(lines), 1 + MOST_WAITING + 1)
        self.assertEqual(lines[-1], b'{"act":"lines_lost","count":7}')

    def test_full(self) -> None:
        """A disk that is full is logged once; when it is well again, what was lost is told."""
        self.path.mkdir()
        for _ in range(3):
            self.writer.write(b"lost")
            self.run_one()
        self.path.rmdir()
        self.writer.write(b"kept")
        self.run_one()
        self.assertIn(b'kept\n{"act":"lines_lost","count":3}\n', self.path.read_bytes())

    def test_the_end(self) -> None:
        """What waits when the thread has ended is written."""
        self.writer.write(b"1")
        self.writer.write(b"2")
        # Nobody hears any more that this is done.
        self.works.pop()[0]()
        self.writer.close()
        self.assertEqual(self.path.read_bytes(), b"1\n2\n")

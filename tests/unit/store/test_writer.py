"""The program of the process that writes: what comes in, what becomes of it, what it says."""

from __future__ import annotations

import marshal
import sqlite3
from io import BytesIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.store import writer
from agentcom.store.connections import connect
from agentcom.store.transaction import Step

INSERT = "INSERT INTO t VALUES (?)"


def put(*values: object) -> list[Step]:
    """A batch that writes these."""
    return [(INSERT, [(value,) for value in values])]


def sent(*batches: list[Step]) -> bytes:
    """Batches as the hub sends them."""
    return b"".join(writer.framed(marshal.dumps(batch)) for batch in batches)


class WriterTests(SynchronousTestCase):
    """One table of unique numbers."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.db = connect(str(self.path))
        self.db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        self.addCleanup(self.db.close)
        self.said: list[bytes] = []

    def serve(self, data: bytes) -> list[int]:
        """Serve all of it; gives what another connection then finds."""
        writer.serve(self.db, BytesIO(data), self.said.append)
        self.assertEqual(self.said.pop(0), b"")
        look = sqlite3.connect(self.path)
        self.addCleanup(look.close)
        return [n for (n,) in look.execute("SELECT n FROM t ORDER BY n")]

    def test_batches(self) -> None:
        """Each batch is written and answered, in their order, until nothing more comes."""
        self.assertEqual(self.serve(sent(put(1, 2), put(), put(3))), [1, 2, 3])
        self.assertEqual(self.said, [b"", b"", b""])
        self.assertFalse(self.db.in_transaction)

    def test_failing(self) -> None:
        """Of a batch that fails nothing is written, its reason is told, and the next one works."""
        self.assertEqual(self.serve(sent(put(1), put(2, 1, 3), put(4))), [1, 4])
        first, why, last = self.said
        self.assertEqual((first, last), (b"", b""))
        self.assertIn(b"UNIQUE", why)

    def test_a_reason_is_never_empty(self) -> None:
        """What fails without a word is not taken for a success."""

        class Silent(sqlite3.Connection):
            def executemany(self, *_: object) -> sqlite3.Cursor:
                raise ValueError

        silent = sqlite3.connect(self.path, isolation_level=None, factory=Silent)
        self.addCleanup(silent.close)
        writer.serve(silent, BytesIO(sent(put(1))), self.said.append)
        self.assertEqual(self.said, [b"", b"ValueError"])
        self.assertFalse(silent.in_transaction)

    def test_what_is_no_batch(self) -> None:
        """Nonsense is answered with a reason."""
        self.assertEqual(self.serve(writer.framed(b"?") + sent(put(7))), [7])
        self.assertTrue(self.said[0])
        self.assertEqual(self.said[1], b"")

    def test_the_hub_dies_while_it_sends(self) -> None:
        """A batch that has not arrived whole is not written, wherever it was cut."""
        whole = sent(put(1), put(2))
        first = len(sent(put(1)))
        for end in range(first, len(whole)):
            with self.subTest(end=end):
                self.said.clear()
                self.db.execute("DELETE FROM t")
                self.assertEqual(self.serve(whole[:end]), [1])
                self.assertEqual(self.said, [b""])

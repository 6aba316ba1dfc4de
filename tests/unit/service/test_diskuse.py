"""What a database takes, looked at on a real disk."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.diskuse import DiskUse


class DiskUseTests(SynchronousTestCase):
    """Files and what is left of the disk."""

    def test_files(self) -> None:
        """The database and its log are told in bytes, the disk has room."""
        path = Path(self.mktemp())
        path.write_bytes(b"x" * 700)
        Path(f"{path}-wal").write_bytes(b"x" * 50)
        use = DiskUse(path)
        self.assertEqual((use.database(), use.log()), (700, 50))
        self.assertGreater(use.free(), 0)

    def test_nothing_there(self) -> None:
        """What cannot be looked at is 0, and raises nothing."""
        use = DiskUse(Path(self.mktemp()) / "missing" / "agentcom.db")
        self.assertEqual((use.free(), use.database(), use.log()), (0, 0, 0))

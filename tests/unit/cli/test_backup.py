"""``backup``, ``restore`` and ``check``: what they print, and how they end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from agentcom.cli.bar import human, tasks
from agentcom.store.local import insert
from agentcom.store.sqlite import open_file
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.store.support import make_token


class LocalCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home.chmod(0o700)
        connection = open_file(self.home / "agentcom.db", lambda: "cafe0001")
        insert(connection, make_token("admin", scopes=("admin",)))
        connection.close()
        self.file = self.home.parent / f"{self.home.name}.backup"

    def words(self, *arguments: str, code: int = 0) -> str:
        result = self.invoke(*arguments)
        self.assertEqual(result.exit_code, code, result.output)
        return result.output


class BackupTests(LocalCase):
    def test_words(self) -> None:
        """A backup says where it is, how large, and up to which event."""
        told = self.words("backup", str(self.file))
        self.assertIn(str(self.file), told)
        self.assertIn("0 tasks, events to cafe0001:0, checked", told)
        self.assertTrue(self.file.is_file())

    def test_json(self) -> None:
        """The same as JSON, and nothing beside it."""
        told = json.loads(self.words("backup", str(self.file), "--json"))
        self.assertEqual(
            (told["tasks"], told["epoch"], told["last_seq"], told["file"]),
            (0, "cafe0001", 0, str(self.file)),
        )
        self.assertEqual(told["size"], self.file.stat().st_size)

    def test_refused(self) -> None:
        """What cannot be done is one sentence and exit code 1; a wrong use is 2."""
        self.words("backup", str(self.file))
        told = self.words("backup", str(self.file), code=1)
        self.assertEqual(told.count("\n"), 1)
        self.assertIn("--force", told)
        self.words("backup", str(self.file), "--force")
        self.words("backup", "-", code=2)
        self.words("backup", code=2)
        self.words("backup", str(self.file), "--data-dir", str(self.home / "no"), code=1)


class RestoreTests(LocalCase):
    def test_words(self) -> None:
        """A restore says what is there now, where the old one is, and what is left to do."""
        self.words("backup", str(self.file))
        told = self.words("restore", str(self.file))
        self.assertIn("0 tasks", told)
        self.assertIn("agentcom.db.before-restore-", told)
        self.assertIn("revoke them again", told)
        self.assertNotIn("cafe0001", told)
        new = self.home.parent / f"{self.home.name}.new"
        told = self.words("restore", str(self.file), "--data-dir", str(new))
        self.assertIn(f"agentcom token create --admin --data-dir {new}", told)

    def test_json(self) -> None:
        """The same as JSON."""
        self.words("backup", str(self.file))
        told = json.loads(self.words("restore", str(self.file), "--json"))
        self.assertEqual((told["tasks"], told["held"]), (0, 0))
        self.assertTrue(Path(told["kept"]).is_file())

    def test_refused(self) -> None:
        """No backup, no restore."""
        self.assertIn("there is no file", self.words("restore", str(self.file), code=1))
        self.words("restore", code=2)


class CheckTests(LocalCase):
    def test_words(self) -> None:
        """Where all is well it says so and ends with 0."""
        told = self.words("check", "--min-free", "0")
        self.assertTrue(told.endswith("All is well.\n"), told)
        self.assertNotIn("PROBLEM", told)

    def test_problem(self) -> None:
        """Where something is wrong it says what to do and ends with 1."""
        self.home.chmod(0o755)
        told = self.words("check", "--min-free", "0", code=1)
        self.assertIn(f"chmod 700 {self.home}", told)
        self.assertTrue(told.endswith("Problems: 1\n"), told)

    def test_json(self) -> None:
        """Each finding is one object."""
        lines = self.words("check", "--json", "--min-free", "900000GiB", code=1).splitlines()
        found = [json.loads(line) for line in lines]
        self.assertEqual([f["name"] for f in found if f["state"] == "problem"], ["disk"])
        self.assertEqual(set(found[0]), {"name", "state", "told", "todo"})

    def test_usage(self) -> None:
        """A size that is none is a wrong use."""
        self.words("check", "--min-free", "lots", code=2)

    def test_signals(self) -> None:
        """Ctrl-C means what it meant before, afterwards."""
        before = signal.getsignal(signal.SIGINT)
        self.words("check", "--min-free", "0")
        self.assertIs(signal.getsignal(signal.SIGINT), before)


class HumanTests(LocalCase):
    def test_tasks(self) -> None:
        """One task is one."""
        self.assertEqual([tasks(n) for n in (0, 1, 2)], ["0 tasks", "1 task", "2 tasks"])

    def test_sizes(self) -> None:
        """Sizes are said in the unit that fits."""
        said = [human(n) for n in (0, 1023, 1536, 5 * 1024**2, 3 * 1024**3, 5 * 1024**4)]
        self.assertEqual(
            said, ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB", "3.0 GiB", "5120.0 GiB"]
        )

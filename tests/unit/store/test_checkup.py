"""A check finds what is wrong with a data directory, says what to do, and changes nothing."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from agentcom.core.state import Ending, Status
from agentcom.datadir import Lock
from agentcom.store import checkup, invariants
from agentcom.store.backup import exclusive
from agentcom.store.checkup import Finding
from agentcom.store.interface import Unit
from tests.unit.store.support import NOW, make_draft, make_task, make_token
from tests.unit.store.test_backup import FilesCase


class CheckCase(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        store = self.store()
        held = make_task("task-held", status=Status.WORKING, agent_id="a", generation=2)
        ending = Ending("task_complete", "a", 1, "complete")
        done = make_task("task-done", status=Status.COMPLETED, ending=ending, result=b"[1]")
        tasks = [make_task("task-1"), held, done]
        self.put(
            store,
            Unit(
                new=tasks,
                drafts=[make_draft(task_id=task.id) for task in tasks],
                tokens=[make_token("admin", scopes=("admin",))],
            ),
        )
        store.close()
        self.looks: list[str] = []

    def check(self, min_free: int = 0, now: int = NOW, where: Path | None = None) -> list[Finding]:
        data = where or self.data
        return list(checkup.check(data, min_free=min_free, now=now, look=self.looks.append))

    def problems(self, **more: int) -> list[str]:
        found = [finding for finding in self.check(**more) if finding.state != checkup.OK]
        for finding in found:
            self.assertNotEqual(finding.todo, "", finding)
            self.assertNotIn("\n", finding.told + finding.todo)
        return [f"{finding.name}: {finding.told}" for finding in found]

    def one(self, **more: int) -> str:
        (found,) = self.problems(**more)
        return found

    def change(self, *statements: str) -> None:
        db = sqlite3.connect(self.database)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()


class DirectoryTests(CheckCase):
    def test_all_is_well(self) -> None:
        """Of a good directory every look says so, and nothing is changed."""
        before = {path: path.read_bytes() for path in self.data.iterdir()}
        self.assertEqual(self.problems(), [])
        self.assertGreater(len(self.check()), 8)
        self.assertEqual({path: path.read_bytes() for path in self.data.iterdir()}, before)
        self.assertIn("integrity (reads the whole database)", self.looks)

    def test_nothing_there(self) -> None:
        """A directory or a database that is not there is told of, and not made."""
        (found,) = self.check(where=self.folder / "nowhere")
        self.assertIn("there is no directory", found.told)
        self.database.unlink()
        self.assertIn("there is no database", self.one())
        self.assertFalse(self.database.exists())

    def test_permissions(self) -> None:
        """What others could read is told of by name."""
        (self.data / "admin.token").write_text("secret")
        os.chmod(self.data / "admin.token", 0o644)
        found = self.one()
        self.assertIn("admin.token has mode 0644", found)
        os.chmod(self.data / "admin.token", 0o600)
        os.chmod(self.data, 0o755)
        self.assertIn("has mode 0755", self.one())

    def test_hub(self) -> None:
        """Whether a hub runs is told, and a look does not keep one from starting."""
        lock = self.data / "lock"
        lock.write_text(f"{os.getpid()}\n")
        self.assertIsNone(checkup.holder(lock))
        file = os.open(lock, os.O_RDWR)
        self.addCleanup(os.close, file)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertEqual(checkup.holder(lock), os.getpid())
        told = [finding.told for finding in self.check() if finding.name == "hub"]
        self.assertEqual(told, [f"a hub runs on it, process {os.getpid()}"])

    def test_disk(self) -> None:
        """Disk that is short, or will soon be, is told of with what the hub does then."""
        free = checkup.free_bytes(self.data)
        self.assertIn("no new work is taken", self.one(min_free=free * 2))
        self.assertIn("soon no new work", self.one(min_free=int(free / 1.5)))

    def test_interrupted_restore(self) -> None:
        """What a killed restore left is told of, whether a hub runs or not; what one that is
        at work has there is not."""
        half = self.data / "agentcom.db.restoring"
        with exclusive(half):
            os.link(self.database, self.data / "agentcom.db.before-restore-X")
            self.assertEqual(self.problems(), [])
        (self.data / "agentcom.db.before-restore-X").unlink()
        self.assertIn("restore was interrupted", self.one())
        lock = Lock(self.data / "lock")
        lock.acquire()
        self.addCleanup(lock.release)
        self.assertIn("restore was interrupted", self.one())
        half.unlink()
        os.link(self.database, self.data / "agentcom.db.before-restore-X")
        self.assertIn("second name", self.one())


class DatabaseTests(CheckCase):
    def test_while_a_hub_writes(self) -> None:
        """A database that a hub has open is checked as well as any."""
        store = self.store()
        self.put(store, Unit(new=[make_task("task-x", number=9)], drafts=[make_draft()]))
        self.assertIn("task-x", self.one())

    def test_damaged(self) -> None:
        """Damage is found, and what to do is to restore a backup."""
        data = bytearray(self.database.read_bytes())
        for place in range(8_192, len(data), 4_096):
            data[place : place + 64] = b"\xff" * 64
        self.database.write_bytes(data)
        found = [finding for finding in self.check() if finding.state != checkup.OK]
        self.assertTrue(any("restore" in finding.todo for finding in found), found)
        self.database.write_bytes(b"rubbish" * 1_000)
        self.assertIn("cannot be read", self.one())

    def test_schema(self) -> None:
        """A newer schema is told of; an older one the next start will bring up to date."""
        self.change("UPDATE alembic_version SET version_num = '9999'")
        self.assertIn("newer version, 9999", self.one())
        self.change("UPDATE alembic_version SET version_num = '0001'")
        self.assertEqual(self.problems(), [])
        self.change("DROP TABLE alembic_version")
        self.assertIn("no database of a hub", self.one())

    def test_clock(self) -> None:
        """A clock that is behind what is stored is told of."""
        self.assertIn("3600 s ahead", self.one(now=NOW - 3_600_000))
        self.assertEqual(self.problems(now=NOW - 30_000), [])

    def test_admin(self) -> None:
        """Without a good admin token the way to one is told."""
        self.change("UPDATE tokens SET revoked_at = 1")
        self.assertIn("no admin token", self.one())

    def test_rules(self) -> None:
        """Each rule finds what breaks it, by name, and is kept where nothing does."""
        breaks = {
            "one description": "INSERT INTO meta (id, epoch, last_seq) VALUES (2, 'x', 0)",
            "ends where": "UPDATE meta SET last_seq = last_seq + 1",
            "no event is missing": "DELETE FROM events WHERE task_id = 'task-done'",
            "a status that exists": "UPDATE tasks SET status = 'odd' WHERE id = 'task-done'",
            "has its events": "UPDATE events SET task_number = 99 WHERE task_id = 'task-1'",
            "names the agent": "UPDATE tasks SET agent_id = NULL WHERE id = 'task-held'",
            "a later generation": "UPDATE events SET generation = 3 WHERE task_id = 'task-held'",
            "of tasks are JSON": "UPDATE tasks SET result = '{' WHERE id = 'task-done'",
            "payload is JSON": "UPDATE events SET payload = 'x' WHERE task_id = 'task-1'",
            "in a mailbox is stored": "INSERT INTO mail VALUES ('a', 5)",
            "yet to be given": "INSERT INTO messages (seq, id, kind, sender, message_type, payload,"
            " timestamp) VALUES (5, 'm', 'direct', 'a', 'chat', '{}', 1)",
            "a channel that there is": "INSERT INTO subscriptions VALUES ('news', 'a', 1)",
        }
        self.assertEqual(len(breaks), len(invariants.RULES))
        good = self.database.read_bytes()
        for words, statement in breaks.items():
            self.database.write_bytes(good)
            self.assertEqual(self.problems(), [])
            self.change(statement)
            found = self.problems()
            self.assertTrue(any(words in problem for problem in found), f"{words}: {found}")

    def test_many(self) -> None:
        """However many rows break a rule, the first few are named and so many are counted."""
        self.change(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)"
            " INSERT INTO mail SELECT 'agent', x FROM n"
        )
        self.assertIn("(1000+: agent 1, agent 2, agent 3)", self.one())

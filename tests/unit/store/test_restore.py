"""A restored database is the backup's, and none of its numbers were given out since."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SkipTest

from agentcom.core.fence import Kind, Refused, Repeated, judge, keeps
from agentcom.core.message import Message
from agentcom.core.state import Ending, Status, Task
from agentcom.errors import StartError
from agentcom.store import migrate, restore
from agentcom.store.backup import BackupError
from agentcom.store.interface import Post, Unit
from agentcom.store.restore import GENERATIONS, MESSAGES, MESSAGES_A_MS, Given, Restored
from tests.unit.store.support import FULL, NOW, make_draft, make_task, make_token
from tests.unit.store.test_backup import FilesCase

STAMP = "20231114T221320Z"


class RestoreCase(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        self.steps: list[str] = []
        self.new = self.folder / "new"
        self.now = NOW

    def restore(self, where: Path | None = None, epoch: str = "beef0002") -> Restored:
        return restore.restore(
            self.target,
            where or self.new,
            epoch=epoch,
            stamp=STAMP,
            now=self.now,
            told=self.told,
            step=self.steps.append,
        )

    def backed_up(self, *tasks: Task, **unit: Any) -> None:
        store = self.store()
        drafts = [make_draft(task_id=None) for _ in tasks]
        self.put(store, Unit(new=tasks, drafts=drafts, **unit))
        store.close()
        self.back_up()

    def change(self, statement: str) -> None:
        db = sqlite3.connect(self.target)
        db.execute(statement)
        db.commit()
        db.close()

    def restored(self, task_id: str = "task-1") -> Task:
        self.restore()
        self.database = self.new / "agentcom.db"
        task = self.successResultOf(self.store().task(task_id))
        assert task is not None
        return task


class PlaceTests(RestoreCase):
    def test_into_nothing(self) -> None:
        """A data directory that is not there is made, for its owner alone."""
        self.backed_up(make_task("task-1"))
        done = self.restore()
        self.assertEqual((done.kept, done.held, done.facts.tasks), (None, 0, 1))
        self.assertEqual(stat.S_IMODE(self.new.stat().st_mode), 0o700)
        database = self.new / "agentcom.db"
        self.assertEqual(stat.S_IMODE(database.stat().st_mode), 0o600)
        names = {path.name for path in self.new.iterdir()}
        self.assertEqual(names, {"agentcom.db", "agentcom.db.lock", "lock"})

    def test_the_old_one_is_kept(self) -> None:
        """The database that was there is kept whole, with what was only in its log."""
        self.backed_up(make_task("task-1"))
        store = self.store()
        self.put(store, Unit(new=[make_task("task-late", number=9)]))
        log = self.data / "agentcom.db-wal"
        main = self.database.read_bytes()
        tail = log.read_bytes()
        self.assertNotIn(b"task-late", main)
        store.close()
        # As a crash leaves them.
        self.database.write_bytes(main)
        log.write_bytes(tail)
        done = self.restore(self.data)
        kept = self.data / f"agentcom.db.before-restore-{STAMP}"
        self.assertEqual(done.kept, kept)
        self.assertEqual(self.rows(kept, "SELECT id FROM tasks"), [("task-1",), ("task-late",)])
        self.assertEqual(self.rows(self.database, "SELECT id FROM tasks"), [("task-1",)])
        self.assertFalse(log.exists())

    def test_damaged_old_one(self) -> None:
        """A database that nobody can read any more is kept as it is, log and all."""
        self.backed_up(make_task("task-1"))
        self.database.write_bytes(b"rubbish" * 2_000)
        (self.data / "agentcom.db-wal").write_bytes(b"more rubbish")
        self.restore(self.data)
        kept = self.data / f"agentcom.db.before-restore-{STAMP}"
        self.assertEqual(kept.read_bytes(), b"rubbish" * 2_000)
        self.assertEqual(kept.with_name(kept.name + "-wal").read_bytes(), b"more rubbish")
        self.assertFalse((self.data / "agentcom.db-wal").exists())
        self.assertEqual(self.rows(self.database, "SELECT id FROM tasks"), [("task-1",)])

    def test_emptied_old_one(self) -> None:
        """The log beside a database that was emptied may be all that is left: it is kept."""
        self.backed_up(make_task("task-1"))
        self.database.write_bytes(b"")
        (self.data / "agentcom.db-wal").write_bytes(b"all that is left")
        self.restore(self.data)
        kept = self.data / f"agentcom.db.before-restore-{STAMP}-wal"
        self.assertEqual(kept.read_bytes(), b"all that is left")

    def test_a_log_without_its_database(self) -> None:
        """A log that was left beside no database does not get at the restored one."""
        self.backed_up(make_task("task-1"))
        self.new.mkdir()
        (self.new / "agentcom.db-wal").write_bytes(b"of another database")
        self.restore()
        self.assertFalse((self.new / "agentcom.db-wal").exists())

    def test_owner(self) -> None:
        """What root restores belongs to the user whose directory it is."""
        if os.geteuid() != 0:
            raise SkipTest("only root makes files for others")
        self.backed_up(make_task("task-1"))
        self.new.mkdir()
        os.chown(self.new, 1234, 1234)
        self.restore()
        owners = {path.name: path.stat().st_uid for path in self.new.iterdir()}
        names = ("agentcom.db", "agentcom.db.lock", "lock")
        self.assertEqual(owners, dict.fromkeys(names, 1234))

    def test_hub_runs(self) -> None:
        """While a hub has the directory, or the database, nothing is touched."""
        self.backed_up(make_task("task-1"))
        self.new.mkdir()
        for name in ("lock", "agentcom.db.lock"):
            file = os.open(self.new / name, os.O_RDWR | os.O_CREAT)
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIn("in use", str(self.assertRaises(StartError, self.restore)))
            os.close(file)
        self.assertFalse((self.new / "agentcom.db").exists())
        self.assertEqual(self.steps, [])

    def test_other_program(self) -> None:
        """A program that has the database open is not cut off from it."""
        self.backed_up(make_task("task-1"))
        self.store()
        error = self.assertRaises(BackupError, self.restore, self.data)
        self.assertIn("another program", str(error))
        self.assertEqual(self.rows(self.database, "SELECT epoch FROM meta"), [("cafe0001",)])
        names = {path.name for path in self.data.iterdir() if "restor" in path.name}
        self.assertEqual(names, set())

    def test_sentences(self) -> None:
        """What is no good backup is refused in one sentence, and nothing is changed."""
        self.assertIn("there is no file", str(self.assertRaises(BackupError, self.restore)))
        self.backed_up(make_task("task-1"))
        good = self.target.read_bytes()
        for bad, word in (
            (b"", "no database of a hub"),
            (b"rubbish" * 1_000, "not a database"),
            (good[: len(good) // 2], "malformed"),
        ):
            self.target.write_bytes(bad)
            error = self.assertRaises(BackupError, self.restore)
            self.assertIn(word, str(error))
            self.assertNotIn("\n", str(error))
            self.assertFalse((self.new / "agentcom.db").exists())
        self.target = self.database
        error = self.assertRaises(BackupError, self.restore, self.data)
        self.assertIn("the hub's own database", str(error))

    def test_damaged_backup(self) -> None:
        """Damage that only a thorough look finds is found, before anything is touched."""
        self.backed_up(make_task("task-1", status=Status.WORKING, agent_id="worker"))
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_agent'"
        ((number,),) = self.rows(self.target, query)
        data = bytearray(self.target.read_bytes())
        start = 4_096 * (int(str(number)) - 1)
        page = data[start : start + 4_096]
        self.assertEqual(page.count(b"worker"), 1)
        data[start : start + 4_096] = page.replace(b"worker", b"warker")
        self.target.write_bytes(data)
        before = self.database.read_bytes()
        error = self.assertRaises(BackupError, self.restore, self.data)
        self.assertIn("is damaged", str(error))
        self.assertEqual(self.database.read_bytes(), before)

    def test_newer_version(self) -> None:
        """A backup of a newer schema is refused, one of an older schema is not."""
        self.backed_up(make_task("task-1"))
        self.change("UPDATE alembic_version SET version_num = '9999'")
        self.assertIn("newer version (9999)", str(self.assertRaises(BackupError, self.restore)))
        self.change("UPDATE alembic_version SET version_num = '0001'")
        self.assertEqual(self.restore().facts.revision, "0001")
        self.assertIn(migrate.HEAD, restore.revisions())


class JumpTests(RestoreCase):
    """Of what may go on, numbers are jumped over; everything else is as it was."""

    def test_epoch(self) -> None:
        """The log has a new epoch and goes on where the backup ended."""
        self.backed_up(make_task("task-1"))
        done = self.restore()
        self.assertEqual((done.facts.epoch, done.facts.last_seq), ("beef0002", 1))

    def test_all_fields(self) -> None:
        """Of a task that an agent has, nothing but its generation differs."""
        task = msgspec.structs.replace(FULL, number=1)
        self.backed_up(task)
        found = self.restored(task.id)
        wanted = msgspec.structs.replace(task, generation=NOW)
        self.assertEqual(found, wanted)

    def test_ended(self) -> None:
        """What has ended for good is as it was, and a repeated report gets its answer."""
        ending = Ending("task_complete", "worker", 3, "complete")
        fields: dict[str, Any] = {"agent_id": "worker", "generation": 3, "ending": ending}
        tasks = [
            make_task(f"task-{status}", number=n, status=status, **fields)
            for n, status in enumerate(
                (Status.COMPLETED, Status.CANCELLED, Status.EXPIRED), start=1
            )
        ]
        self.backed_up(*tasks)
        self.assertEqual(self.restored("task-completed"), tasks[0])
        self.database = self.new / "agentcom.db"
        found = self.successResultOf(self.store().task("task-cancelled"))
        self.assertEqual(found, tasks[1])
        self.assertEqual(judge(tasks[0], Kind.COMPLETE, "worker", 3), Repeated("complete"))

    def test_attempt_since(self) -> None:
        """An attempt that began after the backup is refused, whoever has the task by then."""
        self.backed_up(make_task("task-1"))
        task = self.restored()
        # What the lost hub did: generation 1, to this agent.
        again = msgspec.structs.replace(
            task, status=Status.ASSIGNED, agent_id="worker", generation=task.generation + 1
        )
        refused = judge(again, Kind.COMPLETE, "worker", 1)
        self.assertEqual(refused, Refused("stale_generation"))
        self.assertFalse(keeps(again, "worker", 1))

    def test_attempt_before(self) -> None:
        """An attempt that was running is begun anew under a number that nobody had."""
        held = make_task("task-1", status=Status.WORKING, agent_id="worker", generation=2)
        self.backed_up(held)
        task = self.restored()
        self.assertEqual((task.status, task.agent_id), (Status.WORKING, "worker"))
        self.assertFalse(keeps(task, "worker", 2))
        for generation in (2, 3, 4):
            refused = judge(task, Kind.COMPLETE, "worker", generation)
            self.assertEqual(refused, Refused("stale_generation"))
        # An old agent knows no generations: its word is all that there is.
        self.assertTrue(keeps(task, "worker", None))

    def test_back_in_the_queue(self) -> None:
        """A late report of who had a queued task last counts no more: others may have it."""
        queued = make_task("task-1", agent_id="worker", generation=2)
        self.backed_up(queued)
        task = self.restored()
        self.assertEqual((task.agent_id, task.generation), (None, NOW))
        for generation in (None, 2, 3):
            refused = judge(task, Kind.COMPLETE, "worker", generation)
            self.assertEqual(refused, Refused("not_assignee"))
            self.assertFalse(keeps(task, "worker", generation))

    def test_repetition(self) -> None:
        """The report that ended an attempt before the backup still gets its answer."""
        ending = Ending("task_failed", "worker", 2, "retried")
        queued = make_task("task-1", agent_id="worker", generation=2, ending=ending)
        self.backed_up(queued)
        task = self.restored()
        self.assertEqual(judge(task, Kind.FAILED, "worker", 2), Repeated("retried"))
        self.assertFalse(keeps(task, "worker", None))

    def test_dead_letter(self) -> None:
        """A dead letter that is tried again begins above what others were given since."""
        ending = Ending("task_failed", "worker", 2, "dead_letter")
        dead = make_task(
            "task-1",
            status=Status.DEAD_LETTER,
            agent_id="worker",
            generation=2,
            ending=ending,
        )
        self.backed_up(dead)
        task = self.restored()
        self.assertEqual((task.agent_id, task.generation), ("worker", NOW))
        self.assertEqual(judge(task, Kind.FAILED, "worker", 2), Repeated("dead_letter"))

    def test_messages(self) -> None:
        """The next message has a number that none had, and those that wait keep theirs."""
        message = Message(
            seq=7,
            id="0" * 16,
            kind="direct",
            sender="a",
            to="b",
            channel=None,
            message_type="chat",
            payload=b"{}",
            reply_to=None,
            root=None,
            timestamp=NOW,
        )
        self.backed_up(post=Post(messages=[message], mail=[("b", 7)]))
        self.restore()
        self.database = self.new / "agentcom.db"
        loaded = self.store().load().messages
        self.assertEqual((loaded.last_seq, loaded.mail), (NOW * MESSAGES_A_MS, {"b": [7]}))

    def test_tokens(self) -> None:
        """Tokens are good as they were."""
        token = make_token("worker")
        self.backed_up(tokens=[token])
        self.restore()
        self.database = self.new / "agentcom.db"
        self.assertEqual(self.store().load().tokens, [token])

    def test_sessions(self) -> None:
        """Nobody is signed in: whoever signed out since the backup stays so."""
        self.backed_up(make_task("task-1"))
        self.change("INSERT INTO sessions VALUES ('hash', 'token', 1, 2)")
        self.restore()
        self.assertEqual(self.rows(self.new / "agentcom.db", "SELECT * FROM sessions"), [])

    def test_used_up(self) -> None:
        """A database whose numbers are used up is refused before a number repeats."""
        most = 2**53 - GENERATIONS
        self.backed_up(make_task("task-1", generation=most))
        self.assertIn("used up", str(self.assertRaises(BackupError, self.restore)))

    def test_twice(self) -> None:
        """A restore of a restored hub's backup jumps again."""
        self.backed_up(make_task("task-1"))
        self.restore()
        self.database = self.new / "agentcom.db"
        self.target.unlink()
        self.back_up()
        self.restore(epoch="0000beef")
        rows = self.rows(self.database, "SELECT generation FROM tasks")
        self.assertEqual(rows, [(NOW + GENERATIONS,)])
        self.assertEqual(self.rows(self.database, "SELECT epoch FROM meta"), [("0000beef",)])


class AgainTests(RestoreCase):
    """However often and from whatever is restored, no number is given out twice."""

    def setUp(self) -> None:
        super().setUp()
        held = make_task("task-2", status=Status.WORKING, agent_id="worker", generation=2)
        dead = make_task("task-3", status=Status.DEAD_LETTER, agent_id="worker", generation=4)
        self.backed_up(make_task("task-1"), held, dead)

    def work(self, database: Path) -> None:
        """What a hub does on it: give each task to agents, take messages."""
        db = sqlite3.connect(database)
        db.execute("UPDATE tasks SET generation = generation + 5, attempts = attempts + 5")
        db.execute("UPDATE meta SET message_seq = message_seq + 70")
        db.commit()
        db.close()

    def numbers(self, database: Path) -> list[int]:
        """The generations of the tasks, and the number of the last message."""
        found = self.rows(database, "SELECT generation FROM tasks ORDER BY id")
        found += self.rows(database, "SELECT message_seq FROM meta")
        return [int(str(row[0])) for row in found]

    def above(self, numbers: list[int], given: list[int]) -> None:
        self.assertEqual(len(numbers), 4)
        # A task that an agent has is given to it under the very number.
        self.assertTrue(all(a > b for a, b in zip(numbers[:3], given[:3], strict=True)))
        self.assertGreaterEqual(numbers[3], given[3])

    def test_elsewhere(self) -> None:
        """A second restore of one backup jumps beyond the first, also where nothing of that
        is left."""
        self.restore()
        self.work(self.new / "agentcom.db")
        given = self.numbers(self.new / "agentcom.db")
        self.now += 1_000
        elsewhere = self.folder / "elsewhere"
        self.restore(elsewhere)
        self.above(self.numbers(elsewhere / "agentcom.db"), given)

    def test_clock_set_back(self) -> None:
        """It does so by the database that it replaces where the clock was set back."""
        database = self.new / "agentcom.db"
        self.restore()
        self.work(database)
        given = self.numbers(database)
        self.now -= 86_400_000
        self.restore()
        self.above(self.numbers(database), given)
        self.assertLess(max(self.numbers(database)), 2**53 - MESSAGES + 1)

    def test_numbers_in_the_log(self) -> None:
        """What the replaced database has only in its log was given out, too."""
        database = self.new / "agentcom.db"
        self.restore()
        self.database = database
        self.store().close()
        main = database.read_bytes()
        store = self.store()
        db = store._connection
        db.execute("UPDATE tasks SET generation = generation + 5")
        db.execute("UPDATE meta SET message_seq = message_seq + 70")
        log = database.with_name("agentcom.db-wal").read_bytes()
        given = self.numbers(database)
        store.close()
        database.write_bytes(main)
        database.with_name("agentcom.db-wal").write_bytes(log)
        self.now = 0
        self.restore()
        self.above(self.numbers(database), given)

    def test_undone(self) -> None:
        """What the kept database gives out, once it is restored, the wrong one did not."""
        database = self.data / "agentcom.db"
        done = self.restore(self.data)
        assert done.kept is not None
        self.work(database)
        given = self.numbers(database)
        self.target = done.kept.rename(self.folder / "kept.db")
        self.restore(self.data)
        self.above(self.numbers(database), given)

    def test_without_a_clock(self) -> None:
        """With a clock that stands at nothing numbers are jumped over as well."""
        self.now = 0
        self.restore()
        numbers = self.numbers(self.new / "agentcom.db")
        self.assertEqual(numbers, [GENERATIONS, 2 + GENERATIONS, 4 + GENERATIONS, MESSAGES])

    def test_clock_far_ahead(self) -> None:
        """A clock that would use the numbers up is refused, and nothing has changed."""
        self.now = 2**53 // MESSAGES_A_MS
        error = self.assertRaises(BackupError, self.restore, self.data)
        self.assertIn("clock", str(error))
        self.assertEqual(self.rows(self.database, "SELECT epoch FROM meta"), [("cafe0001",)])
        self.assertEqual([p.name for p in self.data.iterdir() if "restor" in p.name], [])

    def test_damaged_numbers(self) -> None:
        """Numbers of a damaged database that nobody can have given out stop no restore."""
        self.work(self.database)
        for value in ("2000000000000000000", "'x'", "-5", "1.5", "x''"):
            db = sqlite3.connect(self.database)
            db.execute(f"UPDATE tasks SET generation = {value}")
            db.execute(f"UPDATE meta SET message_seq = {value}")
            db.commit()
            db.close()
            self.assertEqual(restore.given(self.database), Given())
        self.restore(self.data)
        self.assertEqual(self.numbers(self.database)[0], NOW)

    def test_older_schema(self) -> None:
        """Of a replaced database without messages the generations count."""
        db = sqlite3.connect(self.database)
        db.execute("ALTER TABLE meta DROP COLUMN message_seq")
        db.close()
        self.assertEqual(restore.given(self.database), Given(4, 0))

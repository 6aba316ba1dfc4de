"""Processes, hub and agents of a run, with a reactor that starts none."""

from __future__ import annotations

import shlex
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionRefusedError, ProcessDone, ProcessTerminated
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom import sidecar
from agentcom.chaos import children
from agentcom.chaos.children import Child, Children
from agentcom.chaos.fleet import Fleet, command_of
from agentcom.chaos.history import Refusal
from agentcom.chaos.hubprocess import HubProcess, NoHub
from agentcom.chaos.plan import STAYS, Kind, Member
from tests.unit.client.fakes import start

READY = b"AgentCom is ready: listening on http://127.0.0.1:%d (dashboard: ...)\n"


class Process:
    """What a process is to its protocol; ends when it is killed."""

    def __init__(self, child: Any, command: list[str], env: dict[str, str], home: str) -> None:
        self.child = child
        self.command = command
        self.env = env
        self.home = home
        self.pid = 0
        self.signals: list[int] = []
        self.stubborn = False

    def signalProcess(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL or (number == signal.SIGTERM and not self.stubborn):
            self.end()

    def end(self, code: int | None = 0) -> None:
        """It is gone."""
        why = ProcessDone(None) if code == 0 else ProcessTerminated(code)
        self.child.processExited(Failure(why))


class FakeReactor(Clock):
    """A clock that remembers what was to be started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []

    def spawnProcess(
        self, child: Any, executable: str, command: list[str], env: dict[str, str], home: str
    ) -> None:
        self.started.append(Process(child, command, env, home))
        child.transport = self.started[-1]


class ProcessesTestCase(SynchronousTestCase):
    """Everything in a directory of the test."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.work = Path(self.mktemp()).absolute()
        self.work.mkdir()
        self.troubles: list[tuple[str, str]] = []
        self.children = Children(self.reactor, self.work, lambda *told: self.troubles.append(told))

    @property
    def newest(self) -> Process:
        """What was started last."""
        return self.reactor.started[-1]


class ChildTests(ProcessesTestCase):
    """One process."""

    def child(self, *heard: list[str]) -> Child:
        return self.children.start("bot", ["bot", "x"], heard[0].append if heard else print)

    def test_home(self) -> None:
        """It runs in a directory of its own and knows nothing of its user's settings."""
        self.patch(children.os, "environ", {"AGENTCOM_TOKEN": "secret", "PATH": "/bin"})
        self.children.start("bot", ["bot"], X="y")
        env = self.newest.env
        self.assertEqual((env["PATH"], env["X"]), ("/bin", "y"))
        self.assertNotIn("AGENTCOM_TOKEN", env)
        self.assertEqual(env["HOME"], str(self.work / "bot"))
        self.assertTrue(Path(self.newest.home).is_dir())

    def test_lines(self) -> None:
        """What it prints is in its log, whole, and told line by line."""
        heard: list[str] = []
        child = self.child(heard)
        child.outReceived(b"one\ntw")
        child.errReceived(b"o\nthree")
        self.assertEqual(heard, ["one", "two"])
        self.assertEqual((self.work / "bot.log").read_bytes(), b"one\ntwo\nthree")

    def test_bounded_log(self) -> None:
        """A process that never stops talking does not fill the disk."""
        self.patch(children, "MAX_LOG", 10)
        child = self.child([])
        for _ in range(9):
            child.outReceived(b"12345678\n")
        self.assertLess((self.work / "bot.log").stat().st_size, 20)

    def test_traceback(self) -> None:
        """A traceback is trouble."""
        self.child([]).errReceived(b"Traceback (most recent call last):\n")
        ((who, what),) = self.troubles
        self.assertEqual(who, "bot")
        self.assertIn("bot.log", what)

    def test_ends_by_itself(self) -> None:
        """An end that nobody asked for is trouble, any other is none."""
        start(self.child().kill())
        start(self.child().stop(self.reactor, 1.0))
        self.assertEqual(self.troubles, [])
        self.child()
        self.newest.end(3)
        self.assertEqual(len(self.troubles), 1)
        self.assertIn("exit code 3", self.troubles[0][1])

    def test_stop(self) -> None:
        """It is asked to end, and killed when it does not."""
        self.assertTrue(self.successResultOf(start(self.child().stop(self.reactor, 5.0))))
        child = self.child()
        self.newest.stubborn = True
        stopping = start(child.stop(self.reactor, 5.0))
        self.reactor.advance(4.9)
        self.assertNoResult(stopping)
        self.reactor.advance(0.2)
        self.assertFalse(self.successResultOf(stopping))
        self.assertEqual(self.newest.signals, [signal.SIGTERM, signal.SIGKILL])

    def test_orphan(self) -> None:
        """Those that it has started are killed, and that it ends by itself then is no trouble."""
        child = self.child()
        with subprocess.Popen(["sh", "-c", "sleep 60; exit 7"]) as process:
            started = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while not started.read_text():
                self.assertIsNone(process.poll())
            self.newest.pid = process.pid
            orphaned = start(child.orphan())
            self.assertEqual(process.wait(), 7)
        self.assertNoResult(orphaned)
        self.newest.end(1)
        self.successResultOf(orphaned)
        self.assertEqual((self.newest.signals, self.troubles), ([], []))

    def test_no_orphan(self) -> None:
        """One that has started nothing is killed itself."""
        child = self.child()
        self.successResultOf(start(child.orphan()))
        self.assertEqual(self.newest.signals, [signal.SIGKILL])

    def test_end_all(self) -> None:
        """All that still run are killed, and nothing else is signalled."""
        self.child()
        self.newest.end()
        self.child()
        self.child()
        self.troubles.clear()
        self.successResultOf(start(self.children.end_all()))
        signals = [process.signals for process in self.reactor.started]
        self.assertEqual(signals, [[], [signal.SIGKILL], [signal.SIGKILL]])
        self.assertEqual(self.troubles, [])


class HubProcessTests(ProcessesTestCase):
    """The hub through its lives."""

    def setUp(self) -> None:
        super().setUp()
        self.hub = HubProcess(self.reactor, self.children, self.work, ("hub",))

    def ready(self, port: int = 1234) -> None:
        self.newest.child.outReceived(READY % port)

    def test_same_port(self) -> None:
        """It is started on any port, and after a kill on the same one again."""
        starting = start(self.hub.start())
        self.assertIn("tcp:0:interface=127.0.0.1", self.newest.command)
        self.assertNoResult(starting)
        self.ready()
        self.successResultOf(starting)
        killing = start(self.hub.kill(2.0))
        self.assertEqual(self.newest.signals, [signal.SIGKILL])
        self.reactor.advance(1.9)
        self.assertEqual(len(self.reactor.started), 1)
        self.reactor.advance(0.2)
        self.assertIn("tcp:1234:interface=127.0.0.1", self.newest.command)
        self.ready()
        self.successResultOf(killing)
        self.assertEqual(self.troubles, [])

    def test_port_taken(self) -> None:
        """When somebody took its port meanwhile it is started on another."""
        start(self.hub.start())
        self.ready()
        killing = start(self.hub.kill(0.0))
        self.reactor.advance(0)
        self.newest.child.errReceived(b"agentcom: tcp:1234 is in use\n")
        self.newest.end(1)
        self.assertIn("tcp:0:interface=127.0.0.1", self.newest.command)
        self.ready(99)
        self.successResultOf(killing)

    def test_does_not_start(self) -> None:
        """A hub that ends early, or is never ready, is told in one sentence."""
        starting = start(self.hub.start())
        self.newest.child.errReceived(b"agentcom: the disk is full\n")
        self.newest.end(1)
        error = self.failureResultOf(starting, NoHub)
        self.assertIn("the disk is full", error.getErrorMessage())
        starting = start(self.hub.start())
        self.reactor.advance(100)
        error = self.failureResultOf(starting, NoHub)
        self.assertIn("not ready", error.getErrorMessage())
        self.assertEqual(self.newest.signals, [signal.SIGKILL])

    def test_not_reached_while_down(self) -> None:
        """While it is down nobody is connected, not even tried."""
        start(self.hub.start())
        self.ready()
        start(self.hub.kill(9.0))
        self.failureResultOf(self.hub.reach(Protocol()), ConnectionRefusedError)

    def test_late(self) -> None:
        """It is late when it takes longer to start than a start takes."""
        start(self.hub.start())
        self.assertFalse(self.hub.late)
        self.ready()
        start(self.hub.kill(5.0))
        self.reactor.advance(6.0)
        self.assertFalse(self.hub.late)
        self.reactor.advance(2.0)
        self.assertTrue(self.hub.late)
        self.ready()
        self.assertFalse(self.hub.late)

    def test_stop(self) -> None:
        """An exit code after SIGTERM that is not 0 is told."""
        for code in (0, 1):
            start(self.hub.start())
            self.ready()
            self.newest.stubborn = True
            stopping = start(self.hub.stop())
            self.newest.end(code)
            wrong = self.successResultOf(stopping)
            self.assertEqual(wrong is None, code == 0, wrong)
        self.assertEqual(self.successResultOf(start(self.hub.stop())), "it was not running")

    def test_damage(self) -> None:
        """A database that is damaged is told, a sound one is not."""
        self.hub.data_dir.mkdir()
        path = self.hub.data_dir / "agentcom.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE t (x)")
            database.executemany("INSERT INTO t VALUES (?)", [("x" * 999,)] * 99)
            database.commit()
        self.assertIsNone(self.hub.damage())
        with closing(sqlite3.connect(path)) as database:
            database.execute("INSERT INTO t VALUES (NULL)")
            database.execute("PRAGMA writable_schema = ON")
            database.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE t (x NOT NULL)'")
            database.commit()
        self.assertIn("NULL value in t.x", str(self.hub.damage()))
        whole = path.read_bytes()
        path.write_bytes(whole[:8192] + b"?" * 4096 + whole[12288:])
        self.assertIsNotNone(self.hub.damage())
        path.write_bytes(b"?" * 9999)
        self.assertIsNotNone(self.hub.damage())


class FleetTests(ProcessesTestCase):
    """Agents that are killed and frozen."""

    def setUp(self) -> None:
        super().setUp()
        self.refused: list[Refusal] = []
        urls = {"side": "http://h:1", "old": "http://h:2", "gone": "http://h:3"}
        self.fleet = Fleet(self.reactor, self.children, "s:9", urls, self.refused.append)

    def start(self, name: str, kind: Kind = Kind.SIDECAR, returns: bool = True) -> Process:
        self.fleet.start(Member(name, kind, returns), f"token of {name}")
        return self.newest

    def test_commands(self) -> None:
        """Each is started as what it is, at its own address; no token is an argument."""
        side = self.start("side")
        self.assertIn("agentcom.cli", side.command)
        self.assertEqual(side.env["AGENTCOM_TOKEN"], "token of side")
        work = shlex.split(side.command[side.command.index("--exec") + 1])
        self.assertTrue(Path(work[-2]).is_file())
        self.assertEqual(work[-1], "s:9")
        self.assertIn("http://h:1", side.command)
        old = command_of(Member("old", Kind.OLD, False), "http://h:2", "s:9")
        self.assertIn("agentcom.chaos.oldstyle", old)
        self.assertFalse({"--zero", STAYS} & set(old))
        zero = command_of(Member("old", Kind.OLD_ZERO), "http://h:2", "s:9")
        self.assertTrue({"--zero", STAYS} <= set(zero))

    def test_kill(self) -> None:
        """A killed agent comes back when it is time; one that does not return, never."""
        self.start("side")
        self.assertTrue(self.successResultOf(start(self.fleet.kill("side", 2.0))))
        self.assertFalse(self.successResultOf(start(self.fleet.kill("side", 2.0))))
        self.reactor.advance(1.9)
        self.assertEqual(len(self.reactor.started), 1)
        self.reactor.advance(0.2)
        self.assertEqual(self.reactor.started[0].command, self.newest.command)
        self.assertEqual(len(self.reactor.started), 2)
        self.start("gone", returns=False)
        self.successResultOf(start(self.fleet.kill("gone", 2.0)))
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.started), 3)
        self.assertEqual(self.troubles, [])

    def test_freeze(self) -> None:
        """A frozen agent goes on when it is time, once."""
        process = self.start("side")
        self.assertTrue(self.fleet.freeze("side", 3.0))
        self.assertFalse(self.fleet.freeze("side", 3.0))
        self.reactor.advance(3.1)
        self.assertEqual(process.signals, [signal.SIGSTOP, signal.SIGCONT])

    def test_settle(self) -> None:
        """When the plan is over everybody goes on, and comes back, at once."""
        frozen = self.start("side")
        self.start("old", Kind.OLD)
        self.fleet.freeze("side", 30.0)
        self.successResultOf(start(self.fleet.kill("old", 30.0)))
        self.fleet.settle()
        self.assertEqual(frozen.signals[-1], signal.SIGCONT)
        self.assertEqual(len(self.reactor.started), 3)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """All are asked to end, frozen ones too; those that had to be killed are told."""
        self.start("side")
        self.fleet.freeze("side", 30.0)
        self.start("old", Kind.OLD).stubborn = True
        self.start("gone")
        self.successResultOf(start(self.fleet.kill("gone", 1.0)))
        stopping = start(self.fleet.stop())
        self.reactor.advance(60)
        self.assertEqual(self.successResultOf(stopping), ["old"])
        self.assertEqual(len(self.reactor.started), 3)

    def test_refusals(self) -> None:
        """Refused reports are told, each as its agent says it; other lines are not."""
        line = b'{"error": "not_assignee", "task_id": "t", "message_type": "task_complete"}\n'
        self.start("old", Kind.OLD).child.outReceived(b"no line\n" + line)
        side = self.start("side").child
        side.errReceived(b"12:00:00 task-1 begins\n" + line)
        side.errReceived(b"12:00:00 the hub did not take the end of task-1: stale_generation\n")
        told = [(r.agent_id, r.task_id, r.error) for r in self.refused]
        self.assertEqual(
            told, [("old", "t", "not_assignee"), ("side", "task-1", "stale_generation")]
        )

    def test_keeps_up(self) -> None:
        """What is looked for in the lines of sidecars is what they say."""
        sources = "".join(p.read_text() for p in Path(sidecar.__file__).parent.glob("*.py"))
        self.assertIn("the hub did not take the end of {key[0]}: {error}", sources)

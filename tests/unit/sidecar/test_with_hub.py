"""The agent's side against the real hub in memory: they understand each other.

Everything between is real (Autobahn on both sides) but the network, which is
linked transports, and the processes, which are a ``FakeWorkshop``'s.  Time is the
hub's clock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubUnreachable
from agentcom.client.urls import HubURL
from agentcom.sidecar import agent as sidecar_agent
from agentcom.sidecar.agent import END_LIMIT_S, SAME_WISH_S, Access, Sidecar, runner_for
from agentcom.sidecar.connector import GiveUp
from agentcom.sidecar.protocol import LineFactory
from agentcom.sidecar.runner import Outcome
from agentcom.sidecar.session import Identity, Session
from agentcom.testing import MemoryHub
from tests.unit.sidecar.fakes import FakeWorkshop, database, memory_journal


class SidecarTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = MemoryHub()
        self.workshop = FakeWorkshop()
        self.db = database()
        self.lines: list[Any] = []
        self.running, self.sidecar = self.begin(self.hub.token("bot"))

    def begin(self, token: str, **options: Any) -> tuple[Deferred[Any], Sidecar]:
        async def tokens(renew: bool) -> str:
            return token

        access = Access(HubURL.parse("http://localhost"), tokens)
        sidecar = Sidecar(
            self.hub.clock,
            access,
            Identity("bot"),
            self.workshop,
            memory_journal(self.db),
            **options,
        )
        self.patch(sidecar._connector, "_open_line", self.open_line)
        running = Deferred.fromCoroutine(sidecar.run())
        self.hub.settle()
        return running, sidecar

    def open_line(self, session: Session) -> Deferred[Any]:
        line: Any = LineFactory("ws://localhost/ws", session, self.hub.clock).buildProtocol(None)
        line.pump = self.hub.join(line)
        self.lines.append(line)
        return succeed(line)

    def cut(self) -> None:
        """Break the agent's line on both sides."""
        line = self.lines[-1]
        self.hub.cut(line)
        line.pump.clientIO.reportDisconnect()
        self.hub.settle()

    def end(self, outcome: Outcome, work: int = -1) -> None:
        self.workshop.works[work].end(outcome)
        self.hub.advance(1)

    def test_complete(self) -> None:
        """A task is run and its result is kept."""
        task_id = self.hub.push("bot", "do", metadata={"path": "/src"})
        self.assertEqual(self.workshop.works[0].task["metadata"], {"path": "/src"})
        self.workshop.works[0].ears.text("hello\n")
        self.end(Outcome(exit_code=0, output="hello\n", data=b"[1]"))
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["result"]["data"]), ("completed", [1]))
        self.assertEqual(
            self.hub.events_of(task_id),
            ["task_submitted", "task_assigned", "task_accepted", "task_progress", "task_complete"],
        )

    def test_failed(self) -> None:
        """A run that fails is a dead letter with its reason."""
        task_id = self.hub.push("bot")
        self.end(Outcome(exit_code=3, output="why\n"))
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["last_error"]), ("dead_letter", "exit status 3"))

    def test_line_lost_during_work(self) -> None:
        """Work that ends while the line is down is reported when it is back, once."""
        task_id = self.hub.push("bot")
        self.cut()
        self.workshop.works[0].ears.text("while away\n")
        self.workshop.works[0].end(Outcome(exit_code=0))
        self.hub.advance(5)
        self.assertEqual(self.hub.task(task_id)["status"], "completed")
        self.assertEqual(self.hub.events_of(task_id).count("task_progress"), 1)
        self.assertEqual((len(self.workshop.works), self.sidecar._desk.unreported), (1, 0))

    def test_line_lost_and_work_goes_on(self) -> None:
        """Work that is not done when the line is back goes on and is not begun again."""
        task_id = self.hub.push("bot")
        self.cut()
        self.hub.advance(20)
        self.assertEqual(self.hub.task(task_id)["status"], "working")
        self.end(Outcome(exit_code=0))
        self.assertEqual(self.hub.task(task_id)["status"], "completed")
        self.assertEqual(len(self.workshop.works), 1)

    def test_cancelled(self) -> None:
        """A cancelled task is stopped, and its slot is free when it has ended."""
        task_id = self.hub.push("bot")
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel", {})
        self.assertEqual(self.workshop.works[0].did, ["stop"])
        self.end(Outcome(signal=15))
        self.hub.push("bot")
        self.assertEqual(len(self.workshop.works), 2)

    def test_cancelled_while_away(self) -> None:
        """What was cancelled while the line was down is stopped when it is back."""
        task_id = self.hub.push("bot")
        self.cut()
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel", {})
        self.hub.advance(5)
        self.assertEqual(self.workshop.works[0].did, ["stop"])

    def test_busy(self) -> None:
        """A second push waits in the queue until the first has ended."""
        self.hub.push("bot", "one")
        second = self.hub.push("bot", "two")
        self.assertEqual(self.hub.task(second)["status"], "queued")
        self.end(Outcome(exit_code=0))
        self.hub.advance(10)
        self.assertEqual(self.hub.task(second)["status"], "working")

    def test_replaced(self) -> None:
        """An agent whose place is taken does not take it back at once."""
        self.hub.agent("bot")
        self.hub.advance(20)
        self.assertEqual(len(self.lines), 1)
        self.hub.advance(40)
        self.assertEqual(len(self.lines), 2)

    def test_revoked(self) -> None:
        """A revoked agent ends what it runs, and gives up."""
        self.hub.push("bot")
        self.hub.request("DELETE", "/admin/tokens/bot")
        self.hub.advance(2)
        self.assertEqual(self.workshop.works[0].did, ["stop"])
        self.end(Outcome(signal=15))
        self.failureResultOf(self.running, GiveUp)

    def test_wrong_token(self) -> None:
        """A token that the hub does not know ends the agent at once."""
        running, _ = self.begin("0" * 64)
        self.hub.advance(3)
        self.failureResultOf(running, GiveUp)

    def test_stop(self) -> None:
        """At the end the agent's tasks are reported and the line is closed in peace."""
        task_id = self.hub.push("bot")
        self.sidecar.stop()
        self.hub.settle()
        self.assertEqual(self.workshop.works[0].did, ["stop"])
        self.assertNoResult(self.running)
        self.end(Outcome(signal=15))
        self.assertEqual(self.hub.task(task_id)["last_error"], "agent stopped")
        self.hub.advance(3)
        self.successResultOf(self.running)

    def test_stop_twice(self) -> None:
        """A second wish, not an echo of the first, is obeyed at once."""
        task_id = self.hub.push("bot")
        self.sidecar.stop()
        self.sidecar.stop()
        self.assertEqual(self.workshop.works[0].did, ["stop"])
        self.hub.advance(SAME_WISH_S)
        self.sidecar.stop()
        self.assertEqual(self.workshop.works[0].did, ["stop", "kill"])
        self.end(Outcome(signal=9))
        self.assertEqual(self.hub.task(task_id)["last_error"], "agent stopped")
        self.hub.advance(3)
        self.successResultOf(self.running)

    def test_stop_without_patience(self) -> None:
        """What cannot be ended does not hold the agent for ever."""
        self.hub.push("bot")
        self.sidecar.stop()
        self.hub.advance(END_LIMIT_S + 3)
        self.successResultOf(self.running)

    def test_killed_without_a_word(self) -> None:
        """At a second wish the agent goes, even if what was killed does not end."""
        self.hub.push("bot")
        self.sidecar.stop()
        self.hub.advance(SAME_WISH_S)
        self.sidecar.stop()
        self.hub.advance(4)
        self.successResultOf(self.running)

    def test_stop_while_away(self) -> None:
        """Without a line the agent ends all the same."""
        self.cut()
        self.sidecar.stop()
        self.hub.advance(1)
        self.successResultOf(self.running)

    def drain(self) -> None:
        """Start anew with patience, get a task, and be asked to stop."""
        self.sidecar.stop()
        self.hub.advance(3)
        self.running, self.sidecar = self.begin(self.hub.token("bot"), drain_limit_s=60.0)
        self.task_id = self.hub.push("bot")
        self.sidecar.stop()
        self.hub.advance(SAME_WISH_S)
        self.assertEqual(self.workshop.works[0].did, [])

    def test_drain(self) -> None:
        """With a drain limit work is finished first, and nothing new is begun."""
        self.drain()
        self.hub.request("POST", "/api/tasks", {"description": "later"})
        self.end(Outcome(exit_code=0))
        self.hub.advance(3)
        self.assertEqual(self.hub.task(self.task_id)["status"], "completed")
        self.assertEqual(len(self.workshop.works), 1)
        self.successResultOf(self.running)

    def test_drain_names(self) -> None:
        """It is logged what is waited for, but not a page of it."""
        self.assertEqual(sidecar_agent._names([("a", 1), ("b", 2)]), "a, b")
        keys = [(str(n), 1) for n in range(8)]
        self.assertEqual(sidecar_agent._names(keys), "0, 1, 2, 3, 4 and 3 more")

    def test_drain_limit(self) -> None:
        """Work that takes longer is stopped as without one."""
        self.drain()
        self.hub.advance(58)
        self.assertEqual(self.workshop.works[0].did, [])
        self.hub.advance(2)
        self.assertEqual(self.workshop.works[0].did, ["stop"])
        self.end(Outcome(signal=15))
        self.assertEqual(self.hub.task(self.task_id)["last_error"], "agent stopped")
        self.hub.advance(3)
        self.successResultOf(self.running)

    def test_drain_hurried(self) -> None:
        """Each further wish is one step faster."""
        self.drain()
        for did in (["stop"], ["stop", "kill"]):
            self.sidecar.stop()
            self.assertEqual(self.workshop.works[0].did, did)
            self.hub.advance(SAME_WISH_S)
        self.hub.advance(4)
        self.successResultOf(self.running)

    def test_drain_over_a_lost_line(self) -> None:
        """The end of drained work is reported on a new line, on which nothing new is taken."""
        self.drain()
        self.cut()
        self.hub.request("POST", "/api/tasks", {"description": "later"})
        self.hub.advance(10)
        self.assertEqual(len(self.lines), 3)
        self.end(Outcome(exit_code=0))
        self.hub.advance(3)
        self.assertEqual(self.hub.task(self.task_id)["status"], "completed")
        self.assertEqual(len(self.workshop.works), 1)

    def crash(self, *left: tuple[str, int]) -> None:
        """Start a new process after one that says nothing more."""
        self.sidecar._connector._stopped = True
        if self.sidecar._connector.session is not None:
            self.cut()
        self.sidecar._connector.stop()
        self.workshop = FakeWorkshop(left)
        self.running, self.sidecar = self.begin(self.hub.token("bot"))
        self.hub.advance(3)

    def test_crash_during_work(self) -> None:
        """A run that outlived the agent is completed as the same attempt."""
        task_id = self.hub.push("bot")
        self.crash((task_id, 1))
        self.assertEqual(self.hub.task(task_id)["status"], "working")
        self.end(Outcome(exit_code=0))
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["generation"]), ("completed", 1))
        self.assertEqual(self.hub.events_of(task_id)[-2:], ["task_recovering", "task_complete"])
        self.assertEqual(memory_journal(self.db).entries(), [])

    def test_crash_and_lost(self) -> None:
        """A run that died with the agent fails, and may be tried again."""
        answer = self.hub.request("POST", "/api/tasks", {"description": "d"})
        self.crash()
        task_id = answer.body["task_id"]
        self.assertEqual(self.hub.task(task_id)["last_error"], "agent crashed")
        self.hub.advance(10)
        self.end(Outcome(exit_code=0))
        self.assertEqual(self.hub.task(task_id)["status"], "completed")
        self.assertEqual(memory_journal(self.db).entries(), [])

    def test_crash_before_the_work(self) -> None:
        """What was not begun is given back without an attempt spent, and begun then."""
        self.patch(self.sidecar._desk._replies, "_begin", lambda job: None)
        task_id = self.hub.push("bot")
        self.crash()
        task = self.hub.task(task_id)
        self.assertEqual((task["status"], task["generation"]), ("working", 2))
        self.assertIn("task_recovering", self.hub.events_of(task_id))
        self.end(Outcome(exit_code=0))
        self.assertEqual(self.hub.task(task_id)["status"], "completed")
        self.assertEqual(len(self.workshop.works), 1)

    def test_crash_before_the_report(self) -> None:
        """What had ended is reported by the next process."""
        task_id = self.hub.push("bot")
        self.cut()
        self.workshop.works[0].end(Outcome(exit_code=0))
        self.crash()
        self.assertEqual(self.hub.task(task_id)["status"], "completed")
        self.assertEqual((self.workshop.works, memory_journal(self.db).entries()), ([], []))

    def test_refused_at_first_spares_work(self) -> None:
        """A wrong token does not end what an earlier process left running."""
        task_id = self.hub.push("bot")
        self.hub.cut(self.lines[-1])
        self.workshop = FakeWorkshop([(task_id, 1)])
        with capturedLogs() as events:
            running, _ = self.begin("0" * 64)
            self.hub.advance(3)
        self.failureResultOf(running, GiveUp)
        self.assertEqual(self.workshop.works[0].did, [])
        told = [formatEvent(event) for event in events]
        self.assertIn(f"left to the next start: {task_id}", told)
        self.assertEqual(len(memory_journal(self.db).entries()), 1)

    def test_unreadable_journal(self) -> None:
        """A journal that cannot be read ends the agent with a sentence."""
        self.hub.push("bot")
        self.db.execute("UPDATE attempts SET task = x'00'")
        running, _ = self.begin(self.hub.token("bot"))
        self.failureResultOf(running, GiveUp)

    def test_hub_pings(self) -> None:
        """The hub's own pings are answered, and keep a quiet agent connected."""
        self.hub.advance(300, step=1.0)
        self.assertEqual(len(self.lines), 1)
        self.assertEqual(len(self.hub.request("GET", "/api/agents").body["agents"]), 1)

    def test_slow_line(self) -> None:
        """A transport that is full holds live output back, and reports not."""
        task_id = self.hub.push("bot")
        self.lines[0].pauseProducing()
        self.workshop.works[0].ears.text("x\n")
        self.hub.advance(2)
        self.assertNotIn("task_progress", self.hub.events_of(task_id))
        self.lines[0].resumeProducing()
        self.hub.advance(2)
        self.assertIn("task_progress", self.hub.events_of(task_id))

    def test_send_after_the_end(self) -> None:
        """A frame that comes too late for the line is no error."""
        line = self.lines[0]
        self.cut()
        line.send(b"{}")
        line.stopProducing()
        self.assertFalse(line.connected and line._producing)


class OpenLineTests(SynchronousTestCase):
    def test_endpoints(self) -> None:
        """The address says where to connect, and whether with TLS."""
        made: list[tuple[Any, ...]] = []

        class Endpoint:
            def __init__(self, *where: Any) -> None:
                made.append(where[1:])

            def connect(self, factory: Any) -> Deferred[Any]:
                return succeed(factory.isSecure)

        def wrapped(options: Any, endpoint: Any) -> Any:
            made.append(("tls",))
            return endpoint

        self.patch(sidecar_agent, "HostnameEndpoint", Endpoint)
        self.patch(sidecar_agent, "wrapClientTLS", wrapped)
        clock = MemoryHub().clock
        for text in ("http://hub.example:1", "https://hub.example:2"):
            sidecar = _sidecar(clock, text)
            session: Any = None
            secure = self.successResultOf(sidecar._open_line(session))
            self.assertEqual(secure, text.startswith("https"))
        self.assertEqual(made, [("hub.example", 1), ("hub.example", 2), ("tls",)])

    def test_unreached(self) -> None:
        """An agent says in the same words as every command why no hub answers."""

        class Endpoint:
            def __init__(self, *where: Any) -> None:
                """Nobody is there."""

            def connect(self, factory: Any) -> Deferred[Any]:
                return fail(ConnectionRefusedError())

        self.patch(sidecar_agent, "HostnameEndpoint", Endpoint)
        sidecar = _sidecar(MemoryHub().clock, "http://hub.example:1")
        session: Any = None
        failure = self.failureResultOf(sidecar._open_line(session), HubUnreachable)
        self.assertIn("no hub answers at http://hub.example:1", failure.getErrorMessage())

    def test_stop_before_hello(self) -> None:
        """A line on which nobody has answered yet can be closed; it is cut."""
        clock = MemoryHub().clock
        sidecar = _sidecar(clock, "h:1")
        session = sidecar._connector._new_session("t")
        line = LineFactory("ws://h:1/ws", session, clock).buildProtocol(None)
        transport = StringTransport()
        line.makeConnection(transport)
        line.close(1000, "the agent stops")
        self.assertTrue(transport.disconnected)

    def test_refused_upgrade(self) -> None:
        """A hub that takes no more connections may say for how long."""
        clock = MemoryHub().clock
        session = _sidecar(clock, "h:1")._connector._new_session("t")
        line = LineFactory("ws://h:1/ws", session, clock).buildProtocol(None)
        transport = StringTransport()
        # Real transports let anybody unregister nothing.
        self.patch(transport, "unregisterProducer", lambda: None)
        line.makeConnection(transport)
        line.dataReceived(b"HTTP/1.1 503 too many connections; retry_after_ms=7000\r\n\r\n")
        line.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.successResultOf(session.ended).retry_after_s, 7.0)

    def test_runner(self) -> None:
        """The real runner starts processes with the reactor that it is given."""

        class Reactor:
            spawnProcess = "spawn"

        runner = runner_for(Reactor(), ["x"], {}, "bot", Path("state"))
        self.assertEqual(runner._spawn, "spawn")


def _sidecar(clock: Any, url: str) -> Sidecar:
    access = Access(HubURL.parse(url), _no_token)
    return Sidecar(clock, access, Identity("b"), FakeWorkshop(), memory_journal(agent_id="b"))


async def _no_token(renew: bool) -> str:
    raise AssertionError("not asked for")

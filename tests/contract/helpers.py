"""What the contract tests share: a hub in memory, its restart, and its watchers.

Time stands still unless a test advances the hub's clock, so whatever a frame
causes has happened when :meth:`.FakeAgent.say` returns.
"""

import json
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.store import migrate
from agentcom.store.connections import connect
from agentcom.store.script import commit_here
from agentcom.store.sqlite import SqliteStore
from agentcom.testing import STARTED_AT, FakeAgent, MemoryHub

Frame = dict[str, Any]


class HubTests(SynchronousTestCase):
    """A test with a hub.

    :cvar settings: of the hub, where they are not the defaults.
    """

    settings: ClassVar[dict[str, Any]] = {}
    hub: MemoryHub

    def setUp(self) -> None:
        self.hub = MemoryHub(**self.settings)

    def assert_error(self, answers: list[Frame], code: str, **fields: Any) -> Frame:
        """One ``error`` frame came, with this code and at least these fields."""
        self.assertEqual([(a["type"], a.get("error")) for a in answers], [("error", code)])
        self.assert_fields(answers[0], **fields)
        return answers[0]

    def assert_answer(self, answers: list[Frame], type: str, **fields: Any) -> Frame:
        """One frame of this type came, with at least these fields."""
        self.assertEqual([a["type"] for a in answers], [type], answers)
        self.assert_fields(answers[0], **fields)
        return answers[0]

    def assert_fields(self, frame: Frame, **fields: Any) -> None:
        """A frame or object has at least these fields."""
        self.assertEqual({name: frame.get(name) for name in fields}, fields)

    def assert_task(self, task_id: str, **fields: Any) -> None:
        """The task, as the API shows it, has at least these fields."""
        self.assert_fields(self.hub.task(task_id), **fields)

    def accepted(self, agent: FakeAgent, **fields: Any) -> str:
        """A task that was pushed to the agent and accepted by it."""
        task_id = self.hub.push(agent_id(agent), **fields)
        self.assert_answer(
            agent.say("task_accepted", task_id=task_id), "task_ack", status="accepted"
        )
        return task_id

    def restart(self) -> None:
        """The process dies; a new one runs on the same store."""
        self.hub = restarted(self.hub)


def agent_id(agent: FakeAgent) -> str:
    """The id under which an agent was identified."""
    return str(agent.of("identified")[-1]["agent_id"])


def restarted(hub: MemoryHub) -> MemoryHub:
    """A new process on the store of one that dies without a word.

    What it had begun to commit is on disk; nothing else of it goes on: its
    timers are gone, its lines dead.
    """
    hub.settle()
    for call in hub.clock.getDelayedCalls():
        call.cancel()
    seed = int(hub.clock.seconds()) + hub.hub.events.last_seq
    return MemoryHub(store=hub.store, clock=hub.clock, seed=seed)


def enqueue(hub: MemoryHub, pinned: str | None = None, **fields: Any) -> str:
    """Submit a task, with what a push cannot ask for; gives its id."""
    body = {"description": "work", "agent_id": pinned, **fields}
    answer = hub.request("POST", "/api/tasks", body)
    if answer.status != 201:
        raise AssertionError(f"the task was refused: {answer.body}")
    return str(answer.body["task_id"])


def mute(agent: FakeAgent) -> None:
    """The agent answers no ping any more; ``agent.pings`` goes on counting."""

    def heard(payload: bytes) -> None:
        agent.pings += 1

    agent.onPing = heard


def never_closes(agent: FakeAgent) -> None:
    """The agent answers no close frame."""
    agent.onCloseFrame = lambda code, reason: None


def queue(agent: FakeAgent, type: str, **fields: Any) -> None:
    """Put a frame on the agent's line without letting anything happen."""
    agent.sendFrame(opcode=1, payload=json.dumps({"type": type, **fields}).encode())


class Watcher:
    """Somebody who follows ``GET /api/events``.

    :param query: of the URL, such as ``after=0&topics=tasks``.
    """

    def __init__(self, hub: MemoryHub, query: str = "") -> None:
        self._client = hub.open_request("GET", "/api/events?" + query)

    @property
    def events(self) -> list[Frame]:
        """What came so far, oldest first."""
        lines = self._client.received.split(b"\n")
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    @property
    def names(self) -> list[str]:
        """The names of what came so far."""
        return [event["event"] for event in self.events]


def history(hub: MemoryHub, task_id: str) -> list[Frame]:
    """A task's events, oldest first."""
    found: list[Frame] = []
    cursor = "0"
    while cursor is not None:
        path = f"/api/tasks/{task_id}/events?limit=1000&cursor={cursor}"
        page = hub.request("GET", path).body
        found += page["events"]
        cursor = page["cursor"]
    return found


class SlowDisk:
    """A store whose commits end when the test says so.

    :ivar held: commits that have begun and not ended.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(STARTED_AT)
        self.held: list[Any] = []
        self._holding = False
        connection = connect(":memory:")
        migrate.upgrade(connection, lambda: "00000000")
        self.store = SqliteStore(
            self.clock,
            connection,
            lambda: connection,
            commit_here(connection, self._commit),
            maybeDeferred,
            lambda: None,
        )

    def hold(self) -> None:
        """From now on no commit ends."""
        self._holding = True

    def release(self) -> None:
        """Let all commits end, those to come too."""
        self._holding = False
        held, self.held = self.held, []
        for done, work in held:
            done.callback(work())

    def release_one(self) -> None:
        """Let the oldest of them end."""
        done, work = self.held.pop(0)
        done.callback(work())

    def _commit(self, work: Any) -> Deferred[Any]:
        if not self._holding:
            return maybeDeferred(work)
        done: Deferred[Any] = Deferred()
        self.held.append((done, work))
        return done


def held_back(line: Any) -> bool:
    """Whether the hub reads no further from this connection."""
    return bool(getattr(line._backpressure, "held", False))

"""``GET /api/agents``: its list and the events from its cursor on are one story."""

import random
from typing import Any

from agentcom.testing import Answered, FakeAgent, HttpClient, MemoryHub
from tests.contract.helpers import Frame, HubTests, SlowDisk, Watcher

EVENT_FIELDS = ("agent_id", "name", "status", "capabilities", "connected_at", "slots", "labels")
"""What of an AgentInfo changes by events only."""

Known = dict[str, dict[str, Any]]


def told(info: Frame) -> dict[str, Any]:
    """What events tell of an agent."""
    return {name: info[name] for name in EVENT_FIELDS}


def listed(answer: Answered) -> Known:
    """The agents of a list."""
    return {info["agent_id"]: told(info) for info in answer.body["agents"]}


def seq_of(answer: Answered) -> int:
    """Where in the log a list stands."""
    return int(answer.body["cursor"].partition(":")[2])


def added_up(known: Known, events: list[Frame]) -> Known:
    """Who is here, by a reader of events."""
    here = dict(known)
    for event in events:
        if event["event"] in ("agent_joined", "status_changed"):
            here[event["agent_id"]] = told(event["payload"]["agent"])
        elif event["event"] == "agent_left":
            del here[event["agent_id"]]
        elif event["event"] == "hub_started":
            here.clear()
    return here


class SlowListTests(HubTests):
    """A hub whose disk can be held."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        for agent_id in "abcd":
            self.hub.token(agent_id)

    def ask(self) -> HttpClient:
        """Ask for the list; the answer may come later."""
        return self.hub.open_request("GET", "/api/agents", token=None)

    def release(self) -> None:
        self.disk.release()
        self.hub.settle()

    def test_cursor_is_one_of_events(self) -> None:
        """Events go on from the cursor: what follows, and nothing that the list has."""
        self.hub.agent("a")
        answer = Answered(self.ask().received)
        self.hub.agent("b")
        query = f"topics=presence&after={answer.body['cursor']}"
        (event,) = Watcher(self.hub, query).events
        self.assertEqual((event["event"], event["agent_id"]), ("agent_joined", "b"))

    def test_whoever_was_told(self) -> None:
        """An agent that is told ``identified`` is in every list that is asked for after that."""
        self.disk.hold()
        self.hub.agent("a")
        asked = self.ask()
        self.assertEqual(asked.received, b"")
        self.release()
        self.assertEqual(list(listed(Answered(asked.received))), ["a"])

    def test_disk_that_hangs(self) -> None:
        """A disk that hangs holds the list up for a second; then it is what the log says."""
        self.hub.agent("a")
        self.disk.hold()
        self.hub.agent("b")
        asked = self.ask()
        self.hub.advance(1)
        self.assertEqual(list(listed(Answered(asked.received))), ["a"])
        self.release()
        self.assertEqual(list(listed(Answered(self.ask().received))), ["a", "b"])

    def test_nothing_to_wait_for(self) -> None:
        """Where nothing of presence is on its way to the disk, the list does not wait for it."""
        self.hub.agent("a")
        self.disk.hold()
        self.hub.open_request("POST", "/api/channels", {"name": "c"})
        self.assertEqual(list(listed(Answered(self.ask().received))), ["a"])

    def test_how_busy(self) -> None:
        """What changes without an event is that of now."""
        self.hub.agent("a")
        self.hub.push("a")
        (info,) = Answered(self.ask().received).body["agents"]
        self.assert_fields(info, state="busy", running=1)

    def test_at_any_point(self) -> None:
        """Whenever it is taken, a list is what the events up to its cursor add up to."""
        for seed in range(12):
            with self.subTest(seed=seed):
                self.setUp()
                self.walk(random.Random(seed))

    def walk(self, chance: random.Random) -> None:
        """Agents come, change and go while lists are taken, on a disk that is slow at times."""
        here: dict[str, FakeAgent] = {}
        asked: list[HttpClient] = []
        for step in range(60):
            agent_id = chance.choice("abcd")
            agent = here.get(agent_id)
            if agent is None:
                here[agent_id] = self.hub.agent(agent_id, name=f"n{step}", presence="none")
            elif chance.random() < 0.4:
                agent.vanish()
                del here[agent_id]
            elif chance.random() < 0.5:
                agent.say("status", status=f"s{step}")
            else:
                token = self.hub.token(agent_id)
                agent.say("identify", agent_id=agent_id, token=token, labels={"step": str(step)})
            if chance.random() < 0.4:
                asked.append(self.ask())
            if chance.random() < 0.2:
                self.disk.hold()
            elif chance.random() < 0.3:
                self.release()
            elif chance.random() < 0.1:
                self.hub.advance(1)
        self.release()
        asked.append(self.ask())
        events = Watcher(self.hub, "after=0&topics=presence").events
        answers = [Answered(client.received) for client in asked]
        last = listed(answers[-1])
        self.assertEqual(set(last), set(here))
        for answer in answers:
            seq = seq_of(answer)
            before = [event for event in events if event["seq"] <= seq]
            after = [event for event in events if event["seq"] > seq]
            self.assertEqual(listed(answer), added_up({}, before))
            self.assertEqual(added_up(listed(answer), after), last)

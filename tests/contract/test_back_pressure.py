"""Peers wait when more is asked than the disk or the receivers can take."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.load import BACKLOG, FANOUT_BYTES
from agentcom.store.interface import PAGE_BYTES, Unit
from agentcom.testing import MemoryHub
from tests.contract.helpers import held_back


class BackPressureTests(SynchronousTestCase):
    def test_backlog_of_the_store(self) -> None:
        """A peer is not read from while the store is far behind, and then again."""
        hub = MemoryHub()
        agent = hub.agent("w")
        for _ in range(BACKLOG + 1):
            hub.store.commit(Unit())
        self.assertTrue(hub.hub.overloaded())
        agent.sendFrame(opcode=1, payload=b'{"type":"ping"}')
        agent.pump.flush()
        (line,) = hub.parts.factory.connections
        self.assertTrue(held_back(line))
        hub.advance(1)
        self.assertFalse(held_back(line))
        self.assertEqual(agent.say("ping")[-1]["type"], "pong")

    def test_backlog_of_a_fan_out(self) -> None:
        """Frames that wait to be sent to many count too, until they are sent."""
        hub = MemoryHub()
        agents = [hub.agent(f"w{i}", presence="none") for i in range(100)]
        links = list(hub.hub.roster.values())
        hub.hub.presence.broadcast(b'{"type":"x"}' + b" " * FANOUT_BYTES, links)
        self.assertTrue(hub.hub.overloaded())
        hub.settle()
        self.assertFalse(hub.hub.overloaded())
        self.assertEqual(len(agents), len(links))


class PageTests(SynchronousTestCase):
    def test_pages_end_early(self) -> None:
        """A page ends where its texts are large, and its cursor goes on."""
        hub = MemoryHub()
        agent = hub.agent("w")
        pushed = []
        for _ in range(12):
            pushed.append(hub.push("w"))
            agent.say("task_complete", task_id=pushed[-1], result="x" * 500_000)
        seen: list[str] = []
        cursor, pages = "", 0
        while cursor is not None:
            page = hub.request("GET", "/api/tasks" + (f"?cursor={cursor}" if cursor else ""))
            self.assertLess(len(page.text), PAGE_BYTES + 1_000_000)
            seen += [task["id"] for task in page.body["tasks"]]
            cursor, pages = page.body["cursor"], pages + 1
        self.assertEqual(seen, pushed[::-1])
        self.assertEqual(pages, 2)

    def test_large_costs(self) -> None:
        """A cost that is no cost is not kept, and the event says so."""
        hub = MemoryHub()
        agent = hub.agent("w")
        task_id = hub.push("w")
        agent.say("task_accepted", task_id=task_id)
        agent.say("task_progress", task_id=task_id, cost={"usd": 1})
        hub.advance(0.5)
        agent.say("task_progress", task_id=task_id, cost={"essay": "x" * 5_000})
        hub.advance(0.5)
        events = hub.request("GET", f"/api/tasks/{task_id}/events").body["events"]
        costs = [e["payload"]["cost"] for e in events if e["event"] == "task_progress"]
        self.assertEqual(costs[0], {"usd": 1})
        self.assertEqual(list(costs[1]), ["note"])

"""A commit that never comes back: a disk may block instead of failing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub
from tests.unit.store.support import Held, make_clock, memory_store

PUSH = {"agent_id": "a", "description": "work"}


class HangingCommitTests(SynchronousTestCase):
    """A hub whose commit hangs with a push in it."""

    def setUp(self) -> None:
        clock = make_clock()
        self.disk = Held()
        self.given_up = 0
        store = memory_store(clock, commits=self.disk, give_up=self._give_up)
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock)
        self.hub.agent("a")
        self.disk.holding = True
        self.push = self.hub.open_request("POST", "/api/admin/push-task", PUSH)
        self.assertEqual(len(self.disk.waiting), 1)

    def _give_up(self) -> None:
        self.given_up += 1

    def trouble(self) -> tuple[bool, int]:
        """Whether the store tells of trouble, and the status of ``/ready``."""
        return self.hub.store.trouble() is not None, self.hub.request("GET", "/ready").status

    def test_noticed(self) -> None:
        """A commit that takes 5 s is trouble: the hub is not ready and takes no new work."""
        self.hub.advance(4.75)
        self.assertEqual(self.trouble(), (False, 200))
        self.hub.advance(0.25)
        self.assertEqual(self.trouble(), (True, 503))
        self.assertEqual(self.hub.request("POST", "/api/admin/push-task", PUSH).status, 503)
        self.assertEqual(self.push.received, b"")

    def test_over(self) -> None:
        """When it comes back after all, the trouble is over and the push is answered."""
        self.hub.advance(20)
        self.disk.release()
        self.hub.settle()
        self.assertEqual(self.trouble(), (False, 200))
        self.assertIn(b" 200 ", self.push.received)
        self.hub.advance(60)
        self.assertEqual(self.given_up, 0)

    def test_given_up(self) -> None:
        """After 60 s the process is told to end, to recover from disk."""
        self.hub.advance(59.5)
        self.assertEqual(self.given_up, 0)
        # It is looked at once a second.
        self.hub.advance(1.5)
        self.assertGreaterEqual(self.given_up, 1)

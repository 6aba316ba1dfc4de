"""Histories of channels while reads wait, or fail."""

from __future__ import annotations

from agentcom.hub.channels import READS
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase

HISTORY = "/api/channels/c/history"


class ReadTests(HttpCase):
    """A hub with a channel, whose reads are held."""

    def setUp(self) -> None:
        super().setUp()
        self.answers(self.post("/api/channels", {"name": "c"}), 201)
        self.agent = self.hub.agent("a")
        self.token = self.hub.token("a")

    def test_some_at_a_time(self) -> None:
        """So many are read for one agent at a time, of both kinds; one more is refused."""
        self.reads.holding = True
        begun = [self.begin("GET", HISTORY, token=self.token) for _ in range(READS - 1)]
        self.assertEqual(self.agent.say("channel_history", channel="c"), [])
        refused = self.get(HISTORY, token=self.token)
        self.answers(refused, 429, error="rate_limited", retry_after_ms=1_000)
        (refused_frame,) = self.agent.say("channel_history", channel="c", ref=1)
        self.assertEqual((refused_frame["error"], refused_frame["ref"]), ("rate_limited", 1))
        # Others are not kept from reading.
        other = self.begin("GET", HISTORY, token=self.hub.token("b"))
        self.reads.release()
        self.hub.settle()
        self.assertEqual([Answered(c.received).status for c in begun], [200] * len(begun))
        self.assertEqual(Answered(other.received).status, 200)
        self.assertEqual(len(self.agent.of("channel_history")), 1)
        self.answers(self.get(HISTORY, token=self.token), 200)

    def test_a_read_that_fails(self) -> None:
        """It is told as a fault of the hub, logged, and does not count as under way."""
        self.reads.error = OSError("the disk is gone")
        for n in range(READS + 1):
            (frame,) = self.agent.say("channel_history", channel="c", ref=n)
            self.assertEqual((frame["error"], frame["ref"]), ("internal_error", n))
        self.answers(self.get(HISTORY, token=self.token), 500, error="internal_error")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), READS + 2)
        self.reads.error = None
        self.answers(self.get(HISTORY, token=self.token), 200)

    def test_a_line_that_is_gone(self) -> None:
        """An agent that left before its history was read is no fault."""
        self.reads.holding = True
        self.agent.say("channel_history", channel="c")
        self.agent.vanish()
        self.reads.release()
        self.hub.settle()
        self.assertEqual(self.flushLoggedErrors(), [])

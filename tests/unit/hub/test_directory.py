"""Channels and subscriptions in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.channel import Channel, Subscription
from agentcom.errors import ChannelNotFound, TooManyChannels
from agentcom.hub.directory import CHANNELS, Directory


def channel(name: str) -> Channel:
    return Channel(name=name, created_by="a", created_at=1)


def subscription(channel: str, agent_id: str) -> Subscription:
    return Subscription(channel=channel, agent_id=agent_id, since=1)


class DirectoryTests(SynchronousTestCase):
    """What was loaded, and what is said after that."""

    def setUp(self) -> None:
        joined = [subscription("c", "b"), subscription("d", "b"), subscription("c", "a")]
        self.directory = Directory([channel("c"), channel("d")], joined)

    def test_loaded(self) -> None:
        """Both sides are there, in the order in which they began."""
        self.assertEqual(self.directory.subscribers("c"), ["b", "a"])
        self.assertEqual(self.directory.of("b"), ["c", "d"])
        self.assertEqual(self.directory.of("nobody"), [])
        self.assertEqual(self.directory.named("#D").name, "d")
        self.assertRaises(ChannelNotFound, self.directory.named, "e")

    def test_leave(self) -> None:
        """Who leaves is gone from both sides; nothing stays of one that has left all."""
        self.directory.leave("c", "b")
        self.assertEqual(self.directory.subscribers("c"), ["a"])
        self.assertEqual(self.directory.of("b"), ["d"])
        self.directory.leave("d", "b")
        self.assertEqual(self.directory.of("b"), [])
        self.assertNotIn("b", self.directory._of)

    def test_most(self) -> None:
        """There is an end to the channels."""
        for n in range(CHANNELS - 2):
            self.directory.check_room("")
            self.directory.add(channel(f"n{n}"))
        self.assertRaises(TooManyChannels, self.directory.check_room, "")

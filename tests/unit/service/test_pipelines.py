"""Lines on which requests wait, and the turns in which they are served.

A turn of this clock takes a millisecond, so that one can be let pass.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom.pipelines import AT_A_TIME, TURN_S, Pipelines
from agentcom.testing import HttpClient, MemoryHub

ONE_S = 0.001


class Turns(Clock):
    """What is to be called at once is called in the next turn, as by a reactor."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> IDelayedCall:
        return super().callLater(max(delay, ONE_S), callable, *args, **kw)

    def one(self) -> None:
        """Let one turn pass."""
        self.advance(ONE_S)


class Line:
    """Has so many requests waiting, each of which takes some seconds."""

    def __init__(self, pipelines: Pipelines, clock: Clock, requests: int, takes_s: float) -> None:
        self.pipelines = pipelines
        self.clock = clock
        self.left = requests
        self.takes_s = takes_s
        pipelines.wait(self)

    def go_on(self) -> None:
        self.left -= 1
        self.clock.rightNow += self.takes_s
        if self.left:
            self.pipelines.wait(self)


class Network:
    """What reads for a channel, and when it is told to go on and not to."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")

    def unregisterProducer(self) -> None:
        """Nothing: the line ends."""


class PipelinesTests(SynchronousTestCase):
    """Lines that only count."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.pipelines = Pipelines(self.clock)

    def lines(self, count: int, requests: int, takes_s: float) -> list[Line]:
        return [Line(self.pipelines, self.clock, requests, takes_s) for _ in range(count)]

    def test_time(self) -> None:
        """A turn ends when its time is over, and the next one goes on from there."""
        lines = self.lines(2, 9, TURN_S * 0.4)
        self.clock.one()
        self.assertEqual([line.left for line in lines], [7, 8])
        self.clock.one()
        self.assertEqual([line.left for line in lines], [6, 6])

    def test_number(self) -> None:
        """A turn ends after so many, however fast they are."""
        (line,) = self.lines(1, AT_A_TIME + 1, 0)
        self.clock.one()
        self.assertEqual(line.left, 1)
        self.clock.one()
        self.assertEqual(line.left, 0)

    def test_fair(self) -> None:
        """Who has many waiting is not served before who has few."""
        many, few = self.lines(1, 1_000, 0) + self.lines(1, 2, 0)
        self.clock.one()
        self.assertEqual((few.left, many.left), (0, 1_000 - AT_A_TIME + 2))

    def test_a_slow_one_is_served(self) -> None:
        """One that takes more than a whole turn is served all the same, and nothing is left
        to be called when all are."""
        lines = self.lines(2, 1, TURN_S * 5)
        self.clock.one()
        self.clock.one()
        self.assertEqual([line.left for line in lines], [0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ChannelTests(SynchronousTestCase):
    """A connection of HTTP."""

    def setUp(self) -> None:
        self.hub = MemoryHub()
        self.clock = Turns()
        self.pipelines = Pipelines(self.clock)
        self.others = HttpClient()
        self.client = HttpClient()
        self.channel = self.channel_of(self.client)
        self.channel_of(self.others)

    def channel_of(self, client: HttpClient) -> Any:
        """The hub's end of a line on which one request was served."""
        pump = self.hub.join(client)
        self.say(client, 1)
        channel: Any = pump.serverIO.protocol
        channel.pipelines = self.pipelines
        self.assertEqual(self.answers(client), 1)
        client.received = b""
        return channel

    def say(self, client: HttpClient, count: int) -> None:
        transport: Any = client.transport
        transport.write(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n" * count)
        self.hub.settle()

    def answers(self, client: HttpClient) -> int:
        self.hub.settle()
        return client.received.count(b"HTTP/1.1 200 OK")

    def served(self) -> int:
        """Requests that were served so far, whoever heard of it."""
        text = self.hub.parts.metrics.text().decode()
        (line,) = [s for s in text.splitlines() if 'requests_total{route="health",status="2' in s]
        return int(float(line.split()[-1]))

    def test_others_have_their_turn(self) -> None:
        """Of requests that come together the first is served at once and the others in turns,
        between which others are served; all are answered, and the line goes on."""
        self.say(self.client, 200)
        self.assertEqual(self.answers(self.client), 1)
        self.clock.one()
        self.assertEqual(self.answers(self.client), 1 + AT_A_TIME)
        self.say(self.others, 1)
        self.assertEqual(self.answers(self.others), 1)
        self.assertEqual(self.answers(self.client), 1 + AT_A_TIME)
        for _ in range(3):
            self.clock.one()
        self.assertEqual(self.answers(self.client), 200)
        self.say(self.client, 1)
        self.assertEqual(self.answers(self.client), 201)

    def test_what_comes_meanwhile(self) -> None:
        """What comes while a request waits for its turn is served behind it."""
        self.say(self.client, 2)
        self.say(self.client, 2)
        self.assertEqual(self.answers(self.client), 1)
        self.clock.one()
        self.assertEqual(self.answers(self.client), 4)

    def test_nobody_reads(self) -> None:
        """A turn that comes while nobody reads is asked for again when somebody does."""
        self.say(self.client, 5)
        self.channel.pauseProducing()
        self.clock.one()
        self.assertEqual(self.answers(self.client), 1)
        self.channel.resumeProducing()
        self.clock.one()
        self.assertEqual(self.answers(self.client), 5)
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.clock.one()
        self.say(self.client, 1)
        self.assertEqual(self.answers(self.client), 6)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_end_of_requests(self) -> None:
        """Who sends on and reads nothing is not read from either, until there is room again."""
        network = Network()
        self.channel._networkProducer = network
        self.say(self.client, 5)
        self.channel.pauseProducing()
        self.assertEqual(network.said, [])
        self.say(self.client, 1_000)
        self.assertEqual(network.said[-1:], ["pause"])
        network.said.clear()
        self.channel.resumeProducing()
        self.assertEqual(network.said, [])
        for _ in range(20):
            self.clock.one()
        self.assertEqual(network.said[-1:], ["resume"])
        self.assertEqual(self.answers(self.client), 1_005)

    def test_one_turn_each(self) -> None:
        """Who reads by fits and starts has no more turns than others."""
        self.say(self.client, 200)
        self.say(self.others, 200)
        for _ in range(5):
            self.channel.pauseProducing()
            self.channel.resumeProducing()
        self.clock.one()
        self.assertEqual(self.answers(self.client), 1 + AT_A_TIME / 2)
        self.assertEqual(self.answers(self.others), 1 + AT_A_TIME / 2)

    def test_lost(self) -> None:
        """A line that breaks before its turn is forgotten, and nothing is served on it."""
        self.say(self.client, 5)
        served = self.served()
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.clock.one()
        self.assertEqual(self.served(), served)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_is_not_late(self) -> None:
        """Its peer is not held to read what it was not given yet."""
        self.say(self.client, 5)
        self.hub.advance(200, step=1)
        self.assertFalse(self.client.lost)
        self.clock.one()
        self.assertEqual(self.answers(self.client), 5)

    def test_a_fault(self) -> None:
        """A fault in a later turn costs that line alone, and is logged."""

        def fail(*_: object) -> None:
            raise RuntimeError("a fault")

        self.say(self.client, 5)
        self.channel.requestFactory = fail
        self.clock.one()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.hub.settle()
        self.assertTrue(self.client.lost)
        self.say(self.others, 1)
        self.assertEqual(self.answers(self.others), 1)

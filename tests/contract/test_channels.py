"""Channels over WebSocket: PROTOCOL.md section 3.1."""

import random
from typing import Any

from twisted.internet.defer import Deferred

from agentcom.testing import Answered, FakeAgent, MemoryHub
from tests.contract.helpers import Frame, HubTests, SlowDisk, agent_id, queue


class ChannelCase(HubTests):
    """A hub with a channel ``c``, and three agents."""

    def setUp(self) -> None:
        super().setUp()
        self.create("c")
        self.a, self.b, self.d = (self.hub.agent(name, presence="none") for name in "abd")

    def create(self, name: str, **fields: Any) -> None:
        answer = self.hub.request("POST", "/api/channels", {"name": name, **fields})
        self.assertEqual(answer.status, 201, answer.body)

    def subscribe(self, *agents: FakeAgent, channel: str = "c") -> None:
        for agent in agents:
            answers = agent.say("channel_subscribe", channel=channel)
            self.assert_answer(answers, "channel_subscribed", channel=channel)

    def publish(self, agent: FakeAgent, n: object, channel: str = "c", **fields: Any) -> Frame:
        """Publish, and give the answer."""
        answers = agent.say("channel_publish", channel=channel, payload={"n": n}, **fields)
        (answer,) = (f for f in answers if f["type"] == "channel_published")
        return answer

    def heard(self, agent: FakeAgent) -> list[Any]:
        """What an agent was sent of channels."""
        return [frame["payload"]["n"] for frame in agent.of("channel_message")]

    def history(self, agent: FakeAgent, **fields: Any) -> Frame:
        answers = agent.say("channel_history", channel="c", **fields)
        return self.assert_answer(answers, "channel_history", channel="c")

    def numbers(self, agent: FakeAgent, **fields: Any) -> list[Any]:
        """What a history has."""
        return [
            entry["message"]["payload"]["n"] for entry in self.history(agent, **fields)["messages"]
        ]


class SubscribeTests(ChannelCase):
    """``channel_subscribe`` and ``channel_unsubscribe``."""

    def test_answers(self) -> None:
        """Each is answered with the channel, as it is stored, and with its ``ref``."""
        answers = self.a.say("channel_subscribe", channel="#C", ref=[1])
        self.assertEqual(answers, [{"type": "channel_subscribed", "channel": "c", "ref": [1]}])
        answers = self.a.say("channel_subscribe", channel="c")
        self.assert_answer(answers, "channel_subscribed", channel="c", note="already_subscribed")
        answers = self.a.say("channel_unsubscribe", channel="C", ref="r")
        self.assertEqual(answers, [{"type": "channel_unsubscribed", "channel": "c", "ref": "r"}])

    def test_not_subscribed(self) -> None:
        """Ending what never began is answered alike."""
        answers = self.a.say("channel_unsubscribe", channel="c")
        self.assert_answer(answers, "channel_unsubscribed", channel="c")

    def test_no_such_channel(self) -> None:
        """Every frame on a channel that there is not is ``channel_not_found``."""
        for type in ("subscribe", "unsubscribe", "history", "publish"):
            for name in ("nope", "#", "\u4f60"):
                answers = self.a.say(f"channel_{type}", channel=name, payload={}, ref=1)
                self.assert_error(answers, "channel_not_found", channel=name, ref=1)
        self.assertIsNone(self.a.closed)

    def test_others_are_told(self) -> None:
        """The other subscribers hear of a new one; nobody hears of what is no news."""
        self.subscribe(self.a, self.b)
        frame = {"type": "channel_agent_joined", "channel": "c", "agent_id": "b"}
        self.assertEqual(self.a.of("channel_agent_joined"), [frame])
        self.assertEqual(self.b.of("channel_agent_joined"), [])
        self.b.say("channel_subscribe", channel="c")
        self.b.say("channel_unsubscribe", channel="c")
        self.assertEqual(len(self.a.frames), 3)
        self.assertEqual(self.d.of("channel_agent_joined"), [])

    def test_many_subscribers(self) -> None:
        """Above 200 subscribers a new one is not told of: that would cost their square."""
        self.subscribe(self.a)
        for i in range(202):
            self.hub.hub.messages.channels.subscribe("c", f"s{i}", lambda *_: None)
        self.hub.settle()
        self.assertEqual(len(self.a.of("channel_agent_joined")), 199)

    def test_ended(self) -> None:
        """Nothing comes after a subscription was ended."""
        self.subscribe(self.a, self.b)
        self.a.say("channel_unsubscribe", channel="c")
        self.publish(self.b, 1)
        self.assertEqual(self.heard(self.a), [])

    def test_outlives_the_connection(self) -> None:
        """A subscription outlives its connection, and the hub's process."""
        self.subscribe(self.a)
        self.a.vanish()
        back = self.hub.agent("a")
        self.publish(self.b, 1)
        self.assertEqual(self.heard(back), [1])
        self.restart()
        back, sender = self.hub.agent("a"), self.hub.agent("b")
        self.publish(sender, 2)
        self.assertEqual(self.heard(back), [2])
        answers = back.say("channel_subscribe", channel="c")
        self.assert_answer(answers, "channel_subscribed", note="already_subscribed")

    def test_end_outlives_the_process(self) -> None:
        """So does the end of one."""
        self.subscribe(self.a, self.b)
        self.a.say("channel_unsubscribe", channel="c")
        self.restart()
        a, b = self.hub.agent("a"), self.hub.agent("b")
        self.publish(b, 1)
        self.assertEqual(self.heard(a), [])

    def test_most_subscriptions(self) -> None:
        """An agent subscribes 1,000 channels at the most."""
        channels = self.hub.hub.messages.channels
        for i in range(1_000):
            Deferred.fromCoroutine(channels.create(f"x{i}", "", "a"))
            channels.subscribe(f"x{i}", "a", lambda *_: None)
        self.hub.settle()
        self.assert_error(self.a.say("channel_subscribe", channel="c"), "too_many_channels")
        self.a.say("channel_unsubscribe", channel="x5")
        self.subscribe(self.a)


class PublishTests(ChannelCase):
    """``channel_publish``, and what the subscribers get."""

    def test_delivery(self) -> None:
        """The subscribers get it, but for the publisher: that one has its answer."""
        self.subscribe(self.a, self.b)
        answer = self.publish(self.a, 1)
        self.assertEqual([self.heard(x) for x in (self.a, self.b, self.d)], [[], [1], []])
        (frame,) = self.b.of("channel_message")
        self.assertEqual((frame["seq"], frame["id"]), (answer["seq"], answer["id"]))

    def test_fields(self) -> None:
        """A message of a channel has all its fields; the sender is who sent it."""
        self.subscribe(self.b)
        self.hub.advance(2)
        answers = self.a.say(
            "channel_publish",
            channel="#C",
            payload={"text": "h\u00e9", "deep": [{"n": None}]},
            message_type="ask",
            reply_to="abc",
            ref=7,
            **{"from": "d"},
        )
        answer = self.assert_answer(answers, "channel_published", channel="c", ref=7)
        self.assertRegex(answer["id"], r"\A[0-9a-f]{16}\Z")
        self.assertEqual(
            self.b.of("channel_message"),
            [
                {
                    "type": "channel_message",
                    "channel": "c",
                    "seq": answer["seq"],
                    "id": answer["id"],
                    "from": "a",
                    "message_type": "ask",
                    "payload": {"text": "h\u00e9", "deep": [{"n": None}]},
                    "reply_to": "abc",
                    "timestamp": 1_700_000_002_000,
                }
            ],
        )

    def test_defaults(self) -> None:
        """``message_type`` is ``chat`` and ``reply_to`` null where they are not said."""
        self.subscribe(self.b)
        self.publish(self.a, 1)
        (frame,) = self.b.of("channel_message")
        self.assertEqual(frame["message_type"], "chat")
        self.assertIsNone(frame["reply_to"])

    def test_not_subscribed(self) -> None:
        """Who publishes need not subscribe."""
        self.subscribe(self.b)
        self.publish(self.d, 1)
        self.assertEqual(self.heard(self.b), [1])

    def test_seq(self) -> None:
        """``seq`` grows with each message, after a restart too."""
        seqs = [self.publish(self.a, n)["seq"] for n in range(5)]
        self.restart()
        a = self.hub.agent("a")
        seqs += [self.publish(a, n)["seq"] for n in range(5)]
        self.assertEqual(seqs, sorted(set(seqs)))

    def test_order(self) -> None:
        """Every subscriber gets all messages in the order of their ``seq``."""
        others = [self.hub.agent(f"s{i}", presence="none") for i in range(100)]
        self.subscribe(*others)
        for n in range(40):
            queue(self.a if n % 2 else self.b, "channel_publish", channel="c", payload={"n": n})
        self.hub.settle()
        for agent in others:
            seqs = [frame["seq"] for frame in agent.of("channel_message")]
            self.assertEqual(len(seqs), 40)
            self.assertEqual(seqs, sorted(seqs))
        # One sender's messages in the order in which it sent them.
        odd = [n for n in self.heard(others[99]) if n % 2]
        self.assertEqual(odd, list(range(1, 40, 2)))

    def test_too_fast(self) -> None:
        """Past the rate there is one error, with the time after which to go on."""
        self.subscribe(self.b)
        for n in range(300):
            queue(self.a, "channel_publish", channel="c", payload={"n": n})
        self.hub.settle()
        refused = self.a.of("error")
        self.assertEqual({f["error"] for f in refused}, {"rate_limited"})
        published = self.a.of("channel_published")
        self.assertEqual((len(published), len(refused)), (200, 100))
        self.assertIsNone(self.a.closed)
        self.hub.advance(refused[-1]["retry_after_ms"] / 1000)
        self.publish(self.a, 300)
        self.assertEqual(self.heard(self.b), [*range(200), 300])

    def test_reports_have_no_limit(self) -> None:
        """Who has published too much still reports on its tasks."""
        task_id = self.hub.push("a")
        for n in range(300):
            queue(self.a, "channel_publish", channel="c", payload={"n": n})
        self.hub.settle()
        self.assert_answer(self.a.say("task_accepted", task_id=task_id), "task_ack")


class SlowChannelTests(ChannelCase):
    """Channels on a disk that can be held."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.create("c")
        self.a, self.b, self.d = (self.hub.agent(name, presence="none") for name in "abd")

    def test_nothing_before_the_disk(self) -> None:
        """Nobody is answered, and no message delivered, before it is on disk."""
        self.subscribe(self.b)
        self.disk.hold()
        self.assertEqual(self.a.say("channel_publish", channel="c", payload={"n": 1}), [])
        self.assertEqual(self.d.say("channel_subscribe", channel="c"), [])
        self.assertEqual(self.b.say("channel_unsubscribe", channel="c"), [])
        self.assertEqual(self.heard(self.b), [])
        create = self.hub.open_request("POST", "/api/channels", {"name": "x"})
        again = self.hub.open_request("POST", "/api/channels", {"name": "x"})
        self.assertEqual(create.received + again.received, b"")
        self.disk.release()
        self.hub.settle()
        # It was decided while that one subscribed.
        self.assertEqual(self.heard(self.b), [1])
        self.assertEqual(self.b.frames[-1]["type"], "channel_unsubscribed")
        self.assertEqual(len(self.d.of("channel_subscribed")), 1)
        self.assertEqual(len(self.a.of("channel_published")), 1)
        self.assertEqual([Answered(x.received).status for x in (create, again)], [201, 409])

    def test_a_subscription_begins_at_its_place(self) -> None:
        """Who subscribes gets what is published after that, and nothing from before."""
        self.disk.hold()
        self.a.say("channel_publish", channel="c", payload={"n": 1})
        self.b.say("channel_subscribe", channel="c")
        self.a.say("channel_publish", channel="c", payload={"n": 2})
        self.disk.release()
        self.hub.settle()
        types = [f["type"] for f in self.b.frames[1:]]
        self.assertEqual(types, ["channel_subscribed", "channel_message"])
        self.assertEqual(self.heard(self.b), [2])


class HistoryTests(ChannelCase):
    """``channel_history``."""

    def test_entries(self) -> None:
        """An entry has the message's number, the message, and when it was stored."""
        published = self.publish(self.a, 1, message_type="t", reply_to="r")
        answer = self.history(self.b, ref="x")
        self.assertEqual(answer["ref"], "x")
        now = self.hub.hub.now()
        message = {
            "id": published["id"],
            "from": "a",
            "channel": "c",
            "message_type": "t",
            "payload": {"n": 1},
            "reply_to": "r",
            "timestamp": now,
        }
        self.assertEqual(
            answer["messages"], [{"seq": published["seq"], "message": message, "stored_at": now}]
        )
        self.assert_fields(answer, count=1, last_seq=published["seq"], more=False)

    def test_pages(self) -> None:
        """``since`` is exclusive, the oldest come first, 50 unless it is limited."""
        for n in range(120):
            self.hub.advance(0.05)
            self.publish(self.a, n)
        self.assertEqual(self.numbers(self.b), list(range(50)))
        self.assertEqual(self.numbers(self.b, limit=1_000_000), list(range(120)))
        found: list[Any] = []
        last, more = 0, True
        while more:
            page = self.history(self.b, since=last, limit=7)
            found += [entry["message"]["payload"]["n"] for entry in page["messages"]]
            last, more = page["last_seq"], page["more"]
        self.assertEqual(found, list(range(120)))
        self.assert_fields(self.history(self.b, since=last), messages=[], count=0, last_seq=last)
        self.assertEqual(self.numbers(self.b, limit=0), [0])

    def test_its_own(self) -> None:
        """A history has what was published to its channel and nothing else."""
        self.create("other")
        self.publish(self.a, 1)
        self.publish(self.a, 2, channel="other")
        self.a.say("message", to="b", payload={"n": 3})
        self.a.say("message", payload={"n": 4})
        self.assertEqual(self.numbers(self.b), [1])

    def test_after_a_restart(self) -> None:
        """It is there after a restart."""
        self.publish(self.a, 1)
        self.restart()
        self.assertEqual(self.numbers(self.hub.agent("b")), [1])

    def test_a_gap_is_filled(self) -> None:
        """Who comes back and reads on from what it has misses nothing, and knows what repeats."""
        chance = random.Random(5)
        self.subscribe(self.b)
        have: list[int] = []
        said = 0
        reader: FakeAgent | None = self.b
        for _ in range(60):
            for _ in range(chance.randrange(4)):
                self.hub.advance(0.1)
                self.publish(self.a, said)
                said += 1
            if reader is not None:
                last = have[-1] if have else 0
                live = [f["seq"] for f in reader.of("channel_message")]
                have += [seq for seq in live if seq > last]
                if chance.random() < 0.5:
                    reader.vanish()
                    reader = None
            elif chance.random() < 0.5:
                reader = self.hub.agent("b", presence="none")
                more = True
                while more:
                    page = self.history(reader, since=have[-1] if have else 0, limit=3)
                    have += [entry["seq"] for entry in page["messages"]]
                    more = page["more"]
                    self.publish(self.a, said)
                    said += 1
        published = [entry["seq"] for entry in self.history(self.d, limit=1_000)["messages"]]
        self.assertEqual(len(published), said)
        self.assertEqual(have, published[: len(have)])
        self.assertGreater(len(have), 50)

    def test_many_at_once(self) -> None:
        """Old agents ask for all their channels at once, and all of that is answered."""
        for n in range(10):
            self.create(f"h{n}")
            queue(self.a, "channel_history", channel=f"h{n}", ref=n)
        self.hub.settle()
        self.assertEqual([f["ref"] for f in self.a.of("channel_history")], list(range(10)))


class ListTests(ChannelCase):
    """``list_channels``."""

    def test_list(self) -> None:
        """It has all channels, with how many subscribe them, away or not."""
        self.hub.advance(1)
        self.create("#Second One", description="d")
        self.subscribe(self.a, self.b)
        self.b.vanish()
        answers = self.a.say("list_channels", ref=0)
        frame = self.assert_answer(answers, "channels", ref=0)
        first, second = frame["channels"]
        self.assert_fields(first, name="c", description="", subscriber_count=2)
        created_at = self.hub.hub.now()
        self.assert_fields(
            second, name="secondone", description="d", subscriber_count=0, created_at=created_at
        )

    def test_replaced_connection(self) -> None:
        """A replaced connection says nothing of channels any more."""
        old = self.a
        new = self.hub.agent("a")
        self.subscribe(new)
        self.publish(self.b, 1)
        self.assertEqual((self.heard(old), self.heard(new)), ([], [1]))
        self.assertEqual(agent_id(new), "a")

"""``message`` between agents: PROTOCOL.md section 3.1."""

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub
from tests.contract.helpers import HubTests, SlowDisk


class MessageTests(HubTests):
    """Messages between agents that are connected."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b, self.c = (self.hub.agent(name) for name in "abc")

    def received(self) -> list[int]:
        return [len(agent.of("message")) for agent in (self.a, self.b, self.c)]

    def test_broadcast(self) -> None:
        """Without ``to``, with null or ``broadcast``, everybody gets it, the sender included."""
        for number, fields in enumerate(({}, {"to": None}, {"to": "broadcast"}), start=1):
            answers = self.a.say("message", payload={"n": number}, **fields)
            self.assertEqual(sorted(f["type"] for f in answers), ["message", "message_sent"])
            self.assertEqual(self.received(), [number] * 3)

    def test_broadcast_is_one_message(self) -> None:
        """All receivers of a broadcast get the same message, with the id that was told."""
        answers = self.a.say("message", payload={})
        sent = next(f for f in answers if f["type"] == "message_sent")
        frames = [agent.of("message")[0] for agent in (self.a, self.b, self.c)]
        self.assertEqual(frames, [frames[0]] * 3)
        self.assertEqual(frames[0]["id"], sent["id"])
        self.assertNotIn("note", sent)

    def test_not_before_identify(self) -> None:
        """A connection that has not identified gets no broadcast."""
        stranger = self.hub.connect()
        self.a.say("message", payload={})
        self.assertEqual(stranger.frames, [])

    def test_direct(self) -> None:
        """A direct message goes to its receiver only."""
        answers = self.a.say("message", to="b", payload={"x": 1})
        self.assert_answer(answers, "message_sent")
        self.assertEqual(self.received(), [0, 1, 0])

    def test_to_itself(self) -> None:
        """An agent can send to itself."""
        self.a.say("message", to="a", payload={})
        self.assertEqual(self.received(), [1, 0, 0])

    def test_fields(self) -> None:
        """A message has all its fields; the sender is who sent it, whatever it says."""
        self.hub.advance(2)
        payload = {"text": "hé", "deep": [{"n": None}]}
        answers = self.a.say(
            "message", to="b", payload=payload, message_type="ask", reply_to="abc", **{"from": "c"}
        )
        self.assertEqual(
            self.b.of("message")[0],
            {
                "type": "message",
                "id": answers[0]["id"],
                "seq": 1,
                "from": "a",
                "message_type": "ask",
                "payload": payload,
                "reply_to": "abc",
                "timestamp": 1_700_000_002_000,
            },
        )

    def test_defaults(self) -> None:
        """``message_type`` is ``chat`` and ``reply_to`` null where they are not said."""
        self.a.say("message", to="b", payload={})
        frame = self.b.of("message")[0]
        self.assertEqual(frame["message_type"], "chat")
        self.assertIsNone(frame["reply_to"])

    def test_id(self) -> None:
        """A message id is 16 hex digits, and no two are the same."""
        ids = [self.a.say("message", to="b", payload={})[0]["id"] for _ in range(20)]
        for message_id in ids:
            self.assertRegex(message_id, r"\A[0-9a-f]{16}\Z")
        self.assertEqual(len(set(ids)), 20)

    def test_unknown_recipient(self) -> None:
        """For an id that never had a token the note is ``unknown_recipient``."""
        answers = self.a.say("message", to="nobody", payload={})
        self.assert_answer(answers, "message_sent", note="unknown_recipient")
        self.assertRegex(answers[0]["id"], r"\A[0-9a-f]{16}\Z")
        self.assertEqual(self.received(), [0, 0, 0])

    def test_a_seq_grows(self) -> None:
        """Every message has a higher ``seq`` than the one before, restarts included."""
        for n in range(3):
            self.a.say("message", to="b", payload={"n": n})
            self.a.say("message", payload={"n": n})
        seqs = [frame["seq"] for frame in self.b.of("message")]
        self.restart()
        a, b = self.hub.agent("a"), self.hub.agent("b")
        a.say("message", to="b", payload={})
        seqs.append(b.of("message")[-1]["seq"])
        self.assertEqual(seqs, sorted(set(seqs)))

    def test_known_recipient(self) -> None:
        """An id that ever had a token is not unknown: away, never here, or revoked."""
        self.hub.token("never-here")
        self.b.vanish()
        self.hub.request("DELETE", "/admin/tokens/c")
        for to in ("b", "never-here", "c"):
            answers = self.a.say("message", to=to, payload={})
            self.assert_answer(answers, "message_sent")
            self.assertNotEqual(answers[0].get("note"), "unknown_recipient")

    def test_order(self) -> None:
        """Messages of one sender arrive in the order in which they were sent."""
        for n in range(50):
            self.a.say("message", payload={"n": n}, **({"to": "b"} if n % 2 else {}))
        self.assertEqual([f["payload"]["n"] for f in self.b.of("message")], list(range(50)))

    def test_order_behind_a_long_broadcast(self) -> None:
        """A direct message does not overtake an earlier broadcast of the same sender."""
        for n in range(100):
            self.hub.agent(f"z{n}", presence="none")
        last = self.hub.agent("zz")
        self.a.sendFrame(opcode=1, payload=b'{"type":"message","payload":{"n":1}}')
        self.a.sendFrame(opcode=1, payload=b'{"type":"message","to":"zz","payload":{"n":2}}')
        self.hub.settle()
        self.assertEqual([f["payload"]["n"] for f in last.of("message")], [1, 2])

    def test_over_http(self) -> None:
        """A message over HTTP reaches agents as from the token's agent."""
        body = {"to": "b", "payload": {"x": 1}, "type": "note", "from": "c"}
        answer = self.hub.request("POST", "/api/message", body, token=self.hub.token("a"))
        self.assertEqual((answer.status, answer.body["status"]), (200, "sent"))
        self.assert_fields(
            self.b.of("message")[0],
            **{"from": "a", "message_type": "note", "id": answer.body["id"]},
        )

    def test_refused_while_stopping(self) -> None:
        """A hub that stops takes no message, and says so; nothing is stored of it."""
        self.hub.hub.drain()
        self.assert_error(self.a.say("message", to="b", payload={}), "stopping")
        answer = self.hub.request(
            "POST", "/api/message", {"payload": {}}, token=self.hub.token("a")
        )
        self.assertEqual((answer.status, answer.body["error"]), (503, "stopping"))
        self.assertEqual(self.received(), [0, 0, 0])


class SlowDiskTests(SynchronousTestCase):
    """What happens to a message while it is not on disk yet."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.a, self.b = self.hub.agent("a"), self.hub.agent("b")
        self.hub.settle()
        self.disk.hold()

    def waiting(self, agent_id: str) -> list[int]:
        answer = self.hub.request("GET", f"/api/mailbox/{agent_id}")
        return [message["payload"]["n"] for message in answer.body["messages"]]

    def test_disk_before_words(self) -> None:
        """Neither the answer nor the message leaves before the message is on disk."""
        self.assertEqual(self.a.say("message", to="b", payload={"n": 1}), [])
        self.assertEqual(self.a.say("message", payload={"n": 2}), [])
        self.assertEqual(self.b.of("message"), [])
        self.disk.release()
        self.hub.settle()
        self.assertEqual([f["payload"]["n"] for f in self.b.of("message")], [1, 2])
        self.assertEqual(len(self.a.of("message_sent")), 2)

    def test_the_line_is_gone_meanwhile(self) -> None:
        """What was meant for a line that is gone by then waits, in order, and once."""
        for n in range(3):
            self.a.say("message", to="b", payload={"n": n})
        self.b.vanish()
        for n in range(3, 5):
            self.a.say("message", to="b", payload={"n": n})
        self.disk.release()
        self.hub.settle()
        self.assertEqual(self.waiting("b"), [0, 1, 2, 3, 4])
        self.assertEqual(len(self.a.of("message_sent")), 5)

    def test_answered_when_it_waits(self) -> None:
        """The sender hears of such a message when it is on disk that it waits."""
        self.a.say("message", to="b", payload={"n": 0})
        self.b.vanish()
        self.disk.release_one()
        self.hub.settle()
        self.assertEqual(self.a.of("message_sent"), [])
        self.disk.release()
        self.hub.settle()
        self.assertEqual(len(self.a.of("message_sent")), 1)

    def test_back_on_another_line(self) -> None:
        """An agent whose connection is replaced meanwhile gets it on the new one."""
        self.a.say("message", to="b", payload={"n": 0})
        newer = self.hub.agent("b")
        self.disk.release()
        self.hub.settle()
        self.assertEqual([f["payload"]["n"] for f in newer.of("message")], [0])
        self.assertEqual(self.waiting("b"), [])

    def test_a_broadcast_and_a_line_that_is_gone(self) -> None:
        """A broadcast waits for an agent that went before it was on disk."""
        self.a.say("message", payload={"n": 0})
        self.b.vanish()
        self.disk.release()
        self.hub.settle()
        self.assertEqual(self.waiting("b"), [0])
        self.assertEqual(self.waiting("a"), [])


class FanoutTests(HubTests):
    """A broadcast to more agents than one turn of the reactor serves."""

    def test_a_line_that_breaks_before_its_turn(self) -> None:
        """An agent whose line breaks while a broadcast is under way finds it in its mailbox."""
        agents = [self.hub.agent(f"w{n}", presence="none") for n in range(130)]
        self.hub.settle()
        last = self.hub.hub.roster["w129"]
        # The first that is sent to: by then the last is not.
        self.hub.hub.roster["w0"].send = lambda frame: last.close(4000, "cut")
        self.hub.request("POST", "/api/message", {"payload": {}})
        self.assertEqual(agents[129].of("message"), [])
        answer = self.hub.request("GET", "/api/mailbox/w129")
        self.assertEqual(answer.body["count"], 1)


class RateTests(HubTests):
    """More messages than an agent may send."""

    settings: ClassVar[dict[str, Any]] = {"message_rate": 10.0}

    def test_too_many(self) -> None:
        """Past its burst an agent is refused, told when to go on, and then it can."""
        a, b = self.hub.agent("a"), self.hub.agent("b")
        for _ in range(40):
            self.assert_answer(a.say("message", to="b", payload={}), "message_sent")
        error = self.assert_error(
            a.say("message", to="b", payload={}, ref=5), "rate_limited", ref=5
        )
        self.assertLessEqual(error["retry_after_ms"], 101)
        self.assertEqual(len(b.of("message")), 40)
        self.hub.advance(error["retry_after_ms"] / 1000, step=0.01)
        self.assert_answer(a.say("message", to="b", payload={}), "message_sent")

    def test_for_each_its_own(self) -> None:
        """One agent's haste does not slow another, nor its own reports."""
        a, b = self.hub.agent("a"), self.hub.agent("b")
        for _ in range(50):
            a.say("message", to="b", payload={})
        self.assert_answer(b.say("message", to="b2", payload={}), "message_sent")
        self.accepted(a)

    def test_over_http(self) -> None:
        """HTTP draws on the same bucket, and gets 429 with ``Retry-After``."""
        a = self.hub.agent("a")
        for _ in range(40):
            a.say("message", to="x", payload={})
        answer = self.hub.request(
            "POST", "/api/message", {"payload": {}}, token=self.hub.token("a")
        )
        self.assertEqual((answer.status, answer.body["error"]), (429, "rate_limited"))
        self.assertEqual(answer.headers["retry-after"], "1")

    def test_not_held_against_the_peer(self) -> None:
        """Being refused for haste does not close the connection."""
        a = self.hub.agent("a")
        for _ in range(80):
            a.say("message", to="x", payload={})
        self.assertIsNone(a.closed)

"""``message`` between agents: PROTOCOL.md section 3.1."""

from tests.contract.helpers import HubTests


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

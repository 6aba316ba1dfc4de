"""What could not be delivered waits: PROTOCOL.md sections 3.1 and 4, the mailbox over HTTP."""

from typing import Any, ClassVar

from agentcom.testing import Answered, FakeAgent
from tests.contract.helpers import Frame, HubTests


class MailboxCase(HubTests):
    """Agent ``a`` sends; agent ``b`` is known and away."""

    def setUp(self) -> None:
        super().setUp()
        self.a = self.hub.agent("a", presence="none")
        self.hub.token("b")
        self.sent = 0

    def send(self, to: str | None = "b", times: int = 1) -> None:
        for _ in range(times):
            self.sent += 1
            self.a.say("message", to=to, payload={"n": self.sent})

    def read(self, query: str = "", agent_id: str = "b") -> Any:
        answer = self.hub.request(
            "GET", f"/api/mailbox/{agent_id}{query}", token=self.hub.token(agent_id)
        )
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body

    def waiting(self, agent_id: str = "b") -> list[int]:
        return numbers(self.read("?limit=1000", agent_id)["messages"])

    def ack(self, seq: int, agent_id: str = "b") -> Any:
        answer = self.hub.request(
            "POST",
            f"/api/mailbox/{agent_id}/ack",
            {"seq": seq},
            token=self.hub.token(agent_id),
        )
        self.assertEqual((answer.status, answer.body["status"]), (200, "acked"))
        return answer.body["up_to"]


def numbers(messages: list[Frame]) -> list[int]:
    """What the messages of :meth:`MailboxCase.send` are numbered."""
    return [message["payload"]["n"] for message in messages]


class ReadTests(MailboxCase):
    """Reading and acknowledging."""

    def test_a_direct_message_waits(self) -> None:
        """A message to an agent that is away waits for it, with all its fields."""
        answers = self.a.say("message", to="b", payload={"n": 1}, message_type="ask", reply_to="x")
        self.assertNotIn("note", answers[0])
        body = self.read()
        self.assert_fields(body, agent_id="b", count=1, last_seq=1, dropped=0)
        self.assertEqual(
            body["messages"][0],
            {
                "seq": 1,
                "id": answers[0]["id"],
                "kind": "direct",
                "from": "a",
                "to": "b",
                "channel": None,
                "message_type": "ask",
                "payload": {"n": 1},
                "reply_to": "x",
                "root": "x",
                "timestamp": 1_700_000_000_000,
            },
        )

    def test_reading_takes_nothing(self) -> None:
        """What is read waits until it is acknowledged."""
        self.send(times=3)
        self.assertEqual((self.waiting(), self.waiting()), ([1, 2, 3], [1, 2, 3]))

    def test_since_and_limit(self) -> None:
        """``since`` goes on after a ``seq``, ``limit`` cuts; ``last_seq`` is what to go on with."""
        self.send(times=5)
        first = self.read("?limit=2")
        second = self.read(f"?limit=2&since={first['last_seq']}")
        self.assertEqual(numbers(first["messages"] + second["messages"]), [1, 2, 3, 4])
        last = self.read("?since=5")
        self.assert_fields(last, messages=[], count=0, last_seq=5)

    def test_acknowledge(self) -> None:
        """What is acknowledged, up to and including its ``seq``, is gone, for restarts too."""
        self.send(times=5)
        self.assertEqual(self.ack(3), 3)
        self.assertEqual(self.waiting(), [4, 5])
        self.restart()
        self.assertEqual(self.waiting(), [4, 5])

    def test_acknowledged_again(self) -> None:
        """An old or repeated acknowledgement changes nothing, and says how far it is."""
        self.send(times=3)
        self.ack(2)
        self.assertEqual((self.ack(1), self.ack(2)), (2, 2))
        self.assertEqual(self.waiting(), [3])

    def test_acknowledged_before_it_was_sent(self) -> None:
        """An acknowledgement of what does not exist yet does not swallow it."""
        self.send()
        self.assertEqual(self.ack(2**50), 1)
        self.send()
        self.assertEqual(self.waiting(), [2])

    def test_what_was_delivered_does_not_wait(self) -> None:
        """A message that went to an open connection is not in the mailbox."""
        b = self.hub.agent("b", presence="none")
        self.send()
        self.send(None)
        self.assertEqual((numbers(b.of("message")), self.waiting()), ([1, 2], []))

    def test_whose(self) -> None:
        """A mailbox is its agent's, and an administrator's; nobody else's."""
        self.send()
        for method, path, body in (
            ("GET", "/api/mailbox/b", None),
            ("POST", "/api/mailbox/b/ack", {"seq": 0}),
        ):
            for token, status in (
                (self.hub.token("a"), 403),
                (None, 401),
                (self.hub.token("b"), 200),
                ("", 200),
            ):
                answer = self.hub.request(method, path, body, token=token)
                self.assertEqual(answer.status, status, (method, answer.body))

    def test_of_nobody(self) -> None:
        """There is no mailbox of an id that never had a token."""
        answer = self.hub.request("GET", "/api/mailbox/nobody")
        self.assertEqual((answer.status, answer.body["error"]), (404, "agent_not_found"))

    def test_survives(self) -> None:
        """What waits outlives the hub's process."""
        self.send(times=2)
        self.send(None)
        self.restart()
        self.assertEqual(self.waiting(), [1, 2, 3])


class BroadcastTests(MailboxCase):
    """Broadcasts and agents that are away."""

    def test_waits_for_all_that_are_away(self) -> None:
        """A broadcast waits for each known agent that is away, one that never came included."""
        c = self.hub.agent("c", presence="none")
        c.vanish()
        self.send(None)
        self.assertEqual((self.waiting("b"), self.waiting("c")), ([1], [1]))
        self.assertEqual(self.waiting("a"), [])

    def test_not_what_was_before(self) -> None:
        """An agent that is made later does not find earlier broadcasts."""
        self.send(None)
        self.hub.advance(1)
        self.hub.token("late")
        self.send(None)
        self.assertEqual(self.waiting("late"), [2])
        self.restart()
        self.assertEqual(self.waiting("late"), [2])

    def test_in_order_with_direct_ones(self) -> None:
        """Direct messages and broadcasts wait in the order in which they were sent."""
        for to in ("b", None, "b", None, None, "b"):
            self.send(to)
        self.assertEqual(self.waiting(), [1, 2, 3, 4, 5, 6])
        self.ack(4)
        self.assertEqual(self.waiting(), [5, 6])

    def test_absences(self) -> None:
        """What was missed in each absence waits, what was delivered between does not."""
        for _ in range(12):
            b = self.hub.agent("b", presence="none")
            self.send(None)
            b.vanish()
            self.send(None)
        self.assertEqual(self.waiting(), list(range(2, 25, 2)))

    def test_absences_and_a_restart(self) -> None:
        """A few absences are told exactly after a restart, too."""
        for _ in range(3):
            b = self.hub.agent("b", presence="none")
            self.send(None)
            b.vanish()
            self.send(None)
        self.restart()
        self.assertEqual(self.waiting(), [2, 4, 6])

    def test_many_absences_and_a_restart(self) -> None:
        """Of very many absences nothing that was missed is lost in a restart."""
        for _ in range(12):
            b = self.hub.agent("b", presence="none")
            self.send(None)
            b.vanish()
            self.send(None)
        self.restart()
        self.assertLessEqual(set(range(2, 25, 2)), set(self.waiting()))

    def test_no_write_for_coming_and_going(self) -> None:
        """Agents that come and go write nothing while nobody broadcasts."""
        self.send(None)
        self.hub.agent("b", presence="none").vanish()
        rows = self.stored()
        for _ in range(3):
            self.hub.agent("b", presence="none").vanish()
        self.assertEqual(self.stored(), rows)

    def stored(self) -> list[Any]:
        """The mailboxes' rows, each with the number of its write."""
        db = self.hub.store._connection
        return db.execute("SELECT rowid, * FROM mailboxes ORDER BY agent_id").fetchall()

    def test_the_crash_of_a_hub(self) -> None:
        """After a crash a connected agent may be given a broadcast again, but not old ones."""
        self.hub.agent("b", presence="none")
        self.send(None, times=3)
        self.hub.advance(10)
        self.send(None)
        self.restart()
        self.assertEqual(self.waiting(), [4])

    def test_its_own(self) -> None:
        """A broadcast over HTTP waits for its sender, who is away as well."""
        body = {"payload": {"n": 7}}
        self.hub.request("POST", "/api/message", body, token=self.hub.token("b"))
        self.assertEqual(self.waiting(), [7])


class SmallMailboxTests(MailboxCase):
    """Mailboxes that are full."""

    settings: ClassVar[dict[str, Any]] = {"mailbox_size": 5, "message_rate": None}

    def test_the_oldest_goes(self) -> None:
        """A full mailbox drops its oldest message, and counts it."""
        self.send(times=8)
        body = self.read()
        self.assertEqual((numbers(body["messages"]), body["dropped"]), ([4, 5, 6, 7, 8], 3))
        self.restart()
        body = self.read()
        self.assertEqual((numbers(body["messages"]), body["dropped"]), ([4, 5, 6, 7, 8], 3))

    def test_broadcasts_count(self) -> None:
        """Broadcasts fill a mailbox as direct messages do, and are dropped with them."""
        self.send("b", times=3)
        self.send(None, times=3)
        body = self.read()
        self.assertEqual((numbers(body["messages"]), body["dropped"]), ([2, 3, 4, 5, 6], 1))

    def test_very_many_broadcasts(self) -> None:
        """Of more broadcasts than are remembered the newest wait, and all others count."""
        self.send("b")
        self.send(None, times=150)
        self.send("b")
        body = self.read()
        self.assertEqual(numbers(body["messages"]), [148, 149, 150, 151, 152])
        self.assertEqual(body["dropped"], 147)
        self.restart()
        self.assertEqual(self.read()["dropped"], 147)

    def test_counted_for_all(self) -> None:
        """What is dropped is counted for ``/metrics``, too."""
        self.send(times=8)
        text = self.hub.request("GET", "/metrics").text.decode()
        self.assertIn("agentcom_mail_dropped_total 3.0", text)


class OldMailTests(MailboxCase):
    """What waits for too long."""

    settings: ClassVar[dict[str, Any]] = {"mailbox_s": 3_600.0, "retain_messages_s": 7_200.0}

    def send(self, to: str | None = "b", times: int = 1) -> None:
        # Over HTTP: in such large steps of time every line falls silent.
        for _ in range(times):
            self.sent += 1
            body = {"to": to, "payload": {"n": self.sent}}
            self.hub.request("POST", "/api/message", body, token=self.hub.token("a"))

    def history(self) -> list[int]:
        return numbers(self.hub.request("GET", "/api/messages").body["messages"])

    def test_too_old(self) -> None:
        """What waited for too long is dropped and counted; its history stays its own time."""
        self.send("b")
        self.send(None)
        self.hub.advance(3_000, step=100)
        self.send("b")
        self.send(None)
        self.hub.advance(1_300, step=100)
        body = self.read()
        self.assertEqual((numbers(body["messages"]), body["dropped"]), ([3, 4], 2))
        self.assertEqual(self.history(), [4, 3, 2, 1])
        self.hub.advance(3_500, step=100)
        self.assertEqual(self.history(), [4, 3])
        self.assertEqual(self.waiting(), [])
        self.hub.advance(3_600, step=100)
        self.assertEqual(self.history(), [])

    def test_seq_after_all_is_forgotten(self) -> None:
        """``seq`` never repeats, though every message was forgotten and the hub restarted."""
        self.send("b")
        self.hub.advance(9_000, step=100)
        self.restart()
        self.send("b")
        self.assertEqual(self.read()["last_seq"], 2)


class LongMailTests(OldMailTests):
    """Mail that may wait for longer than history is kept."""

    settings: ClassVar[dict[str, Any]] = {"mailbox_s": 7_200.0, "retain_messages_s": 3_600.0}

    def test_too_old(self) -> None:
        """What waits is kept, though its history is over."""
        self.send("b")
        self.send(None)
        self.send("nobody")
        self.hub.advance(4_500, step=100)
        self.assertEqual(self.waiting(), [1, 2])
        self.assertEqual(self.history(), [2, 1])
        self.ack(2)
        self.hub.advance(3_600, step=100)
        self.assertEqual(self.history(), [])


class LongPollTests(MailboxCase):
    """``wait``: an answer when there is something, or when the time is over."""

    def open(self, query: str = "?wait=30") -> Any:
        return self.hub.open_request("GET", f"/api/mailbox/b{query}", token=self.hub.token("b"))

    def numbers_of(self, client: Any) -> list[int]:
        return numbers(Answered(client.received).body["messages"])

    def test_something_is_there(self) -> None:
        """What waits already is answered at once."""
        self.send()
        self.assertEqual(self.numbers_of(self.open()), [1])

    def test_a_message_comes(self) -> None:
        """A message that comes ends the wait, direct or for all."""
        for n, to in enumerate(("b", None), start=1):
            client = self.open(f"?wait=30&since={n - 1}")
            self.assertEqual(client.received, b"")
            self.send(to)
            self.assertEqual(self.numbers_of(client), [n])

    def test_the_time_is_over(self) -> None:
        """After ``wait`` seconds without a message the answer has none."""
        client = self.open("?wait=30")
        self.hub.advance(29)
        self.assertEqual(client.received, b"")
        self.hub.advance(2)
        self.assertEqual(self.numbers_of(client), [])

    def test_the_hub_stops(self) -> None:
        """A hub that stops ends all waits, and begins none."""
        client = self.open()
        self.hub.hub.drain()
        self.hub.settle()
        self.assertEqual(self.numbers_of(client), [])
        self.assertEqual(self.numbers_of(self.open()), [])

    def test_the_client_leaves(self) -> None:
        """Of a client that left nothing stays behind."""
        client = self.open()
        client.transport.loseConnection()
        self.hub.settle()
        self.assertEqual(self.hub.parts.api.in_progress, 0)

    def test_several(self) -> None:
        """Very many who wait all get their answer."""
        clients = [self.open() for _ in range(10)]
        self.send()
        self.assertEqual([self.numbers_of(c) for c in clients], [[1]] * 10)

    def test_too_long(self) -> None:
        """A wait of more than a minute is refused."""
        answer = self.hub.request("GET", "/api/mailbox/b?wait=61")
        self.assertEqual((answer.status, answer.body["error"]), (422, "validation_failed"))


def frames_of(agent: FakeAgent) -> list[int]:
    """The numbers of the messages that an agent was sent."""
    return numbers(agent.of("message"))

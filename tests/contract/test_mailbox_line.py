"""``identify`` with ``mailbox``: messages over the line, acknowledged by ``message_ack``."""

from typing import Any, ClassVar

from agentcom.testing import FakeAgent
from tests.contract.test_mailbox import MailboxCase, frames_of


class LineTests(MailboxCase):
    """An agent that takes its mailbox over its connection."""

    settings: ClassVar[dict[str, Any]] = {"message_rate": None}

    def come(self, **fields: Any) -> FakeAgent:
        return self.hub.agent("b", presence="none", mailbox=True, **fields)

    def test_what_waits_comes_first(self) -> None:
        """After ``identified`` what waits is sent, oldest first, then what comes."""
        self.send("b")
        self.send(None)
        self.send("b")
        b = self.come()
        self.assertEqual([f["type"] for f in b.frames], ["identified"] + ["message"] * 3)
        self.send("b")
        self.send(None)
        self.assertEqual(frames_of(b), [1, 2, 3, 4, 5])

    def test_acknowledge(self) -> None:
        """What is acknowledged is gone; the answer says how far."""
        b = self.come()
        self.send("b", times=2)
        self.send(None)
        seqs = [frame["seq"] for frame in b.of("message")]
        self.assert_answer(b.say("message_ack", seq=seqs[1], ref=1), "message_acked", up_to=seqs[1])
        self.assertEqual(self.waiting(), [3])
        b.vanish()
        self.restart()
        self.assertEqual(frames_of(self.come()), [3])

    def test_again_until_acknowledged(self) -> None:
        """What was sent and not acknowledged is sent again, with the same ``seq``."""
        first = self.come()
        self.send("b", times=2)
        first.vanish()
        second = self.come()
        self.assertEqual(
            [f["seq"] for f in first.of("message")], [f["seq"] for f in second.of("message")]
        )

    def test_a_hundred_in_flight(self) -> None:
        """At most 100 are sent and not acknowledged; the next come as acknowledgements do."""
        self.send("b", times=250)
        b = self.come()
        self.assertEqual(frames_of(b), list(range(1, 101)))
        self.send("b")
        self.assertEqual(len(frames_of(b)), 100)
        b.say("message_ack", seq=b.of("message")[49]["seq"])
        self.assertEqual(frames_of(b), list(range(1, 151)))
        b.say("message_ack", seq=b.of("message")[-1]["seq"])
        b.say("message_ack", seq=b.of("message")[-1]["seq"])
        self.assertEqual(frames_of(b), list(range(1, 252)))

    def test_live_and_slow(self) -> None:
        """An agent that acknowledges slowly loses nothing of what comes meanwhile."""
        b = self.come()
        self.send("b", times=60)
        self.send(None, times=60)
        self.assertEqual(len(frames_of(b)), 100)
        b.say("message_ack", seq=b.of("message")[-1]["seq"])
        self.assertEqual(frames_of(b), list(range(1, 121)))

    def test_two_ways(self) -> None:
        """What was acknowledged over HTTP is not sent any more."""
        self.send("b", times=3)
        self.ack(2)
        self.assertEqual(frames_of(self.come()), [3])

    def test_changed_mind(self) -> None:
        """An agent may take up and give up its mailbox on the same connection."""
        b = self.hub.agent("b", presence="none")
        self.send("b")
        again = {"agent_id": "b", "token": self.hub.token("b")}
        b.say("identify", mailbox=True, **again)
        self.send("b")
        self.send(None)
        b.say("message_ack", seq=3)
        b.say("identify", mailbox=False, **again)
        self.send("b")
        self.send(None)
        self.assertEqual(frames_of(b), [1, 2, 3, 4, 5])
        self.assertEqual(self.waiting(), [])

    def test_a_newer_connection(self) -> None:
        """A newer connection takes the mailbox over."""
        self.come()
        self.send("b")
        newer = self.come()
        self.send("b")
        self.assertEqual(frames_of(newer), [1, 2])

    def test_without_mailbox(self) -> None:
        """``message_ack`` counts on any connection, and of nothing it says so."""
        self.send("b", times=2)
        b = self.hub.agent("b", presence="none")
        self.assert_answer(b.say("message_ack", seq=1), "message_acked", up_to=1)
        self.assertEqual(self.waiting(), [2])

    def test_malformed(self) -> None:
        """``seq`` is a whole number that is not negative."""
        b = self.come()
        for seq in (None, "1", -1, 1.5, True):
            answers = b.say("message_ack", seq=seq)
            self.assert_error(answers, "validation_failed", message_type="message_ack")

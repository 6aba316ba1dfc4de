"""Text frames of every type, wrong in every way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcom.testing import FakeAgent
from agentcom.wire.frames import FROM_AGENT
from tests.hostile.feeds import (
    EXAMPLES,
    SUBMISSION,
    examples,
    frames_of,
    json_text,
    no_frames,
)
from tests.hostile.world import HostileTestCase

EACH = 40
"""Examples of each type; types are many."""

TASK = "task-0123456789abcdef"
TOKEN = "0123456789abcdef" * 4
"""Stand for nothing, or for what the hostile agent really has."""


class FrameTests(HostileTestCase):
    """Every frame is answered, or the line is closed with a code."""

    def attack(self, feed: list[bytes], identified: bool, own: bool = False) -> None:
        """Send the feed on a line of its own and look at the hub afterwards.

        :param own: the token and the task that the feed names are its own.
        """
        peer = self.hub.agent("hostile", presence="none") if identified else self.hub.connect()
        task_id = self.hub.push("hostile", "for the hostile one") if identified else TASK
        token = self.hub.token("hostile")
        for data in feed:
            if own:
                data = data.replace(TASK.encode(), task_id.encode())
                data = data.replace(TOKEN.encode(), token.encode())
            if peer.closed is not None:
                break
            before = len(peer.frames)
            peer.say_text(data)
            for frame in peer.frames[before:]:
                self.assertIsInstance(frame["type"], str)
                if frame["type"] == "task_submitted":
                    self.assert_shown(frame["task_id"])
        self.assert_answered_or_closed(peer)
        self.assert_well()
        if peer.closed is None:
            peer.vanish()
        self.reset("hostile")

    @given(feed=st.lists(no_frames, min_size=1, max_size=6), identified=st.booleans())
    @examples(60)
    def test_what_is_no_frame(self, feed: list[bytes], identified: bool) -> None:
        """What is no frame at all is answered with an error, or closes with a code."""
        self.attack(feed, identified)

    @given(data=st.binary(max_size=200))
    @examples(20)
    def test_binary_frames(self, data: bytes) -> None:
        """A binary frame is answered with invalid_json, and the line stays open."""
        peer = self.hub.agent("hostile")
        answers = peer.say_text(data, binary=True)
        self.assertEqual([f["error"] for f in answers], ["invalid_json"])
        self.assertIsNone(peer.closed)
        self.assert_well()
        peer.vanish()

    def test_ten_bad_messages(self) -> None:
        """Ten bad messages are answered, and then the line is closed with 1008."""
        for identified in (False, True):
            peer = self.hub.agent("hostile") if identified else self.hub.connect()
            for _ in range(9):
                self.assertEqual([f["error"] for f in peer.say_text(b"[")], ["invalid_json"])
            self.assertIsNone(peer.closed)
            peer.say_text(b"[")
            self.assertEqual((peer.closed or (None,))[0], 1008)
            self.assert_well()

    def test_frames_over_the_limit(self) -> None:
        """A frame over the limit closes with 1009, whatever is in it."""
        for size, identified in ((64 * 1024 + 1, False), (2**20 + 1, True), (10 * 2**20, True)):
            peer = self.hub.agent("hostile") if identified else self.hub.connect()
            peer.say_text(b'{"type":"ping","x":"' + b"x" * size + b'"}')
            self.assertEqual((peer.closed or (None,))[0], 1009, size)
            self.assert_well()

    def test_text_that_is_not_utf8(self) -> None:
        """Text that is not UTF-8 closes with 1007."""
        for data in (b"\xff", b'{"type":"ping","x":"\xc3"}', b'{"type":"\xed\xa0\x80"}'):
            peer = self.hub.agent("hostile")
            peer.say_text(data)
            self.assertEqual((peer.closed or (None,))[0], 1007, data)
            self.assert_well()

    def test_values_that_could_not_be_kept(self) -> None:
        """A result that could not be given back as it came is refused, and the task goes on."""
        agent = self.hub.agent("hostile")
        task_id = self.hub.push("hostile").encode()
        for value in (
            b"9007199254740993",
            b"-9007199254740993",
            b'[1,{"a":18446744073709551616}]',
            b"1e999",
            b"NaN",
            b'"\\ud800"',
            b'"\\ud800\\u0041"',
            b'{"\\udc00":1}',
            b"[" * 65 + b"]" * 65,
        ):
            (told,) = agent.say_text(
                b'{"type":"task_complete","task_id":"%s","result":%s}' % (task_id, value)
            )
            self.assertIn(told["error"], ("invalid_json", "validation_failed"), value)
            self.assertEqual(self.hub.task(task_id.decode())["status"], "assigned", value)
        (told,) = agent.say_text(
            b'{"type":"task_complete","task_id":"%s","result":%s}'
            % (task_id, b'["\\ud83d\\ude00",9007199254740992,1e308,"\\u0000"]')
        )
        self.assertEqual(told["status"], "complete")
        kept = self.hub.task(task_id.decode())["result"]
        self.assertEqual(kept, ["\U0001f600", 2**53, 1e308, "\0"])
        self.assert_well()

    def test_how_to_explore_more(self) -> None:
        """Whoever reads the output learns how to try more than these examples."""
        print("AGENTCOM_HOSTILE_EXAMPLES=5000 AGENTCOM_HOSTILE_SEED=1 tries more, and others")
        self.assertGreaterEqual(EXAMPLES, 0)


def _attacking(kind: str) -> None:
    good = {
        **SUBMISSION,
        "agent_id": b'"hostile"',
        "token": json_text(TOKEN),
        "task_id": json_text(TASK),
        "generation": b"1",
        "channel": b'"general"',
        "payload": b'{"x":1}',
        "status": b'"busy"',
        "to": b'"good"',
        "message_type": b'"chat"',
        "progress": b"0.5",
        "ref": b'"r"',
        "slots": b"2",
        "tasks": b'[{"task_id":"%s"}]' % TASK.encode(),
        "presence": b'"diff"',
    }

    @given(
        feed=st.lists(frames_of(kind, FROM_AGENT[kind], good), min_size=1, max_size=4),
        identified=st.booleans(),
        own=st.booleans(),
    )
    @examples(EACH)
    def test(self: FrameTests, feed: list[bytes], identified: bool, own: bool) -> None:
        self.attack(feed, identified, own)

    test.__doc__ = f"Whatever a {kind} carries, it is answered or closed with a code."
    test.__name__ = f"test_{kind}"
    setattr(FrameTests, test.__name__, test)


for _kind in FROM_AGENT:
    _attacking(_kind)


class IdentifyTests(HostileTestCase):
    """Strangers at the door."""

    def test_wrong_tokens(self) -> None:
        """A flood of wrong tokens is answered each time and remembered nowhere."""
        for number in range(500):
            if number % 10 == 0:
                peer: FakeAgent = self.hub.connect()
            self.assertIsNone(peer.closed)
            answers = peer.say("identify", agent_id=f"agent-{number}", token=f"{number:064x}")
            self.assertEqual([f["error"] for f in answers], ["invalid_token"])
        self.assertEqual(peer.closed and peer.closed[0], 1008)
        agents = self.hub.request("GET", "/api/agents").body["agents"]
        self.assertEqual([a["agent_id"] for a in agents], ["good"])
        self.assertEqual(self.hub.request("GET", "/api/agents/agent-1").status, 404)
        self.assert_well()

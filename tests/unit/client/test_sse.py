"""The format of server-sent events, cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.client import sse
from agentcom.client.sse import EventParser, ServerEvent

STREAM = (
    b"\xef\xbb\xbfretry: 3000\n: alive\n\n"
    b"id: e:1\nevent: tasks\ndata: {\r\ndata: }\r\n\r\n"
    b"data:\xc3\xa4\r\r"
    b"id: e:2\n\n"
    b"event: nothing\n\n"
    b"id: bad\0id\ndata: last\nunknown\n\n"
)
EVENTS = [
    ServerEvent("tasks", "{\n}", "e:1"),
    ServerEvent("message", "ä", "e:1"),
    ServerEvent("", "", "e:2"),
    ServerEvent("message", "last", "e:2"),
]


class EventParserTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """All line ends, comments, ids without data and unknown fields are understood."""
        self.assertEqual(EventParser().feed(STREAM), EVENTS)

    @given(st.lists(st.integers(0, len(STREAM)), max_size=8))
    def test_cut_anywhere(self, cuts: list[int]) -> None:
        """Where the network cuts the bytes changes nothing."""
        parser = EventParser()
        found = []
        ends = [*sorted(cuts), len(STREAM)]
        for begin, end in zip([0, *ends], ends, strict=False):
            found += parser.feed(STREAM[begin:end])
        self.assertEqual(found, EVENTS)

    def test_endless_line(self) -> None:
        """A line without end is refused before it fills the memory."""
        self.patch(sse, "MAX_PENDING", 100)
        with self.assertRaises(ValueError):
            EventParser().feed(b"data: " + b"x" * 200)

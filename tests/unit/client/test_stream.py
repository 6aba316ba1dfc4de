"""The live stream: across cuts, restarts, gaps and silence.  Time is the fake hub's clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import ClientError, HubError, HubUnreachable
from agentcom.client.stream import SILENCE_LIMIT_S, EventStream
from tests.unit.client.fakes import FakeHub, event, sse, start


class Notes:
    """A watcher that writes everything down."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def opened(self) -> None:
        self.said.append("opened")

    def lost(self, why: str) -> None:
        self.said.append("lost")

    def event(self, cursor: str | None, event: Any) -> None:
        self.said.append(event["event"] if cursor is None else cursor)

    def gap(self, gap: Any) -> None:
        self.said.append(("gap", gap["first"]))


class EventStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = FakeHub()
        self.notes = Notes()

    def begin(self, after: str | None = None) -> tuple[EventStream, Deferred[Any]]:
        stream = self.hub.client().events(self.notes, topics=["tasks", "presence"], after=after)
        running = start(stream.run())
        self.hub.flush()
        return stream, running

    def wait(self, seconds: float = 20.0) -> None:
        self.hub.clock.advance(seconds)
        self.hub.flush()

    def test_events_in_order(self) -> None:
        """Events come one by one with their cursors; topics and start are asked for."""
        stream, running = self.begin(after="ep:4")
        self.hub.stream(sse(event(5, "a")) + sse(event(6, "b")))
        self.assertEqual(self.notes.said, ["opened", "ep:5", "ep:6"])
        asked = self.hub.requests[0][0]
        self.assertEqual(asked, "GET /api/events?topics=tasks%2Cpresence&after=ep%3A4")
        stream.stop()
        self.successResultOf(running)

    def test_closed_client(self) -> None:
        """A client that closes ends its streams, and calls that no loss."""
        client = self.hub.client()
        running = start(client.events(self.notes).run())
        self.hub.flush()
        client.close()
        self.successResultOf(running)
        self.assertEqual(self.notes.said, ["opened"])

    def test_resumes(self) -> None:
        """After a cut the next stream begins where the last one ended."""
        stream, _ = self.begin()
        self.hub.stream(sse(event(5, "a")))
        self.hub.cut()
        self.wait()
        self.assertTrue(self.hub.requests[1][0].endswith("after=ep%3A5"))
        self.hub.stream(sse(event(6, "b")))
        self.assertEqual(self.notes.said, ["opened", "ep:5", "lost", "opened", "ep:6"])
        stream.stop()

    def test_no_repetition(self) -> None:
        """What the hub says again is handed on once; a new epoch is not a repetition."""
        stream, _ = self.begin()
        self.hub.stream(sse(event(5, "a")) + sse(event(5, "a")) + sse(event(4, "z")))
        self.hub.stream(sse(event(1, "n"), epoch="new"))
        self.assertEqual(self.notes.said, ["opened", "ep:5", "new:1"])
        stream.stop()

    def test_passing_events(self) -> None:
        """An event that is not in the log moves no cursor."""
        stream, _ = self.begin(after="ep:1")
        self.hub.stream(sse(event(None, "task_progress")))
        self.assertEqual(self.notes.said, ["opened", "task_progress"])
        self.assertEqual(stream.cursor, "ep:1")
        stream.stop()

    def test_position_without_event(self) -> None:
        """An id alone tells where the stream stands, so that a cut loses nothing."""
        stream, _ = self.begin()
        self.hub.stream(b"id: ep:7\n\n")
        self.assertEqual((stream.cursor, self.notes.said), ("ep:7", ["opened"]))
        stream.stop()

    def test_gap(self) -> None:
        """Missing events are told, and the stream goes on."""
        stream, _ = self.begin(after="old:1")
        self.hub.stream(b'event: gap\nid: ep:2\ndata: {"first": "ep:3"}\n\n' + sse(event(3, "a")))
        self.assertEqual(self.notes.said, ["opened", ("gap", "ep:3"), "ep:3"])
        stream.stop()

    def closed(self, reason: str) -> None:
        """The hub ends the newest stream."""
        told = b'{"reason":"%s","cursor":"ep:7"}' % reason.encode()
        self.hub.stream(b"id: ep:7\nevent: closed\ndata: %s\n\n" % told)

    def test_cut_as_slow(self) -> None:
        """A stream that was cut because it was slow is resumed at once."""
        stream, running = self.begin()
        self.closed("slow")
        self.assertEqual(self.notes.said, ["opened", "lost", "opened"])
        self.assertTrue(self.hub.requests[1][0].endswith("after=ep%3A7"))
        stream.stop()
        self.successResultOf(running)

    def test_hub_says_that_it_stops(self) -> None:
        """A hub that stops, or ends it for a reason that is not known, is tried again later."""
        stream, _ = self.begin()
        for reason in ("hub_stopping", "a_new_reason"):
            seen = len(self.hub.requests)
            self.closed(reason)
            self.assertEqual((self.notes.said[-1], len(self.hub.requests)), ("lost", seen))
            self.wait()
            self.assertTrue(self.hub.requests[seen][0].endswith("after=ep%3A7"))
        stream.stop()

    def test_ended_for_good(self) -> None:
        """A stream whose token has ended is over, and says why."""
        for reason, told in (
            ("token_revoked", "the token was revoked"),
            ("token_expired", "the token has expired"),
            ("session_ended", "the session has ended"),
        ):
            _, running = self.begin()
            self.closed(reason)
            self.assertIn(told, str(self.failureResultOf(running, ClientError).value))

    def test_hub_is_away(self) -> None:
        """A hub that is not there is tried until it is, and the loss is told once."""
        self.hub.down = ConnectionRefusedError()
        stream, running = self.begin()
        for _ in range(5):
            self.wait()
        self.assertEqual(self.notes.said, ["lost"])
        self.hub.down = None
        self.wait()
        self.assertEqual(self.notes.said, ["lost", "opened"])
        self.assertNoResult(running)
        stream.stop()

    def test_hub_is_stopping(self) -> None:
        """A refusal that will pass is waited out, another one ends the stream."""
        self.hub.stream_refusal = 503, {"error": "stopping"}
        _, running = self.begin()
        self.assertNoResult(running)
        self.hub.stream_refusal = 401, {"error": "unauthorized"}
        self.wait()
        self.assertEqual(self.failureResultOf(running, HubError).value.code, "unauthorized")

    def test_silence(self) -> None:
        """A line on which not even comments come is dropped and made anew."""
        stream, _ = self.begin()
        self.wait(SILENCE_LIMIT_S - 1)
        self.hub.stream(b": alive\n\n")
        self.wait(SILENCE_LIMIT_S - 1)
        self.assertEqual(self.notes.said, ["opened"])
        self.wait(1)
        self.assertEqual(self.notes.said, ["opened", "lost"])
        stream.stop()

    def test_unreadable_event(self) -> None:
        """Events of something else than a hub end the stream with a sentence."""
        for data in (b"data: {}\n\n", b"data: nonsense\n\n"):
            _, running = self.begin()
            self.hub.stream(data)
            self.failureResultOf(running, HubUnreachable)

    def test_watcher_fails(self) -> None:
        """What the watcher raises reaches who runs the stream, not a log."""
        stream, running = self.begin()
        self.patch(self.notes, "event", lambda *args: 1 / 0)
        self.hub.stream(sse(event(5, "a")) + sse(event(6, "b")))
        self.failureResultOf(running, ZeroDivisionError)
        self.assertIsNotNone(stream)

    def test_endless_line(self) -> None:
        """A stream that is none is closed, not collected."""
        self.patch(__import__("agentcom.client.sse", fromlist=["x"]), "MAX_PENDING", 50)
        stream, _ = self.begin()
        self.hub.stream(b"x" * 100)
        self.assertEqual(self.notes.said, ["opened", "lost"])
        stream.stop()

    def test_stop_while_waiting(self) -> None:
        """Stopping ends a pause between two tries at once."""
        self.hub.down = ConnectionRefusedError()
        stream, running = self.begin()
        stream.stop()
        self.successResultOf(running)
        self.assertEqual(self.hub.clock.getDelayedCalls(), [])

    def test_stop_in_an_event(self) -> None:
        """After a stop nothing more is handed on, even of bytes that are there."""
        stream, running = self.begin()
        self.patch(self.notes, "event", lambda *args: (self.notes.said.append("e"), stream.stop()))
        self.hub.stream(sse(event(5, "a")) + sse(event(6, "b")))
        self.assertEqual(self.notes.said, ["opened", "e"])
        self.successResultOf(running)
        self.assertEqual(self.hub.clock.getDelayedCalls(), [])

    def test_stop_while_opening(self) -> None:
        """A stream that is stopped before it opens never says that it did."""
        opening: Deferred[Any] = Deferred()
        self.patch(self.hub, "request", lambda *args: opening)
        stream, running = self.begin()
        stream.stop()
        opening.errback(ConnectionRefusedError())
        self.successResultOf(running)
        self.assertEqual(self.notes.said, [])

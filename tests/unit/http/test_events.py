"""``GET /api/events``: server-sent events over the real site, on a clock."""

from __future__ import annotations

import json
from typing import Any

from agentcom.core.tokens import SUBMIT
from agentcom.http.events import ALIVE_S, HANG_UP_S, SLOW_S
from agentcom.hub import watching
from agentcom.testing import HttpClient, MemoryHub
from tests.unit.http.support import HttpCase, answer_of, chunked


class Feed:
    """A client of the event stream."""

    def __init__(self, case: HttpCase, query: str = "", **more: Any) -> None:
        self.client: HttpClient = case.begin("GET", "/api/events" + query, **more)
        self._pump = case.hub._pumps[-1]

    @property
    def channel(self) -> Any:
        """The HTTP channel that serves it."""
        return self._pump.serverIO.protocol

    def stall(self) -> None:
        """The client's socket is full: the transport tells the channel."""
        self._pump.serverIO.protocol.pauseProducing()

    def go_on(self) -> None:
        """It has read on."""
        self._pump.serverIO.protocol.resumeProducing()

    @property
    def text(self) -> str:
        head, _, body = self.client.received.partition(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0], head
        assert b"content-type: text/event-stream" in head.lower(), head
        return chunked(body)

    @property
    def blocks(self) -> list[dict[str, str]]:
        """Every event as its fields; comments and the first block's bare id left out."""
        return [block for block in self._all_blocks if "event" in block]

    @property
    def _all_blocks(self) -> list[dict[str, str]]:
        found = []
        for block in self.text.split("\n\n")[:-1]:
            lines = [line for line in block.split("\n") if not line.startswith(":")]
            if lines:
                found.append(dict(line.split(": ", 1) for line in lines))
        return found

    @property
    def opened_at(self) -> str:
        """The cursor with which the stream began."""
        return self._all_blocks[0]["id"]

    @property
    def ids(self) -> list[str]:
        return [block["id"] for block in self.blocks if "id" in block and block["event"] != "gap"]

    @property
    def names(self) -> list[str]:
        return [block["event"] for block in self.blocks]

    @property
    def closed(self) -> Any:
        """What the last event says of the end."""
        assert self.names[-1] == "closed", self.names[-3:]
        return json.loads(self.blocks[-1]["data"])

    @property
    def comments(self) -> int:
        return sum(line.startswith(":") for line in self.text.split("\n"))


class StreamCase(HttpCase):
    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w")
        self.epoch = self.hub.hub.events.epoch
        self.watchers = self.hub.parts.factory.watchers

    def last(self) -> int:
        return self.hub.hub.events.last_seq

    def streams(self) -> int:
        return self.watchers.open_streams().get("sse", 0)


class CursorTests(StreamCase):
    """Where a stream begins."""

    def test_from_now(self) -> None:
        """With nothing given the stream begins now, at once and without a gap, and says where."""
        feed = Feed(self)
        self.assertEqual(feed.blocks, [])
        self.hub.push("w")
        self.assertEqual(feed.names, ["task_submitted", "task_assigned"])

    def test_ids_are_cursors(self) -> None:
        """Each event's id is ``epoch:seq`` of its own ``seq``, contiguous."""
        feed = Feed(self, "?after=0")
        for _ in range(5):
            self.hub.push("w")
        expected = [f"{self.epoch}:{n}" for n in range(1, self.last() + 1)]
        self.assertEqual(feed.ids, expected)
        for block in feed.blocks:
            event = json.loads(block["data"])
            self.assertEqual(block["id"], f"{self.epoch}:{event['seq']}")
            self.assertEqual(block["event"], event["event"])

    def test_zero_is_the_oldest_kept(self) -> None:
        """``0`` begins with the oldest event that is kept, without a gap."""
        self.hub.push("w")
        self.assertEqual(Feed(self, "?after=0").ids[0], f"{self.epoch}:1")
        self.hub.store._connection.execute("DELETE FROM events WHERE seq <= 2")
        feed = Feed(MemoryCase(self), "?after=0")
        self.assertEqual(feed.ids[0], f"{self.epoch}:3")
        self.assertNotIn("gap", feed.names)

    def test_resumes_anywhere(self) -> None:
        """From each cursor come exactly the events after it, by header or by query."""
        self.hub.push("w")
        for seq in range(1, self.last() + 1):
            expected = [f"{self.epoch}:{n}" for n in range(seq + 1, self.last() + 1)]
            cursor = f"{self.epoch}:{seq}"
            self.assertEqual(Feed(self, f"?after={cursor}").ids, expected)
            self.assertEqual(Feed(self, headers={"Last-Event-ID": cursor}).ids, expected)
            self.assertEqual(Feed(self, f"?after={seq}").ids, expected)

    def test_header_comes_first(self) -> None:
        """A reconnecting browser sends both: its ``Last-Event-ID`` is newer than the URL."""
        self.hub.push("w")
        cursor = f"{self.epoch}:{self.last() - 1}"
        feed = Feed(self, "?after=0", headers={"Last-Event-ID": cursor})
        self.assertEqual(feed.ids, [f"{self.epoch}:{self.last()}"])

    def test_empty_cursor_is_none(self) -> None:
        """An empty cursor is none: from now."""
        for feed in (Feed(self, "?after="), Feed(self, headers={"Last-Event-ID": ""})):
            self.assertEqual(feed.blocks, [])

    def gap(self, feed: Feed, first: int = 1) -> None:
        """The stream tells a gap and goes on with the oldest event kept."""
        self.assertEqual(feed.names[0], "gap")
        told = json.loads(feed.blocks[0]["data"])
        self.assertEqual(told["first"], f"{self.epoch}:{first}")
        self.assertEqual(feed.opened_at, f"{self.epoch}:{first - 1}")
        self.assertEqual(feed.ids[0], f"{self.epoch}:{first}")

    def test_too_new(self) -> None:
        """A cursor ahead of the log is a gap."""
        self.gap(Feed(self, f"?after={self.epoch}:{self.last() + 1}"))

    def test_other_epoch(self) -> None:
        """A cursor of another epoch is a gap, whatever its number."""
        for seq in (0, 1, 10**6):
            self.gap(Feed(self, headers={"Last-Event-ID": f"ffffffff:{seq}"}))

    def test_too_old(self) -> None:
        """A cursor before the oldest kept event is a gap that names the oldest."""
        for _ in range(5):
            self.hub.push("w")
        self.hub.store._connection.execute("DELETE FROM events WHERE seq <= 6")
        case = MemoryCase(self)
        self.gap(Feed(case, f"?after={self.epoch}:3"), first=7)
        self.assertEqual(Feed(case, f"?after={self.epoch}:6").ids[0], f"{self.epoch}:7")

    def test_nonsense(self) -> None:
        """A cursor that is none is a gap too."""
        for cursor in ("x", "-1", "1.5", "9" * 40, "a:b:c"):
            self.gap(Feed(self, f"?after={cursor}"))

    def test_cursor_that_is_not_utf8(self) -> None:
        """A header of any bytes is a gap at worst, and nothing is logged."""
        self.gap(Feed(self, headers={"Last-Event-ID": "\xff\xfe"}))
        self.assertEqual(self.flushLoggedErrors(), [])
        answer = self.get("/api/events?after=%ff")
        self.assertEqual(self.wrong_fields(answer), [("after", "invalid_value")])

    def test_after_a_restart(self) -> None:
        """A stream goes on after a restart of the hub where it was, missing nothing."""
        self.hub.push("w")
        cursor = Feed(self, "?after=0").ids[2]
        feed = Feed(MemoryCase(self), headers={"Last-Event-ID": cursor})
        seqs = [int(i.partition(":")[2]) for i in feed.ids]
        self.assertEqual(seqs, list(range(4, seqs[-1] + 1)))
        self.assertEqual(feed.names[-1], "hub_started")


class MemoryCase(HttpCase):
    """A restarted hub on the store of another test's."""

    def __init__(self, before: HttpCase) -> None:
        super().__init__("run")
        self.hub = MemoryHub(before.hub.store, before.hub.clock, seed=9)

    def run(self, result: Any = None) -> Any:
        """Not a test itself."""


class GoingOnTests(StreamCase):
    """What a stream does while it lasts."""

    def test_comments(self) -> None:
        """A comment line comes at least every 3 s, from the beginning on."""
        self.assertLessEqual(ALIVE_S, 3)
        feed = Feed(self)
        seen = feed.comments
        self.assertGreaterEqual(seen, 1)
        for _ in range(10):
            self.hub.advance(3)
            self.assertGreater(feed.comments, seen)
            seen = feed.comments

    def test_lasts(self) -> None:
        """A stream on which nothing happens stays open for hours."""
        feed = Feed(self)
        self.hub.clock.pump([1.0] * 300)
        self.hub.settle()
        self.assertFalse(feed.client.lost)
        self.hub.agent("v")
        self.assertIn("agent_joined", feed.names)

    def test_topics(self) -> None:
        """Only the topics that were asked for come; the default is all."""
        feeds = {
            query: Feed(self, query)
            for query in ("", "?topics=tasks", "?topics=presence", "?topics=presence,tasks")
        }
        self.hub.push("w")
        self.hub.agent("v")
        self.hub.push("v")
        tasks = ["task_submitted", "task_assigned"]
        both = [*tasks, "agent_joined", *tasks]
        self.assertEqual(feeds[""].names, both)
        self.assertEqual(feeds["?topics=presence,tasks"].names, both)
        self.assertEqual(feeds["?topics=tasks"].names, tasks * 2)
        self.assertEqual(feeds["?topics=presence"].names, ["agent_joined"])
        for feed in feeds.values():
            self.assertFalse(feed.client.lost)

    def test_unknown_topic(self) -> None:
        """A topic that there is not is 422."""
        for topics in ("nope", "tasks,nope", "%ff"):
            answer = self.get(f"/api/events?topics={topics}")
            self.assertEqual(self.wrong_fields(answer), [("topics", "invalid_value")])

    def test_live_events(self) -> None:
        """What is in no log comes with ``seq`` null and no id, and moves no cursor."""
        feed = Feed(self)
        self.worker.say("task_complete", task_id="task-unknown")
        (block,) = feed.blocks
        self.assertNotIn("id", block)
        event = json.loads(block["data"])
        self.assertEqual((event["seq"], event["event"]), (None, "task_complete"))
        self.assertEqual((event["task_id"], event["agent_id"]), ("task-unknown", "w"))
        self.hub.push("w")
        self.assertEqual(feed.ids, [f"{self.epoch}:{n}" for n in (self.last() - 1, self.last())])

    def test_data_is_one_line(self) -> None:
        """Whatever an event carries, it stays one line of data."""
        feed = Feed(self, "?topics=tasks")
        self.hub.push("w", description="a\nb\r\nevent: forged\ndata: {}\n\n\u2028")
        self.assertEqual(feed.names, ["task_submitted", "task_assigned"])

    def test_slow_client(self) -> None:
        """A client that does not read is sent nothing, and later everything in order."""
        feed = Feed(self, "?after=0")
        before = feed.text
        feed.stall()
        for _ in range(400):
            self.hub.push("w")
        self.worker.say("task_complete", task_id="task-unknown")
        self.hub.advance(30)
        self.assertEqual(feed.text, before)
        feed.go_on()
        self.hub.settle()
        self.assertEqual(feed.ids, [f"{self.epoch}:{n}" for n in range(1, self.last() + 1)])
        self.hub.advance(3)
        self.assertGreater(feed.comments, 1)

    def test_long_log(self) -> None:
        """A long log comes whole, page by page, while new events come in."""
        for _ in range(600):
            self.hub.push("w")
        feed = Feed(self, "?after=0")
        self.hub.push("w")
        self.assertEqual(feed.ids, [f"{self.epoch}:{n}" for n in range(1, self.last() + 1)])

    def test_client_leaves(self) -> None:
        """A client that leaves is forgotten: nothing of its stream stays."""
        calls = len(self.hub.clock.getDelayedCalls())
        feed = Feed(self)
        self.assertEqual(self.streams(), 1)
        feed.client.transport.loseConnection()
        self.hub.settle()
        self.assertEqual((self.streams(), len(self.hub.hub.events._watchers)), (0, 0))
        self.assertLessEqual(len(self.hub.clock.getDelayedCalls()), calls)
        self.hub.push("w")
        self.hub.advance(10)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_leaves_at_the_beginning(self) -> None:
        """Also one that leaves while its beginning is looked up."""
        self.reads.holding = True
        client = self.begin("GET", "/api/events?after=0")
        client.transport.loseConnection()
        self.hub.settle()
        self.reads.release()
        self.hub.advance(5)
        self.assertEqual((client.received, self.streams()), (b"", 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_log_cannot_be_read(self) -> None:
        """A stream whose log cannot be read ends, and the reason is logged once."""
        for _ in range(5):
            self.hub.push("w")
        self.hub.hub.events._ring.clear()
        feed = Feed(self)
        feed.stall()
        self.hub.push("w")
        self.hub.hub.events._ring.clear()
        self.reads.error = OSError("disk I/O error")
        feed.go_on()
        self.hub.settle()
        self.assertEqual(self.streams(), 0)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_token_is_revoked(self) -> None:
        """A stream ends when its token is revoked; those of others go on."""
        mine = Feed(self, token=self.hub.token("v"))
        others = Feed(self)
        self.hub.request("DELETE", "/admin/tokens/v")
        self.hub.advance(1)
        self.assertEqual(self.streams(), 1)
        self.assertTrue(mine.client.received.endswith(b"0\r\n\r\n"))
        before = others.comments
        self.hub.advance(3)
        self.assertGreater(others.comments, before)

    def test_hub_stops(self) -> None:
        """A hub that stops ends the streams properly."""
        feed = Feed(self)
        self.watchers.stop()
        self.hub.settle()
        self.assertEqual(self.streams(), 0)
        self.assertTrue(feed.client.received.endswith(b"0\r\n\r\n"))

    def test_head(self) -> None:
        """HEAD is answered and over: no stream stays behind it."""
        client = self.begin("HEAD", "/api/events")
        self.assertIn(b" 200 ", client.received)
        self.assertEqual(client.received.partition(b"\r\n\r\n")[2], b"")
        self.assertEqual(self.streams(), 0)


class EndTests(StreamCase):
    """How the hub ends a stream, and what its client learns of it."""

    def cut(self, reason: str) -> int:
        return self.hub.hub.counts.watchers_cut[reason]

    def test_takes_nothing(self) -> None:
        """A client that takes nothing for a minute is told why it is cut, and can resume."""
        feed = Feed(self)
        self.hub.push("w")
        seen = self.last()
        feed.stall()
        self.hub.push("w")
        self.hub.advance(SLOW_S - 1)
        self.assertEqual(self.streams(), 1)
        self.hub.advance(2)
        self.assertEqual((self.streams(), self.cut("slow")), (0, 1))
        feed.go_on()
        self.hub.settle()
        cursor = f"{self.epoch}:{seen}"
        self.assertEqual(feed.closed, {"reason": "slow", "cursor": cursor})
        self.assertEqual(feed.blocks[-1]["id"], cursor)
        self.assertEqual(
            Feed(self, f"?after={cursor}").ids,
            [f"{self.epoch}:{n}" for n in range(seen + 1, self.last() + 1)],
        )

    def test_slow_but_reading(self) -> None:
        """A client that takes a little in each minute stays."""
        feed = Feed(self)
        for _ in range(4):
            feed.stall()
            self.hub.advance(SLOW_S - 1, step=10)
            feed.go_on()
            self.hub.push("w")
        self.assertEqual(self.streams(), 1)
        self.assertEqual(feed.names.count("task_assigned"), 4)

    def test_line_of_a_slow_client(self) -> None:
        """The line of a client that does not even take the end is dropped."""
        feed = Feed(self)
        dropped: list[str] = []
        channel: Any = feed.channel
        channel.transport.loseConnection = lambda: None
        channel.transport.abortConnection = lambda: dropped.append("dropped")
        feed.stall()
        self.hub.advance(SLOW_S + HANG_UP_S - 1)
        self.assertEqual(dropped, [])
        self.hub.advance(2)
        self.assertEqual(dropped, ["dropped"])

    def test_token_is_revoked(self) -> None:
        """The end of a token is told as the reason."""
        feed = Feed(self, token=self.hub.token("v"))
        self.hub.request("DELETE", "/admin/tokens/v")
        self.hub.settle()
        cursor = f"{self.epoch}:{self.last()}"
        self.assertEqual(feed.closed, {"reason": "token_revoked", "cursor": cursor})
        self.assertEqual(self.cut("token_revoked"), 1)

    def test_token_ends_at_the_beginning(self) -> None:
        """A token that is revoked while the beginning is looked up opens no stream."""
        token = self.hub.token("v")
        self.reads.holding = True
        client = self.begin("GET", "/api/events?after=1", token=token)
        self.hub.request("DELETE", "/admin/tokens/v")
        self.hub.settle()
        self.reads.release()
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.assertEqual((answer.status, self.streams()), (401, 0))

    def test_token_expires(self) -> None:
        """So is its expiry, within seconds."""
        made: list[Any] = []
        self.hub.hub.auth.create("v", (SUBMIT,), self.hub.hub.now() + 10_000).addCallback(
            made.append
        )
        self.hub.settle()
        feed = Feed(self, token=made[0][0])
        self.hub.advance(9)
        self.assertEqual(self.streams(), 1)
        self.hub.advance(3)
        self.assertEqual(feed.closed["reason"], "token_expired")

    def test_hub_stops(self) -> None:
        """A hub that stops says so, and where to go on."""
        feed = Feed(self)
        self.watchers.stop()
        self.hub.settle()
        cursor = f"{self.epoch}:{self.last()}"
        self.assertEqual(feed.closed, {"reason": "hub_stopping", "cursor": cursor})

    def test_room(self) -> None:
        """With one token 100 streams are open at a time, in all 1 000; one more is refused."""
        self.assertEqual((watching.WATCHERS, watching.WATCHERS_OF_A_TOKEN), (1_000, 100))
        self.patch(watching, "WATCHERS", 4)
        self.patch(watching, "WATCHERS_OF_A_TOKEN", 3)
        mine = [Feed(self) for _ in range(3)]
        answer = self.get("/api/events")
        self.answers(answer, 503, error="too_many_watchers", retry_after_ms=5_000)
        self.assertEqual(answer.headers["retry-after"], "5")
        token = self.hub.token("v")
        Feed(self, token=token)
        answer = self.get("/api/events", token=token)
        self.answers(answer, 503, error="too_many_watchers")
        mine[0].client.transport.loseConnection()
        self.hub.settle()
        Feed(self, token=token)
        self.assertEqual(self.streams(), 4)


class TaskTests(StreamCase):
    """The stream of one task."""

    def test_only_its_events(self) -> None:
        """With a task's id only its events come; the cursor moves on with all."""
        mine, other = self.hub.push("w"), self.hub.push("w")
        feed = Feed(self, f"?task_id={mine}&after=0")
        self.worker.say("task_accepted", task_id=other)
        self.worker.say("task_accepted", task_id=mine)
        self.worker.say("task_complete", task_id=mine)
        names = ["task_submitted", "task_assigned", "task_accepted", "task_complete"]
        self.assertEqual(feed.names, names)
        self.assertEqual(Feed(self, f"?task_id={mine}&topics=presence&after=0").names, [])

    def test_told_where_it_is(self) -> None:
        """Where nothing that happens is for it, a client is told its cursor all the same."""
        feed = Feed(self, "?task_id=task-x")
        self.hub.push("w")
        self.hub.advance(ALIVE_S)
        self.assertEqual(feed.blocks, [])
        self.assertEqual(feed._all_blocks[-1], {"id": f"{self.epoch}:{self.last()}"})
        told = len(feed._all_blocks)
        self.hub.advance(4 * ALIVE_S)
        self.assertEqual(len(feed._all_blocks), told)

    def test_an_id_that_is_too_long(self) -> None:
        """An id that no task can have is refused."""
        answer = self.get("/api/events?task_id=" + "x" * 129)
        self.assertEqual(self.wrong_fields(answer), [("task_id", "invalid_value")])

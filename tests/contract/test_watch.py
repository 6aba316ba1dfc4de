"""Events on a WebSocket: ``watch``, what follows it, and how it ends."""

from __future__ import annotations

from typing import Any

from agentcom.core.tokens import AGENT
from agentcom.hub import watching
from agentcom.testing import FakeAgent
from agentcom.ws.watching import SLOW_S, TELL_S
from tests.contract.helpers import Frame, HubTests, queue


class WatchCase(HubTests):
    """A hub with a worker and an agent that watches."""

    def setUp(self) -> None:
        super().setUp()
        self.worker = self.hub.agent("w", presence="none")
        self.watcher = self.hub.agent("eye", presence="none")
        self.log = self.hub.hub.events
        self.watchers = self.hub.parts.factory.watchers

    def cursor(self, seq: int | None = None) -> str:
        return self.log.cursor(self.log.last_seq if seq is None else seq)

    def watch(self, **fields: Any) -> Frame:
        """Begin to watch; the answer."""
        answers = self.watcher.say("watch", **fields)
        self.assertEqual(answers[0]["type"], "watching", answers)
        return answers[0]

    def seen(self) -> list[Frame]:
        """Every event that the watcher was sent."""
        return [event for frame in self.watcher.of("events") for event in frame["events"]]

    def names(self) -> list[str]:
        return [event["event"] for event in self.seen()]

    def numbers(self) -> list[int]:
        return [event["seq"] for event in self.seen()]

    def fill(self, agent: FakeAgent) -> None:
        """Its line takes no more."""
        agent.pump.serverIO.producer.pauseProducing()

    def empty(self, agent: FakeAgent) -> None:
        """Its line has taken everything."""
        agent.pump.serverIO.producer.resumeProducing()
        self.hub.settle()


class BeginningTests(WatchCase):
    """Where a watch begins."""

    def test_from_now(self) -> None:
        """Nothing given, it begins now, and says where that is."""
        told = self.watch(ref=7)
        self.assertEqual(told, {"type": "watching", "cursor": self.cursor(), "ref": 7})
        self.hub.push("w")
        self.assertEqual(self.names(), ["task_submitted", "task_assigned"])
        self.assertEqual(self.watcher.frames[-1]["cursor"], self.cursor())

    def test_from_a_cursor(self) -> None:
        """From each cursor come exactly the events after it, each once."""
        self.hub.push("w")
        last = self.log.last_seq
        for after, first in ((0, 1), (1, 2), (last - 1, last), (last, last + 1)):
            for text in {str(after), self.cursor(after)}:
                before = len(self.seen())
                self.watch(after=text)
                self.assertEqual(self.numbers()[before:], list(range(first, last + 1)), text)

    def test_as_the_stream_says_it(self) -> None:
        """An event has the fields that it has everywhere else."""
        task_id = self.hub.push("w")
        self.watch(after="0")
        page = self.hub.request("GET", f"/api/tasks/{task_id}/events").body
        self.assertEqual([e for e in self.seen() if e["task_id"] == task_id], page["events"])

    def test_gap(self) -> None:
        """A cursor that cannot be followed is a gap, told before what there is."""
        self.hub.push("w")
        for cursor in ("x", "ffffffff:3", self.cursor(10**6)):
            answers = self.watcher.say("watch", after=cursor)
            self.assertEqual([a["type"] for a in answers], ["watching", "events_gap", "events"])
            gap = {"first": self.cursor(1), "last": self.cursor(), "cursor": self.cursor(0)}
            self.assert_fields(answers[1], **gap)
            self.assertEqual(answers[2]["events"][0]["seq"], 1)

    def test_topics_and_task(self) -> None:
        """Only what was asked for comes."""
        task_id = self.hub.push("w")
        self.hub.push("w")
        self.watch(after="0", topics=["presence"])
        self.assertEqual({e["topic"] for e in self.seen()}, {"presence"})
        before = len(self.seen())
        self.watch(after="0", task_id=task_id)
        self.assertEqual({e["task_id"] for e in self.seen()[before:]}, {task_id})

    def test_the_last_one_counts(self) -> None:
        """A further ``watch`` takes the place of the one before."""
        self.watch(topics=["presence"])
        self.watch(topics=["tasks"])
        self.hub.push("w")
        self.hub.agent("new")
        self.assertEqual(self.names(), ["task_submitted", "task_assigned"])
        self.assertEqual(self.watchers.open_streams(), {"ws": 1})

    def test_wrong_fields(self) -> None:
        """Wrong fields are told as those of every frame."""
        for fields in ({"topics": ["nope"]}, {"topics": []}, {"topics": "tasks"}, {"after": 5}):
            answers = self.watcher.say("watch", **fields)
            self.assert_error(answers, "validation_failed", message_type="watch")
        self.assertEqual(self.watchers.open_streams(), {})

    def test_scope(self) -> None:
        """It needs the scope ``submit``."""
        other = self.hub.agent("plain", token=self.hub.token("plain", (AGENT,)))
        answers = other.say("watch", ref="r")
        self.assert_error(answers, "forbidden", required_scope="submit", ref="r")
        self.assert_answer(other.say("ping"), "pong")

    def test_not_identified(self) -> None:
        """Before ``identify`` it is refused like everything else."""
        self.assert_error(self.hub.connect().say("watch"), "not_identified")

    def test_no_room(self) -> None:
        """Where as many watch as may, it is refused with a time."""
        self.patch(watching, "WATCHERS_OF_A_TOKEN", 0)
        answers = self.watcher.say("watch")
        self.assert_error(answers, "too_many_watchers", retry_after_ms=5_000)

    def test_unreadable(self) -> None:
        """A beginning that cannot be read is an error, and the line goes on."""
        self.patch(self.hub.store, "first_seq", lambda: 1 // 0)
        self.assert_error(self.watcher.say("watch", after="3", ref=1), "internal_error", ref=1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_answer(self.watcher.say("ping"), "pong")


class GoingOnTests(WatchCase):
    """What a watch does while it lasts."""

    def test_live_events(self) -> None:
        """What is in no log comes with ``seq`` null, and moves no cursor."""
        self.watch()
        self.worker.say("task_complete", task_id="task-unknown")
        (event,) = self.seen()
        self.assertEqual((event["seq"], event["event"]), (None, "task_complete"))
        self.assertEqual(self.watcher.frames[-1]["cursor"], self.cursor())

    def test_its_own_work(self) -> None:
        """Who watches works as before: its task, its acknowledgements, in their order."""
        self.watch()
        task_id = self.hub.push("eye")
        self.watcher.say("task_accepted", task_id=task_id)
        self.watcher.say("task_complete", task_id=task_id)
        own = [f["type"] for f in self.watcher.frames if f["type"].startswith("task_")]
        self.assertEqual(own, ["task_assign", "task_ack", "task_ack"])
        names = ["task_submitted", "task_assigned", "task_accepted", "task_complete"]
        self.assertEqual(self.names(), names)

    def test_a_long_log(self) -> None:
        """A long log comes whole and in order, by pages, while it grows."""
        for _ in range(600):
            self.hub.push("w")
        self.watch(after="0")
        self.hub.push("w")
        self.assertEqual(self.numbers(), list(range(1, self.log.last_seq + 1)))
        self.assertGreater(len(self.watcher.of("events")), 2)

    def test_told_where_it_is(self) -> None:
        """Where nothing that happens is for it, it is told its cursor now and then."""
        self.watch(task_id="task-x")
        self.hub.push("w")
        self.assertEqual(self.watcher.of("events"), [])
        self.hub.advance(TELL_S, step=5)
        self.hub.push("w")
        told = {"type": "events", "events": [], "cursor": self.cursor()}
        self.assertEqual(self.watcher.of("events"), [told])

    def test_unwatch(self) -> None:
        """After ``unwatched`` nothing comes; it says up to where it went."""
        self.watch()
        self.hub.push("w")
        told = self.assert_answer(self.watcher.say("unwatch", ref=1), "unwatched")
        self.assert_fields(told, cursor=self.cursor(), ref=1)
        self.hub.push("w")
        self.assertEqual(len(self.seen()), 2)
        self.assertEqual(self.watchers.open_streams(), {})
        self.assert_answer(self.watcher.say("unwatch"), "unwatched", cursor=None)

    def test_line_is_lost(self) -> None:
        """A watch goes with its line, and leaves nothing behind."""
        self.watch()
        self.watcher.vanish()
        self.assertEqual(self.watchers.open_streams(), {})
        self.assertEqual(len(self.log._watchers), 0)
        self.hub.push("w")
        self.assertEqual(self.flushLoggedErrors(), [])


class SlowTests(WatchCase):
    """Watchers that read slower than things happen."""

    def test_waits(self) -> None:
        """While the line is full nothing of the watch waits for it; later all of it comes."""
        self.watch()
        self.fill(self.watcher)
        for _ in range(50):
            self.hub.push("w")
        queue(self.watcher, "ping")
        self.hub.settle()
        self.assertEqual(self.watcher.frames[1:], self.watcher.of("watching"))
        self.hub.advance(SLOW_S - 1)
        self.empty(self.watcher)
        self.assertEqual(len(self.seen()), 100)
        # What waited for it was sent first.
        types = [frame["type"] for frame in self.watcher.frames[2:]]
        self.assertEqual(types[0], "pong")

    def test_cut(self) -> None:
        """A line that stays full loses its watch and nothing else."""
        self.watch()
        cursor = self.cursor()
        self.fill(self.watcher)
        self.hub.push("w")
        self.hub.advance(SLOW_S + 1)
        self.assertEqual(self.watchers.open_streams(), {})
        self.empty(self.watcher)
        (told,) = self.watcher.of("watch_ended")
        self.assert_fields(told, reason="slow", cursor=cursor)
        self.assertIsNone(self.watcher.closed)
        self.watch(after=told["cursor"])
        self.assertEqual(self.names(), ["task_submitted", "task_assigned"])

    def test_full_from_the_beginning(self) -> None:
        """A line that is full when the watch begins is waited for, no longer than any other."""
        self.fill(self.watcher)
        queue(self.watcher, "watch", after="0")
        self.hub.settle()
        self.hub.advance(SLOW_S + 1)
        self.empty(self.watcher)
        types = [f["type"] for f in self.watcher.frames if f["type"] != "identified"]
        self.assertEqual(types, ["watching", "watch_ended"])

    def test_events_that_went(self) -> None:
        """What was forgotten while it was slow is told as a gap."""
        self.watch()
        self.fill(self.watcher)
        self.hub.push("w")
        self.log.forgotten(self.log.last_seq - 1)
        self.empty(self.watcher)
        types = [frame["type"] for frame in self.watcher.frames[-2:]]
        self.assertEqual(types, ["events_gap", "events"])
        self.assert_fields(self.watcher.frames[-2], first=self.cursor())
        self.assertEqual(len(self.watcher.frames[-1]["events"]), 1)


class CrowdedTests(WatchCase):
    """A line that has much to take."""

    settings = {"send_buffer": 100_000}  # noqa: RUF012  # as in the base

    def test_ends_before_the_line(self) -> None:
        """With half of what may wait, the watch ends; the line goes on."""
        self.watch()
        self.fill(self.watcher)
        for _ in range(60):
            queue(self.watcher, "ping", ref="r" * 1_000)
        self.hub.settle()
        self.assertEqual(self.watchers.open_streams(), {})
        self.assertEqual(self.hub.hub.counts.watchers_cut["slow"], 1)
        self.empty(self.watcher)
        self.assertIsNone(self.watcher.closed)
        self.assertEqual(len(self.watcher.of("pong")), 60)
        self.assertEqual(len(self.watcher.of("watch_ended")), 1)


class EndTests(WatchCase):
    """How the hub ends a watch."""

    def test_token_is_revoked(self) -> None:
        """With its token it ends, and says so before the line is closed."""
        self.watch()
        self.hub.request("DELETE", "/admin/tokens/eye")
        self.hub.settle()
        self.assertEqual(self.watcher.frames[-1]["reason"], "token_revoked")
        assert self.watcher.closed is not None
        self.assertEqual(self.watcher.closed[0], 4003)

    def test_hub_stops(self) -> None:
        """A hub that stops says so, and where to go on."""
        self.watch()
        self.watchers.stop()
        self.hub.settle()
        told = self.watcher.frames[-1]
        self.assertEqual(told["type"], "watch_ended")
        self.assert_fields(told, reason="hub_stopping", cursor=self.cursor())

    def test_log_cannot_be_read(self) -> None:
        """A log that cannot be read ends the watch, not the line."""
        self.hub.push("w")
        self.log._ring.clear()
        self.patch(self.hub.store, "events", _fails)
        self.watch(after="1")
        self.assertEqual(self.watcher.frames[-1]["reason"], "internal_error")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assert_answer(self.watcher.say("ping"), "pong")


def _fails(*_: object) -> Any:
    from twisted.internet.defer import fail

    return fail(OSError("disk I/O error"))

"""One connection: introduction, tasks, liveness, and how it ends.  Time is a ``Clock``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar import session
from agentcom.sidecar.desk import Desk
from agentcom.sidecar.session import Ending, Identity, Session
from agentcom.wire.codec import decode
from agentcom.wire.frames import FROM_AGENT, Identify
from tests.unit.sidecar.fakes import FakeWorkshop, memory_journal

LIMITS: dict[str, Any] = {}
ASSIGN: dict[str, Any] = {
    "type": "task_assign",
    "task_id": "task-1",
    "description": "d",
    "metadata": {},
    "assigned_at": 1,
    "generation": 1,
    "attempt": 1,
    "priority": "normal",
    "submitted_by": "me",
    "submitted_at": 1,
}


class FakeLine:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.did: list[Any] = []

    def send(self, data: bytes) -> None:
        self.frames.append(json.loads(data))

    def close(self, code: int, reason: str) -> None:
        self.did.append(code)

    def abort(self) -> None:
        self.did.append("abort")


class SessionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.line = FakeLine()
        self.desk = Desk(2, memory_journal(), FakeWorkshop(), self.clock)
        identity = Identity("bot", None, ("a",), {"os": "linux"})
        self.session = Session(identity, "secret", self.desk, self.clock)

    def open(self) -> None:
        self.session.connected(self.line)
        self.session.opened()

    def identified(self, **fields: Any) -> None:
        self.open()
        self.hear({"type": "identified", "agent_id": "bot", "limits": LIMITS, **fields})

    def hear(self, frame: Any) -> None:
        self.session.received(json.dumps(frame).encode())

    def ending(self) -> Ending:
        ending: Ending = self.successResultOf(self.session.ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return ending

    def sent(self) -> list[str]:
        return [frame["type"] for frame in self.line.frames]


class SessionTests(SessionCase):
    def test_identify(self) -> None:
        """The agent says who it is, in a frame that the hub understands."""
        self.open()
        frame = self.line.frames[0]
        self.assertEqual((frame["presence"], frame["slots"], frame["tasks"]), ("none", 2, []))
        said = decode(json.dumps(frame).encode(), session.msgspec.json.Decoder(Identify))
        self.assertEqual((said.agent_id, said.token, said.name), ("bot", "secret", "bot"))
        self.assertEqual((said.capabilities, said.labels), (["a"], {"os": "linux"}))

    def test_task(self) -> None:
        """Frames about tasks reach the desk, and its answer the hub."""
        self.identified()
        self.hear(ASSIGN)
        self.assertEqual(self.sent(), ["identify", "task_accepted"])
        self.assertIn(self.sent()[1], FROM_AGENT)

    def test_not_before_identified(self) -> None:
        """Before it is identified an agent does nothing for anybody."""
        self.open()
        self.hear(ASSIGN)
        self.assertEqual(self.sent(), ["identify"])

    def test_bad_frames(self) -> None:
        """What cannot be understood is passed over, and the line stays."""
        self.identified()
        self.session.received(b"\xff")
        self.session.received(b"[]")
        self.hear({"type": "task_assign", "task_id": 5})
        self.hear({"type": "pong"})
        self.assertEqual(self.sent(), ["identify"])
        self.assertNoResult(self.session.ended)

    def test_verdicts(self) -> None:
        """Verdicts that are none are passed over."""
        self.identified(tasks=[5, {"task_id": "t", "action": "abort"}])
        self.session.hang_up("x")
        self.session.drop()
        self.assertTrue(self.ending().identified)

    def test_verdicts_of_another_hub(self) -> None:
        """A hub that says nothing about tasks is fine."""
        self.identified(tasks=None)
        self.assertNoResult(self.session.ended)

    def test_token_refused(self) -> None:
        """A refused token ends the session, which says so."""
        for error in ("invalid_token", "token_agent_mismatch"):
            self.setUp()
            self.open()
            self.hear({"type": "error", "error": error})
            self.assertEqual(self.line.did, [1000])
            self.session.closed(1000, "bye")
            ending = self.ending()
            self.assertEqual((ending.refused, ending.identified), (error, False))

    def test_ping(self) -> None:
        """While the hub answers the line stays, however quiet the work."""
        self.identified()
        for _ in range(60):
            self.clock.advance(5)
            self.hear({"type": "pong", "timestamp": 1})
        self.assertEqual(self.sent().count("ping"), 10)
        self.assertEqual(self.line.did, [])

    def test_any_sign_of_life(self) -> None:
        """Whatever the hub sends shows that it is there."""
        self.identified()
        self.clock.advance(session.PING_EVERY_S)
        self.session.heard()
        self.clock.advance(session.PONG_LIMIT_S)
        self.assertNoResult(self.session.ended)

    def test_silent_hub(self) -> None:
        """A hub that does not answer a ping is dropped."""
        self.identified()
        self.clock.advance(session.PING_EVERY_S)
        self.clock.advance(session.PONG_LIMIT_S)
        self.assertEqual(self.line.did, ["abort"])
        self.assertTrue(self.ending().stable)

    def test_never_opens(self) -> None:
        """A connection on which nobody speaks is given up."""
        self.session.connected(self.line)
        self.clock.advance(session.OPENING_LIMIT_S)
        self.assertEqual(self.line.did, ["abort"])
        self.assertFalse(self.ending().identified)

    def test_connects_too_late(self) -> None:
        """A connection that stands after it was given up is not kept."""
        self.clock.advance(session.OPENING_LIMIT_S)
        self.ending()
        self.open()
        self.assertEqual((self.line.did, self.line.frames), (["abort"], []))

    def test_stable(self) -> None:
        """Only a session that lasted counts as stable."""
        self.identified()
        self.clock.advance(session.STABLE_AFTER_S - 1)
        self.session.closed(1006, "gone")
        self.assertFalse(self.ending().stable)

    def test_hang_up(self) -> None:
        """A goodbye that is not answered does not hold the agent."""
        self.identified()
        self.session.hang_up("enough")
        self.assertEqual(self.line.did, [1000])
        self.clock.advance(2)
        self.assertEqual(self.line.did, [1000, "abort"])
        self.ending()
        self.session.hang_up("again")
        self.session.closed(1000, "again")

    def test_hang_up_unconnected(self) -> None:
        """Where there is no line there is nobody to say goodbye to."""
        self.session.hang_up("enough")
        self.ending()

    def test_retry_after(self) -> None:
        """The hub's wish is heard in ``identified`` and in a close reason, within reason."""
        for told, reason, expected in (
            ({"retry_after_ms": 1500}, "", 1.5),
            ({}, '{"retry_after_ms": 2500}', 2.5),
            ({"retry_after_ms": 1500}, "restart; retry_after_ms=2500", 2.5),
            ({"retry_after_ms": 10**15}, "", session.MAX_RETRY_AFTER_S),
            ({"retry_after_ms": True}, "", None),
            ({"retry_after_ms": "soon"}, "", None),
            ({"retry_after_ms": -5}, "", 0.0),
        ):
            self.setUp()
            self.identified(**told)
            self.session.closed(1001, reason)
            self.assertEqual(self.ending().retry_after_s, expected)

    def test_backpressure(self) -> None:
        """A slow line is the desk's concern while there is a session."""
        told: list[bool] = []
        self.patch(self.desk, "writable", told.append)
        self.session.writable(False)
        self.identified()
        self.session.writable(False)
        self.session.closed(1006, "")
        self.session.writable(True)
        self.assertEqual(told, [True, False, False])

    def test_drain(self) -> None:
        """Before it goes an agent asks for nothing more."""
        self.session.drain()
        self.identified()
        self.session.drain()
        self.assertEqual(self.sent(), ["identify", "drain"])

    def logged(self, kind: str, **fields: Any) -> list[str]:
        """What the log says of a frame."""
        with capturedLogs() as events:
            self.hear({"type": kind, **fields})
        return [str(formatEvent(event)) for event in events]

    def test_drained(self) -> None:
        """An operator's drain, and its end, is told in words, however little of it is said."""
        self.identified()
        for fields, told in (
            ({"by": "operator"}, "new; by operator"),
            ({"by": "operator", "reason": "new kernel"}, "new; by operator; new kernel"),
            (
                {"deadline": 1_767_225_600_000},
                "new; what still runs at 2026-01-01 00:00:00 UTC goes back to the queue",
            ),
            ({"by": "x", "reason": 5, "deadline": "soon"}, "new; by x"),
            ({"by": "x", "deadline": -1}, "new; by x"),
            ({"by": "x", "deadline": 10**18}, "new; by x"),
        ):
            (line,) = self.logged("draining", **fields)
            self.assertTrue(line.endswith(told), line)
        (line,) = self.logged("resumed", by="operator")
        self.assertIn("not drained any more", line)
        self.assertEqual(self.sent(), ["identify"])

    def test_drained_by_itself(self) -> None:
        """The answer to the agent's own drain is no news."""
        self.identified()
        self.session.drain()
        self.assertEqual(self.logged("draining"), [])

    def test_connects_while_it_goes(self) -> None:
        """An agent that is about to go says so on a new connection too."""
        self.desk.drain()
        self.identified()
        self.assertEqual(self.sent(), ["identify", "drain"])


class IntroductionTests(SessionCase):
    """What the hub may refuse of it."""

    def test_refused(self) -> None:
        """A hub that does not take what the agent says of itself ends the session with the
        reason."""
        self.open()
        wrong = {"field": "labels.k", "error": "too_long", "detail": "at most 256"}
        with capturedLogs() as logged:
            self.hear(
                {
                    "type": "error",
                    "error": "validation_failed",
                    "message_type": "identify",
                    "errors": [wrong],
                }
            )
        self.assertEqual(self.line.did, [1000])
        self.session.closed(1000, "")
        ending = self.ending()
        self.assertEqual(ending.refused, "validation_failed")
        self.assertIn("labels.k", ending.problem)
        self.assertIn("labels.k", formatEvent(logged[0]) or "")

    def test_passing_error(self) -> None:
        """Another error before identified is logged, and the hub may still take it in."""
        self.open()
        with capturedLogs() as logged:
            self.hear({"type": "error", "error": "internal_error"})
        self.assertEqual((len(logged), self.line.did), (1, []))
        self.hear({"type": "identified", "agent_id": "bot", "limits": LIMITS})
        self.session.drop()
        self.assertEqual(self.ending().refused, None)

    def test_many_mentions(self) -> None:
        """However much there is to mention, identify fits what the hub takes of a stranger."""
        mentions = [{"task_id": f"task-{n:016x}", "generation": n} for n in range(4_000)]
        self.patch(self.desk, "mentions", lambda: mentions)
        self.open()
        (identify,) = self.line.frames
        self.assertLess(len(json.dumps(identify)), 64 * 1024)
        self.assertEqual(identify["tasks"], mentions[: len(identify["tasks"])])
        self.assertGreater(len(identify["tasks"]), 400)

    def test_wish_for_lost_lines(self) -> None:
        """What identified said of coming back is for a lost line, not for a replaced one."""
        for code, wish in ((1006, 0.25), (4001, None)):
            self.setUp()
            self.identified(retry_after_ms=250)
            self.session.closed(code, "replaced")
            self.assertEqual(self.ending().retry_after_s, wish)

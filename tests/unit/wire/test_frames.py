"""The frames: each goes out and comes back the same, with the limits of the contract."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from agentcom.errors import AgentComError, ValidationFailed
from agentcom.wire import frames
from agentcom.wire.codec import encode
from agentcom.wire.http import (
    CancelTask,
    CreateToken,
    Disconnect,
    PostMessage,
    PushTask,
    Register,
    StartDrain,
)
from agentcom.wire.tasks import ChooseDeadLetters, RequeueTask, SubmitTask
from agentcom.ws.reading import read

# Every frame of an agent with all its fields: PROTOCOL.md section 3.1.
REPORT = {"task_id": "t", "generation": 2}
SUBMISSION: dict[str, Any] = {
    "description": "d",
    "agent_id": "w",
    "capabilities": ["c"],
    "needed_capabilities": ["n"],
    "labels": {"zone": "eu", "gpu": {"=": "a", "!=": "b", "in": ["a", "c"], "exists": True}},
    "priority": "urgent",
    "metadata": {"a": [1]},
    "max_attempts": 5,
    "backoff": {"initial_s": 0.5, "factor": 1.5, "max_s": 9.0},
    "not_before": 1_700_000_000_000,
    "deadline": 1_700_000_100_000,
    "queue_timeout_s": 10.5,
    "accept_timeout_s": 5.5,
    "attempt_timeout_s": 3_600.5,
    "hold_s": 0.5,
    "on_disconnect": "keep",
    "idempotency_key": "k",
}
FROM_AGENT: dict[str, dict[str, Any]] = {
    "identify": {
        "agent_id": "a",
        "token": "s",
        "name": "n",
        "status": "s",
        "capabilities": ["c"],
        "slots": 2,
        "labels": {"k": "v"},
        "tasks": [{"task_id": "t", "generation": 1}],
        "mailbox": True,
        "presence": "diff",
    },
    "ping": {},
    "status": {"status": "s"},
    "list_agents": {},
    "message": {"payload": {"a": 1}, "to": "b", "message_type": "m", "reply_to": "r"},
    "message_ack": {"seq": 7},
    "channel_subscribe": {"channel": "c"},
    "channel_unsubscribe": {"channel": "c"},
    "channel_publish": {
        "channel": "c",
        "payload": {"a": 1},
        "message_type": "m",
        "reply_to": "r",
    },
    "channel_history": {"channel": "c", "limit": 5, "since": 3},
    "list_channels": {},
    "watch": {"after": "e:1", "topics": ["tasks", "presence"], "task_id": "t"},
    "unwatch": {},
    "task_accepted": REPORT,
    "task_progress": {
        **REPORT,
        "progress": 0.5,
        "message": "m",
        "output": "o",
        "cost": {"usd": 1.5},
    },
    "task_complete": {**REPORT, "result": {"a": [1]}, "tokens_used": 7},
    "task_failed": {**REPORT, "error": "e", "reason": "r", "retryable": False, "result": [1]},
    "task_recovering": {**REPORT, "last_status": "working"},
    "task_rejected": {**REPORT, "reason": "r"},
    "state_report": {**REPORT, "status": "s"},
    "task_submit": SUBMISSION,
    "agent_restarting": {"reason": "r"},
    "drain": {"reason": "r"},
    "wake_result": {},
    "resource_report": {},
}

REQUIRED: dict[str, set[str]] = {
    "identify": {"agent_id", "token"},
    "status": {"status"},
    "message": {"payload"},
    "message_ack": {"seq"},
    "channel_subscribe": {"channel"},
    "channel_unsubscribe": {"channel"},
    "channel_publish": {"channel", "payload"},
    "channel_history": {"channel"},
    **{
        name: {"task_id"}
        for name in FROM_AGENT
        if name.startswith("task_") or name == "state_report"
    },
    "task_submit": {"description"},
}

# Characters that a field may have (section 3).
LENGTHS = {
    ("identify", "agent_id"): 128,
    ("identify", "token"): 256,
    ("identify", "name"): 256,
    ("identify", "status"): 256,
    ("status", "status"): 256,
    ("channel_subscribe", "channel"): 64,
    ("message", "to"): 128,
    ("task_submit", "description"): 10_000,
    ("task_submit", "agent_id"): 128,
    ("task_submit", "idempotency_key"): 256,
}

TO_AGENT: list[tuple[frames.ToAgent, dict[str, Any]]] = [
    (frames.Pong(timestamp=1), {"type": "pong", "timestamp": 1}),
    (frames.StatusUpdated(ref=Raw(b'"r"')), {"type": "status_updated", "ref": "r"}),
    (frames.Agents(agents=[]), {"type": "agents", "agents": []}),
    (frames.MessageAcked(up_to=3), {"type": "message_acked", "up_to": 3}),
    (frames.MessageSent(id="m"), {"type": "message_sent", "id": "m"}),
    (
        frames.MessageSent(id="m", note="unknown_recipient"),
        {"type": "message_sent", "id": "m", "note": "unknown_recipient"},
    ),
    (frames.Channels(channels=[]), {"type": "channels", "channels": []}),
    (
        frames.TaskAck(task_id="t", status="failed", outcome="retried"),
        {"type": "task_ack", "task_id": "t", "status": "failed", "outcome": "retried"},
    ),
    (
        frames.TaskAck(task_id="t", status="accepted"),
        {"type": "task_ack", "task_id": "t", "status": "accepted"},
    ),
    (
        frames.TaskContinue(task_id="t", generation=3),
        {"type": "task_continue", "task_id": "t", "generation": 3},
    ),
    (frames.TaskReassign(task_id="t"), {"type": "task_reassign", "task_id": "t"}),
    (
        frames.TaskSubmitted(task_id="t", ref=Raw(b"7")),
        {"type": "task_submitted", "task_id": "t", "ref": 7},
    ),
    (
        frames.StateReportAck(task_id="t", action="abort"),
        {"type": "state_report_ack", "task_id": "t", "action": "abort"},
    ),
    (
        frames.Draining(by="operator", reason="new kernel", deadline=5),
        {"type": "draining", "by": "operator", "reason": "new kernel", "deadline": 5},
    ),
    (frames.Resumed(by="operator"), {"type": "resumed", "by": "operator"}),
    (frames.Draining(), {"type": "draining"}),
    (
        frames.TaskCancelled(task_id="t", generation=1, reason="r"),
        {"type": "task_cancelled", "task_id": "t", "generation": 1, "reason": "r"},
    ),
    (frames.AgentLeft(agent_id="a"), {"type": "agent_left", "agent_id": "a"}),
    (frames.AgentJoined(agent={"x": 1}), {"type": "agent_joined", "agent": {"x": 1}}),
    (frames.StatusChanged(agent={"x": 1}), {"type": "status_changed", "agent": {"x": 1}}),
    (
        frames.PresenceDiff(joined=[], left=["a"], changed=[]),
        {"type": "presence_diff", "joined": [], "left": ["a"], "changed": []},
    ),
]


class FromAgentTests(SynchronousTestCase):
    """What agents send."""

    def test_table_is_whole(self) -> None:
        """Every type of the contract is known, and no other."""
        self.assertEqual(set(frames.FROM_AGENT), set(FROM_AGENT))

    def test_round_trip(self) -> None:
        """Every frame is read with all its fields, and says the same when written again."""
        for name, fields in FROM_AGENT.items():
            sent = {"type": name, "ref": {"my": ["ref"]}, **fields}
            frame = read(encode(sent))
            self.assertIs(type(frame), frames.FROM_AGENT[name])
            self.assertEqual(json.loads(msgspec.json.encode(frame)), sent)

    def test_only_required_fields(self) -> None:
        """With its required fields alone, and with every other one null, a frame is read."""
        for name, fields in FROM_AGENT.items():
            required = {k: fields[k] for k in REQUIRED.get(name, ())}
            nulls = dict.fromkeys(k for k in fields if k not in required)
            least = read(encode({"type": name, **required}))
            if name in ("task_complete", "task_failed"):
                # There null is a result.
                del nulls["result"]
            self.assertEqual(read(encode({"type": name, **nulls, **required})), least, name)

    def test_missing_fields(self) -> None:
        """Each required field that is missing, or null, is told with the frame's type."""
        for name, required in REQUIRED.items():
            for fields in ({}, dict.fromkeys(required)):
                error = self.assertRaises(ValidationFailed, read, encode({"type": name, **fields}))
                told: Any = error.fields["errors"]
                self.assertEqual({e["field"] for e in told}, required, name)
                self.assertEqual({e["error"] for e in told}, {"required"})
                self.assertEqual(error.fields["message_type"], name)

    def test_mistyped_fields(self) -> None:
        """Each field of a wrong type is refused by name."""
        for name, fields in FROM_AGENT.items():
            for field in fields:
                if field == "result":
                    continue
                # No field is of both types.
                for value in (True, [[]]):
                    if isinstance(fields[field], bool) and value is True:
                        continue
                    sent = encode({"type": name, **fields, field: value})
                    error = self.assertRaises(ValidationFailed, read, sent)
                    told: Any = error.fields["errors"]
                    # In a list of objects it is the entry that is wrong.
                    path = "tasks[0]" if (field, value) == ("tasks", [[]]) else field
                    self.assertEqual([e["field"] for e in told], [path], (name, value))

    def test_lengths(self) -> None:
        """Lengths are counted in characters: the limit is taken, one more is ``too_long``."""
        for (name, field), limit in LENGTHS.items():
            fields = {"type": name, **FROM_AGENT[name]}
            read(encode({**fields, field: "\u2603" * limit}))
            error = self.assertRaises(
                ValidationFailed, read, encode({**fields, field: "\u2603" * (limit + 1)})
            )
            told: Any = error.fields["errors"]
            self.assertEqual([(e["field"], e["error"]) for e in told], [(field, "too_long")])

    def test_slots(self) -> None:
        """A program that takes no offers has 0 slots; less, or over 10 000, there is not."""
        identify = {"type": "identify", **FROM_AGENT["identify"]}
        for slots in (0, 1, 10_000):
            self.assertEqual(read(encode({**identify, "slots": slots})).slots, slots)
        for slots in (-1, 10_001):
            error = self.assertRaises(ValidationFailed, read, encode({**identify, "slots": slots}))
            told: Any = error.fields["errors"]
            self.assertEqual([(e["field"], e["error"]) for e in told], [("slots", "invalid_value")])

    def test_mentioned_tasks(self) -> None:
        """What is wrong in an entry of ``tasks`` is told with the entry's place."""
        tasks = [{"task_id": "t"}, {"generation": 1}, {"task_id": "t", "generation": -1}]
        sent = encode({"type": "identify", **FROM_AGENT["identify"], "tasks": tasks})
        error = self.assertRaises(ValidationFailed, read, sent)
        told: Any = error.fields["errors"]
        self.assertEqual(
            [(e["field"], e["error"]) for e in told],
            [("tasks[1].task_id", "required"), ("tasks[2].generation", "invalid_value")],
        )

    def test_long_reasons_are_taken(self) -> None:
        """``error`` and ``reason`` of any length are taken, to be cut later."""
        for name, field in (
            ("task_failed", "error"),
            ("task_failed", "reason"),
            ("drain", "reason"),
        ):
            read(encode({"type": name, **FROM_AGENT[name], field: "x" * 50_000}))

    def test_presence_values(self) -> None:
        """Presence is one of four words."""
        identify = {"type": "identify", **FROM_AGENT["identify"]}
        for word in ("auto", "events", "diff", "none"):
            self.assertEqual(read(encode({**identify, "presence": word})).presence, word)
        error = self.assertRaises(ValidationFailed, read, encode({**identify, "presence": "all"}))
        told: Any = error.fields["errors"]
        self.assertEqual([(e["field"], e["error"]) for e in told], [("presence", "invalid_value")])

    def test_ref_is_repeated_in_errors(self) -> None:
        """The ``ref`` of a frame that is refused is in its error."""
        for sent in (
            {"type": "status", "ref": [1, "x"]},
            {"type": "nonsense", "ref": [1, "x"]},
            {"type": 5, "ref": [1, "x"]},
            {"ref": [1, "x"]},
        ):
            error = self.assertRaises(AgentComError, read, encode(sent))
            self.assertEqual(json.loads(encode(error.body()))["ref"], [1, "x"])


class ToAgentTests(SynchronousTestCase):
    """What the hub sends."""

    def test_forms(self) -> None:
        """Each frame has its type and fields; what is not there is left out."""
        for frame, expected in TO_AGENT:
            self.assertEqual(json.loads(encode(frame)), expected)
            again = msgspec.json.decode(encode(frame), type=type(frame))
            self.assertEqual(encode(again), encode(frame))

    def test_assignment(self) -> None:
        """``task_assign`` has the four fields of version 1 and the new ones."""
        frame = frames.TaskAssign(
            task_id="t",
            description="d",
            metadata=Raw(b'{"a":1}'),
            assigned_at=5,
            generation=2,
            attempt=1,
            priority="normal",
            submitted_by="boss",
            submitted_at=4,
        )
        self.assertEqual(
            json.loads(encode(frame)),
            {
                "type": "task_assign",
                "task_id": "t",
                "description": "d",
                "metadata": {"a": 1},
                "assigned_at": 5,
                "generation": 2,
                "attempt": 1,
                "priority": "normal",
                "submitted_by": "boss",
                "submitted_at": 4,
            },
        )

    def test_message(self) -> None:
        """A message names its sender ``from``; ``reply_to`` is there, null or not."""
        message = frames.Message(
            id="m",
            seq=1,
            sender="a",
            message_type="chat",
            payload=Raw(b"{}"),
            reply_to=None,
            timestamp=1,
        )
        sent = json.loads(encode(message))
        self.assertEqual((sent["from"], sent["reply_to"]), ("a", None))
        self.assertNotIn("sender", sent)

    def test_every_frame_has_its_own_type(self) -> None:
        """No two frames of the hub share a type."""
        every = {c for c in frames.ToAgent.__subclasses__() if c.__module__ == frames.__name__}
        tags = [cls.__struct_config__.tag for cls in every]
        self.assertEqual(len(set(tags)), len(tags))
        covered = {type(frame) for frame, _ in TO_AGENT}
        named = {frames.TaskAssign, frames.Message, frames.Identified}
        self.assertEqual(every, covered | named)


class BodyTests(SynchronousTestCase):
    """The bodies of the HTTP API."""

    def test_round_trip(self) -> None:
        """Every body is read with all its fields, and says the same when written again."""
        for struct, fields in (
            (
                PushTask,
                {"agent_id": "a", "description": "d", "metadata": {}, "idempotency_key": "k"},
            ),
            (CreateToken, {"agent_id": "a", "scopes": ["agent"], "expires_in_s": 5.5}),
            (Register, {"agent_id": "a"}),
            (PostMessage, {"payload": {}, "to": "b", "type": "t", "reply_to": "r"}),
            (CancelTask, {"reason": "r"}),
            (StartDrain, {"deadline_s": 1.5, "note": "n"}),
            (Disconnect, {"reason": "r", "retry_after_s": 1.5}),
            (SubmitTask, SUBMISSION),
            (RequeueTask, {"reason": "r"}),
            (
                ChooseDeadLetters,
                {
                    "task_ids": ["t"],
                    "agent_id": "a",
                    "priority": "low",
                    "submitted_by": "s",
                    "last_error": "e",
                    "all": True,
                },
            ),
        ):
            body = msgspec.json.decode(encode(fields), type=struct)
            self.assertEqual(json.loads(msgspec.json.encode(body)), fields)
            self.assertEqual(set(fields), set(struct.__struct_fields__))

    def test_description_limit(self) -> None:
        """A description has at most 10 000 characters."""
        for length, good in ((10_000, True), (10_001, False)):
            text = encode({"agent_id": "a", "description": "\u2603" * length})
            if good:
                msgspec.json.decode(text, type=PushTask)
            else:
                self.assertRaises(msgspec.ValidationError, msgspec.json.decode, text, type=PushTask)

"""Fields that are missing or wrong: PROTOCOL.md section 3, table and length limits."""

import json
from typing import Any

from agentcom.testing import FakeAgent
from tests.contract.helpers import Frame, HubTests


def told(frame: Frame) -> dict[str, str]:
    """From field to what is wrong with it."""
    return {error["field"]: error["error"] for error in frame["errors"]}


class ValidationTests(HubTests):
    """``validation_failed`` and its list."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_wrong(self, type: str, wrong: dict[str, str], **fields: Any) -> None:
        answers = self.agent.say(type, **fields)
        frame = self.assert_error(answers, "validation_failed", message_type=type)
        self.assertEqual(told(frame), wrong)
        for error in frame["errors"]:
            self.assertEqual(set(error), {"field", "error", "detail"})
            self.assertIsInstance(error["detail"], str)
        self.assertIsNone(self.agent.closed)
        self.agent = self.hub.agent("a")

    def test_required(self) -> None:
        """Each required field of each type is ``required``, null or absent."""
        task = {"task_id": "required"}
        channel = {"channel": "required"}
        for type, wrong in {
            "identify": {"agent_id": "required", "token": "required"},
            "status": {"status": "required"},
            "message": {"payload": "required"},
            "channel_subscribe": channel,
            "channel_unsubscribe": channel,
            "channel_publish": {"channel": "required", "payload": "required"},
            "channel_history": channel,
            "task_accepted": task,
            "task_progress": task,
            "task_complete": task,
            "task_failed": task,
            "task_recovering": task,
            "task_rejected": task,
            "state_report": task,
        }.items():
            self.assert_wrong(type, wrong)
            self.assert_wrong(type, wrong, **dict.fromkeys(wrong))

    def test_all_of_them(self) -> None:
        """All wrong fields are listed, not the first one only."""
        self.assert_wrong(
            "identify",
            {
                "agent_id": "wrong_type",
                "token": "required",
                "name": "too_long",
                "status": "wrong_type",
                "capabilities": "wrong_type",
                "slots": "invalid_value",
                "presence": "invalid_value",
            },
            agent_id=7,
            name="x" * 257,
            status=["idle"],
            capabilities="code",
            slots=-1,
            presence="sometimes",
        )

    def test_wrong_types(self) -> None:
        """A field of another JSON type is ``wrong_type``."""
        for type, field, value in (
            ("status", "status", 1),
            ("message", "payload", [1]),
            ("message", "payload", "text"),
            ("task_accepted", "task_id", {}),
            ("task_accepted", "generation", "1"),
            ("task_progress", "progress", "half"),
            ("task_progress", "message", 5),
            ("task_progress", "output", 5),
            ("task_progress", "cost", 5),
            ("task_complete", "tokens_used", "many"),
            ("task_failed", "error", {}),
            ("task_failed", "reason", []),
            ("task_failed", "retryable", "no"),
            ("task_failed", "retryable", 1),
            ("task_recovering", "last_status", 1),
            ("state_report", "status", 1),
            ("channel_history", "limit", "all"),
            ("channel_history", "since", "ever"),
        ):
            good = {"status": "s"} if type == "status" else {"payload": {}}
            good = {"task_id": "t"} if type.startswith(("task_", "state_")) else good
            good = {"channel": "c"} if type.startswith("channel_") else good
            self.assert_wrong(type, {field: "wrong_type"}, **{**good, field: value})

    def test_booleans_are_no_integers(self) -> None:
        """A boolean is not an integer, nor a number."""
        for type, field in (
            ("task_accepted", "generation"),
            ("task_complete", "tokens_used"),
            ("task_progress", "progress"),
        ):
            for value in (True, False):
                self.assert_wrong(type, {field: "wrong_type"}, task_id="t", **{field: value})
        identify = {"agent_id": "a", "token": self.hub.token("a")}
        self.assert_wrong("identify", {"slots": "wrong_type"}, slots=True, **identify)

    def test_fractions_are_no_integers(self) -> None:
        """A fraction is not an integer."""
        self.assert_wrong(
            "task_accepted", {"generation": "wrong_type"}, task_id="t", generation=1.5
        )

    def test_integers_beyond_2_53(self) -> None:
        """Integers beyond 2**53 are refused, at any depth of a field."""
        for value in (2**53 + 1, -(2**53) - 1, 2**64, 10**30, 10**400):
            self.assert_wrong(
                "task_complete", {"result": "invalid_value"}, task_id="t", result={"a": [value]}
            )
            self.assert_wrong(
                "task_complete", {"tokens_used": "invalid_value"}, task_id="t", tokens_used=value
            )
            self.assert_wrong("message", {"payload": "invalid_value"}, payload={"x": value})

    def test_integers_up_to_2_53(self) -> None:
        """Integers up to 2**53 come back unchanged."""
        task_id = self.accepted(self.agent)
        result = {"a": [2**53, -(2**53)], "b": "99999999999999999999"}
        self.agent.say("task_complete", task_id=task_id, result=result, tokens_used=2**53)
        self.assert_task(task_id, result=result, tokens_used=2**53)

    def test_numbers_no_float_holds(self) -> None:
        """A number out of range of any float is refused by an answer."""
        text = b'{"type":"task_progress","task_id":"t","progress":1e999}'
        self.assertEqual([a["type"] for a in self.agent.say_text(text)], ["error"])
        self.assertIsNone(self.agent.closed)


class NullTests(HubTests):
    """Optional fields may be null; unknown ones are ignored."""

    def test_null_in_identify(self) -> None:
        """Every optional field of ``identify`` may be null, and means its default."""
        agent = self.hub.connect()
        optional = ("name", "status", "capabilities", "slots", "labels", "tasks", "presence")
        answers = agent.say(
            "identify", agent_id="a", token=self.hub.token("a"), **dict.fromkeys(optional)
        )
        self.assert_answer(answers, "identified", agent_id="a")
        info = agent.say("list_agents")[0]["agents"][0]
        self.assert_fields(info, name="a", status="connected", capabilities=[], slots=1)

    def test_null_in_reports(self) -> None:
        """Every optional field of a report may be null."""
        agent = self.hub.agent("a")
        for type, names in {
            "task_accepted": ["generation"],
            "task_progress": ["generation", "progress", "message", "output", "cost"],
            "task_recovering": ["generation", "last_status"],
            "state_report": ["generation", "status"],
            "task_complete": ["generation", "result", "tokens_used"],
        }.items():
            task_id = self.hub.push("a")
            answers = agent.say(type, task_id=task_id, **dict.fromkeys(names))
            self.assertNotIn("error", [a["type"] for a in answers], answers)
        task_id = self.hub.push("a")
        nulls = dict.fromkeys(["generation", "error", "reason", "retryable"])
        self.assert_answer(
            agent.say("task_failed", task_id=task_id, **nulls), "task_ack", status="failed"
        )
        task_id = self.hub.push("a")
        self.assert_answer(
            agent.say("task_rejected", task_id=task_id, generation=None, reason=None), "task_ack"
        )

    def test_null_elsewhere(self) -> None:
        """Optional fields of messages and of ``drain`` may be null."""
        agent = self.hub.agent("a")
        nulls = dict.fromkeys(["to", "message_type", "reply_to"])
        answers = agent.say("message", payload={}, **nulls)
        self.assertEqual({a["type"] for a in answers}, {"message", "message_sent"})
        self.assert_error(
            agent.say("channel_history", channel="c", limit=None, since=None), "channel_not_found"
        )
        for type in ("drain", "agent_restarting"):
            self.assert_answer(agent.say(type, reason=None), "draining")

    def test_null_result(self) -> None:
        """A null result is no result."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.say("task_complete", task_id=task_id, result=None)
        self.assert_task(task_id, status="completed", result=None)

    def test_unknown_fields(self) -> None:
        """Unknown fields are ignored, ``client_type`` and ``protocol_version`` among them."""
        extra = {"client_type": "x", "protocol_version": 1, "anything": {"a": [None]}, "": 0}
        agent = self.hub.agent("a", **extra)
        self.assert_answer(agent.say("ping", **extra), "pong")
        task_id = self.hub.push("a")
        self.assert_answer(agent.say("task_accepted", task_id=task_id, **extra), "task_ack")

    def test_unknown_fields_of_any_type(self) -> None:
        """A field that another frame has is ignored where it is not known."""
        agent = self.hub.agent("a")
        self.assert_answer(agent.say("ping", task_id=7, payload=[], slots="x"), "pong")


class LengthTests(HubTests):
    """Length limits, in characters."""

    wide = "\U0001f600"

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_too_long(self, agent: FakeAgent, field: str, type: str, **fields: Any) -> None:
        frame = self.assert_error(agent.say(type, **fields), "validation_failed")
        self.assertEqual(told(frame), {field: "too_long"})

    def test_identify(self) -> None:
        """agent_id 128, name 256, status 256, token 256: one more is ``too_long``."""
        most = {"agent_id": 128, "name": 256, "status": 256, "token": 256}
        good = {"agent_id": "a", "token": self.hub.token("a")}
        for field, length in most.items():
            agent = self.hub.connect()
            fields = {**good, field: self.wide * (length + 1)}
            self.assert_too_long(agent, field, "identify", **fields)
            answers = agent.say("identify", **{**good, field: self.wide * length})
            self.assertNotEqual(answers[0].get("error"), "validation_failed", field)

    def test_agent_id_of_128(self) -> None:
        """An agent id of 128 characters can identify."""
        self.hub.agent("x" * 128)

    def test_status(self) -> None:
        """A status has at most 256 characters."""
        self.assert_too_long(self.agent, "status", "status", status=self.wide * 257)
        answers = self.agent.say("status", status=self.wide * 256)
        self.assertEqual(answers[0]["type"], "status_updated")

    def test_channel(self) -> None:
        """A channel name has at most 64 characters, wherever it is said."""
        for type in (
            "channel_subscribe",
            "channel_unsubscribe",
            "channel_publish",
            "channel_history",
        ):
            self.assert_too_long(self.agent, "channel", type, channel=self.wide * 65, payload={})
            self.assert_error(
                self.agent.say(type, channel=self.wide * 64, payload={}), "channel_not_found"
            )

    def test_description(self) -> None:
        """A description has at most 10 000 characters."""
        body = {"agent_id": "a", "description": self.wide * 10_001}
        answer = self.hub.request("POST", "/api/admin/push-task", body)
        self.assertEqual(answer.status, 422)
        self.assertEqual(told(answer.body), {"description": "too_long"})
        self.hub.push("a", self.wide * 10_000)
        self.assertEqual(self.agent.of("task_assign")[0]["description"], self.wide * 10_000)

    def test_task(self) -> None:
        """One task is at most 512 KiB encoded."""
        body = {"agent_id": "a", "description": "x", "metadata": {"x": "x" * 512 * 1024}}
        answer = self.hub.request("POST", "/api/admin/push-task", body)
        self.assertEqual((answer.status, answer.body["error"]), (422, "validation_failed"))
        self.hub.push("a", metadata={"x": "x" * 510 * 1024})

    def test_error_is_cut(self) -> None:
        """``error`` over 2 000 characters is cut, not refused."""
        task_id = self.accepted(self.agent)
        answers = self.agent.say("task_failed", task_id=task_id, error=self.wide * 2_001)
        self.assert_answer(answers, "task_ack", status="failed")
        self.assert_task(task_id, last_error=self.wide * 2_000)

    def test_reason_is_cut(self) -> None:
        """``reason`` over 2 000 characters is cut, not refused, wherever it is said."""
        for type in ("task_failed", "task_rejected"):
            task_id = self.hub.push("a")
            answers = self.agent.say(type, task_id=task_id, reason="r" * 100_000)
            self.assert_answer(answers, "task_ack")
            path = f"/api/tasks/{task_id}/events"
            events = self.hub.request("GET", path).body["events"]
            reasons = [e["payload"]["reason"] for e in events if e["event"] == type]
            self.assertEqual(reasons, ["r" * 2_000])
        self.assert_answer(self.agent.say("drain", reason="r" * 100_000), "draining")

    def test_exactly_2000(self) -> None:
        """An error of 2 000 characters is kept whole."""
        task_id = self.accepted(self.agent)
        self.agent.say("task_failed", task_id=task_id, error="e" * 1_999 + "!")
        self.assert_task(task_id, last_error="e" * 1_999 + "!")

    def test_what_has_no_limit(self) -> None:
        """Result, output and message text may fill the frame."""
        task_id = self.accepted(self.agent)
        result = "r" * 900_000
        frame = {"type": "task_complete", "task_id": task_id, "result": result}
        self.assert_answer(self.agent.say_text(json.dumps(frame).encode()), "task_ack")
        self.assert_task(task_id, result=result)

"""What a task may ask for: its bounds, and the values of ``core`` that it becomes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.matching import NOTHING, LabelRule, Needs
from agentcom.core.retry import Backoff
from agentcom.core.state import USUAL, OnDisconnect, Terms
from agentcom.errors import ValidationFailed
from agentcom.wire.codec import decode, decode_quickly, encode
from agentcom.wire.tasks import (
    BATCH_MOST,
    MOST_S,
    ChooseDeadLetters,
    SubmitBatch,
    SubmitTask,
    labels_as_asked,
    needs_of,
    terms_of,
)

TASK = msgspec.json.Decoder(SubmitTask)
BATCH = msgspec.json.Decoder(SubmitBatch)
CHOICE = msgspec.json.Decoder(ChooseDeadLetters)

Told = list[tuple[str, str]]


def asked(**fields: Any) -> SubmitTask:
    """A submission, as it comes over the wire."""
    return decode(encode({"description": "d", **fields}), TASK)


class WireCase(SynchronousTestCase):
    def wrong(self, body: Any, decoder: Any = TASK) -> Told:
        """Field and code of each error."""
        data = body if isinstance(body, bytes) else encode(body)
        self.assertIsNone(decode_quickly(data, decoder))
        error = self.assertRaises(ValidationFailed, decode, data, decoder)
        told: Any = error.fields["errors"]
        for one in told:
            self.assertEqual(set(one), {"field", "error", "detail"})
        return [(one["field"], one["error"]) for one in told]

    def wrong_task(self, **fields: Any) -> Told:
        return self.wrong({"description": "d", **fields})


class NeedsTests(WireCase):
    """Capabilities and labels."""

    def test_nothing(self) -> None:
        """Who asks for nothing gets the one ``NOTHING``, whichever way it says so."""
        for fields in (
            {},
            {"capabilities": None, "needed_capabilities": None, "labels": None},
            {"capabilities": [], "needed_capabilities": [], "labels": {}},
        ):
            self.assertIs(needs_of(asked(**fields)), NOTHING, fields)

    def test_both_names_of_capabilities_are_one_set(self) -> None:
        """``capabilities`` and ``needed_capabilities`` count together, each name once."""
        task = asked(capabilities=["b", "a", "b"], needed_capabilities=["c", "a"])
        self.assertEqual(needs_of(task).capabilities, ("a", "b", "c"))
        self.assertEqual(needs_of(asked(needed_capabilities=["x"])).capabilities, ("x",))

    def test_rules(self) -> None:
        """A plain value means ``=``; each test is a rule of its own."""
        task = asked(
            labels={
                "zone": "eu",
                "gpu": {"!=": "old", "in": ["b", "a", "b"], "exists": True},
                "spot": {"exists": False},
                "disk": {"=": ""},
            }
        )
        self.assertEqual(
            set(needs_of(task).labels),
            {
                LabelRule("zone", "=", ("eu",)),
                LabelRule("gpu", "!=", ("old",)),
                LabelRule("gpu", "in", ("a", "b")),
                LabelRule("gpu", "exists"),
                LabelRule("spot", "absent"),
                LabelRule("disk", "=", ("",)),
            },
        )

    def test_equal_needs_are_equal(self) -> None:
        """The same wish in another order, or said twice, is the same needs: one group."""
        first = asked(capabilities=["a", "b"], labels={"x": {"in": ["1", "2"]}, "y": "z"})
        second = asked(
            capabilities=["b"],
            needed_capabilities=["a"],
            labels={"y": {"=": "z"}, "x": {"in": ["2", "1", "1"]}},
        )
        self.assertEqual(needs_of(first), needs_of(second))
        self.assertEqual(hash(needs_of(first)), hash(needs_of(second)))

    def test_labels_as_asked(self) -> None:
        """Labels are shown in the form in which they are asked for."""
        labels = {
            "disk": {"exists": False},
            "gpu": {"=": "a", "!=": "old", "in": ["a", "b"], "exists": True},
            "spot": {"!=": "yes"},
            "zone": "eu",
        }
        self.assertEqual(labels_as_asked(needs_of(asked(labels=labels))), labels)
        self.assertEqual(labels_as_asked(needs_of(asked(labels={"a": {"=": "b"}}))), {"a": "b"})
        self.assertEqual(labels_as_asked(NOTHING), {})

    def test_bounds(self) -> None:
        """What is no label test, or too much of it, is refused by its field."""
        for labels, code in (
            ({"zone": 5}, "wrong_type"),
            ({"zone": None}, "wrong_type"),
            ({"zone": ["eu"]}, "wrong_type"),
            ({"zone": {}}, "invalid_value"),
            ({"zone": {"=": None, "exists": None}}, "invalid_value"),
            ({"zone": {"==": "eu"}}, "invalid_value"),
            ({"zone": {"=": "eu", "like": "e"}}, "invalid_value"),
            ({"zone": {"=": 5}}, "wrong_type"),
            ({"zone": {"in": "eu"}}, "wrong_type"),
            ({"zone": {"in": []}}, "invalid_value"),
            ({"zone": {"in": ["x"] * 65}}, "too_long"),
            ({"zone": {"exists": 1}}, "wrong_type"),
            ({"zone": {"exists": "true"}}, "wrong_type"),
            ({"": "eu"}, "invalid_value"),
            ({"zone": "x" * 257}, "too_long"),
            ({"z" * 257: "eu"}, "too_long"),
            ({f"zone-{n}": "eu" for n in range(65)}, "too_long"),
            (["zone"], "wrong_type"),
        ):
            self.assertEqual(self.wrong_task(labels=labels), [("labels", code)], labels)
        for capabilities, code in (
            ("a", "wrong_type"),
            ([1], "wrong_type"),
            ([""], "invalid_value"),
            (["x" * 257], "too_long"),
            (["x"] * 65, "too_long"),
        ):
            for name in ("capabilities", "needed_capabilities"):
                self.assertEqual(self.wrong_task(**{name: capabilities}), [(name, code)])
        asked(labels={"z" * 256: "x" * 256, **{f"zone-{n}": "" for n in range(63)}})
        asked(capabilities=["x" * 256] * 64)

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(
        st.dictionaries(
            st.text(min_size=1, max_size=3),
            st.text(max_size=3)
            | st.fixed_dictionaries(
                {},
                optional={
                    "=": st.text(max_size=3),
                    "!=": st.text(max_size=3),
                    "in": st.lists(st.text(max_size=3), min_size=1, max_size=4),
                    "exists": st.booleans(),
                },
            ).filter(bool),
            max_size=5,
        )
    )
    def test_there_and_back(self, labels: dict[str, Any]) -> None:
        """Whatever labels are asked for, what is shown asks for the same (Hypothesis)."""
        wanted = needs_of(asked(labels=labels))
        shown = json.loads(encode(labels_as_asked(wanted)))
        self.assertEqual(needs_of(asked(labels=shown)), wanted)
        self.assertEqual(set(shown), set(labels))


class TermsTests(WireCase):
    """Backoff and limits of time."""

    def test_usual(self) -> None:
        """Who asks for nothing else, or for what is usual, gets the one ``USUAL``."""
        for fields in (
            {},
            {"priority": "urgent", "max_attempts": 9, "hold_s": 5, "agent_id": "w"},
            {"backoff": None},
            {"backoff": {}},
            {"backoff": {"initial_s": 1, "factor": 2, "max_s": 60}},
            {"accept_timeout_s": 60},
            {"on_disconnect": "requeue"},
        ):
            self.assertIs(terms_of(asked(**fields)), USUAL, fields)

    def test_each(self) -> None:
        """Everything that is asked for is in the terms, the rest is as usual."""
        for fields, terms in (
            ({"not_before": 5}, Terms(not_before=5)),
            ({"deadline": 2**53}, Terms(deadline=2**53)),
            ({"queue_timeout_s": 2}, Terms(queue_timeout_s=2.0)),
            ({"accept_timeout_s": 0.5}, Terms(accept_timeout_s=0.5)),
            ({"attempt_timeout_s": 3.5}, Terms(attempt_timeout_s=3.5)),
            ({"on_disconnect": "fail"}, Terms(on_disconnect=OnDisconnect.FAIL)),
            ({"on_disconnect": "keep"}, Terms(on_disconnect=OnDisconnect.KEEP)),
            ({"backoff": {"factor": 3}}, Terms(backoff=Backoff(factor=3.0))),
            ({"backoff": {"initial_s": 0}}, Terms(backoff=Backoff(initial_s=0.0))),
            ({"backoff": {"max_s": None, "factor": 1}}, Terms(backoff=Backoff(factor=1.0))),
            ({"backoff": {"max_s": 5}}, Terms(backoff=Backoff(max_s=5.0))),
        ):
            self.assertEqual(terms_of(asked(**fields)), terms, fields)

    def test_bounds(self) -> None:
        """Times and numbers out of bounds are refused by their field."""
        for fields, told in (
            ({"priority": "huge"}, ("priority", "invalid_value")),
            ({"priority": 1}, ("priority", "wrong_type")),
            ({"max_attempts": 0}, ("max_attempts", "invalid_value")),
            ({"max_attempts": 1_001}, ("max_attempts", "invalid_value")),
            ({"max_attempts": 1.5}, ("max_attempts", "wrong_type")),
            ({"not_before": -1}, ("not_before", "invalid_value")),
            ({"not_before": 1.5}, ("not_before", "wrong_type")),
            ({"deadline": 2**53 + 1}, ("deadline", "invalid_value")),
            ({"deadline": "tomorrow"}, ("deadline", "wrong_type")),
            ({"queue_timeout_s": 0}, ("queue_timeout_s", "invalid_value")),
            ({"accept_timeout_s": -1}, ("accept_timeout_s", "invalid_value")),
            ({"attempt_timeout_s": True}, ("attempt_timeout_s", "wrong_type")),
            ({"attempt_timeout_s": MOST_S * 1.1}, ("attempt_timeout_s", "invalid_value")),
            ({"hold_s": -0.1}, ("hold_s", "invalid_value")),
            ({"on_disconnect": "drop"}, ("on_disconnect", "invalid_value")),
            ({"metadata": []}, ("metadata", "wrong_type")),
            ({"metadata": {"n": 2**53 + 1}}, ("metadata", "invalid_value")),
            ({"idempotency_key": ""}, ("idempotency_key", "invalid_value")),
            ({"agent_id": ""}, ("agent_id", "invalid_value")),
            ({"backoff": 5}, ("backoff", "wrong_type")),
            ({"backoff": {"factor": 0.5}}, ("backoff.factor", "invalid_value")),
            ({"backoff": {"initial_s": -1}}, ("backoff.initial_s", "invalid_value")),
            ({"backoff": {"max_s": "60"}}, ("backoff.max_s", "wrong_type")),
            ({"backoff": {"jitter": 1}}, ("backoff", "invalid_value")),
        ):
            self.assertEqual(self.wrong_task(**fields), [told], fields)
        self.assertEqual(self.wrong({}), [("description", "required")])
        asked(hold_s=0, backoff={"initial_s": 0, "factor": 1, "max_s": 0}, max_attempts=1_000)

    def test_all_that_is_wrong(self) -> None:
        """All wrong fields are told at once, those of ``backoff`` too."""
        self.assertEqual(
            self.wrong({"priority": "x", "backoff": {"factor": 0, "max_s": -1}, "deadline": 0.5}),
            [
                ("description", "required"),
                ("priority", "invalid_value"),
                ("backoff.factor", "invalid_value"),
                ("backoff.max_s", "invalid_value"),
                ("deadline", "wrong_type"),
            ],
        )

    def test_unknown_fields(self) -> None:
        """A field that nobody knows is ignored beside the known ones."""
        self.assertEqual(asked(client_type="x", protocol_version=2), asked())


class BatchTests(WireCase):
    """Many at once."""

    def test_paths(self) -> None:
        """Each error says which task of the batch it is in."""
        good: dict[str, Any] = {"description": "d"}
        self.assertEqual(
            self.wrong(
                {
                    "tasks": [
                        good,
                        {},
                        5,
                        {**good, "priority": "x", "backoff": {"factor": 0}},
                        {**good, "metadata": {"n": 2**60}},
                        {**good, "labels": {"a": {}}},
                    ]
                },
                BATCH,
            ),
            [
                ("tasks[1].description", "required"),
                ("tasks[2]", "wrong_type"),
                ("tasks[3].priority", "invalid_value"),
                ("tasks[3].backoff.factor", "invalid_value"),
                ("tasks[4].metadata", "invalid_value"),
                ("tasks[5].labels", "invalid_value"),
            ],
        )

    def test_the_list_itself(self) -> None:
        """Without a list, with an empty one or one too long, ``tasks`` is what is wrong."""
        for body, code in (
            ({}, "required"),
            ({"tasks": None}, "required"),
            ({"tasks": {}}, "wrong_type"),
            ({"tasks": []}, "invalid_value"),
            ({"tasks": [{"description": "d"}] * (BATCH_MOST + 1)}, "too_long"),
            ({"tasks": [5] * (BATCH_MOST + 1)}, "too_long"),
        ):
            self.assertEqual(self.wrong(body, BATCH), [("tasks", code)])
        most = decode(encode({"tasks": [{"description": "d"}] * BATCH_MOST}), BATCH)
        self.assertEqual(len(most.tasks), BATCH_MOST)

    def test_at_most_50_are_told(self) -> None:
        """A batch of mistakes gets 50 of them told, and a short answer."""
        told = self.wrong({"tasks": [{"priority": 5, "deadline": -1}] * BATCH_MOST}, BATCH)
        self.assertEqual(len(told), 50)
        self.assertEqual(told[-1], ("tasks[16].priority", "wrong_type"))

    def test_over_careful_look(self) -> None:
        """What only looks suspicious, and large numbers that nobody keeps, are taken."""
        text = '": 99999999999999999999, "'
        data = encode({"tasks": [{"description": text, "unknown": 2**60}], "x": 2**60})
        self.assertIsNone(decode_quickly(data, BATCH))
        self.assertEqual(decode(data, BATCH).tasks[0].description, text)


class ChoiceTests(WireCase):
    """Which dead letters."""

    def test_bounds(self) -> None:
        """Ids, agents and texts have bounds; an empty list of ids is no choice."""
        for body, told in (
            ({"task_ids": []}, ("task_ids", "invalid_value")),
            ({"task_ids": ["t"] * 1_001}, ("task_ids", "too_long")),
            ({"task_ids": [5]}, ("task_ids", "wrong_type")),
            ({"priority": "huge"}, ("priority", "invalid_value")),
            ({"all": 1}, ("all", "wrong_type")),
            ({"last_error": "x" * 2_001}, ("last_error", "too_long")),
        ):
            self.assertEqual(self.wrong(body, CHOICE), [told])


class IdentityTests(SynchronousTestCase):
    """What is compared by identity elsewhere."""

    def test_needs_without_anything(self) -> None:
        """Needs that are empty are ``NOTHING``, and nothing else equals it."""
        self.assertEqual(needs_of(asked()), Needs())
        self.assertNotEqual(needs_of(asked(capabilities=["a"])), NOTHING)

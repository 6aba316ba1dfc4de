"""What holds for all replies: ``ref``, order, and what may overtake."""

from typing import Any

from agentcom.testing import MemoryHub
from tests.contract.helpers import HubTests, SlowDisk, queue


class RefTests(HubTests):
    """A ``ref`` is repeated in the reply."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def assert_ref(self, reply: str, type: str, **fields: Any) -> None:
        for ref in ("r-1", 7, {"a": [None, "x"]}, ""):
            answers = self.agent.say(type, ref=ref, **fields)
            self.assertEqual([a["ref"] for a in answers if a["type"] == reply], [ref])

    def test_each_reply(self) -> None:
        """Each type that has a reply repeats the ``ref`` in it."""
        identify = {"agent_id": "a", "token": self.hub.token("a")}
        self.assert_ref("identified", "identify", **identify)
        self.assert_ref("pong", "ping")
        self.assert_ref("status_updated", "status", status="s")
        self.assert_ref("agents", "list_agents")
        self.assert_ref("message_sent", "message", payload={}, to="a")
        self.assert_ref("channels", "list_channels")
        self.assert_ref("draining", "drain")
        self.assert_ref("draining", "agent_restarting")

    def test_each_error(self) -> None:
        """Each error that answers a frame with a ``ref`` repeats it."""
        self.assert_ref("error", "no_such_thing")
        self.agent = self.hub.agent("a")
        self.assert_ref("error", "status", status=5)
        self.agent = self.hub.agent("a")
        for type in ("channel_subscribe", "channel_unsubscribe", "channel_history"):
            self.assert_ref("error", type, channel="c")
        self.assert_ref("error", "channel_publish", channel="c", payload={})
        other = {"agent_id": "b", "token": self.hub.token("b")}
        self.assert_ref("error", "identify", **other)
        self.agent = self.hub.connect()
        self.assert_ref("error", "ping")
        self.assert_ref("error", "identify", agent_id="a", token="x")

    def test_reports_of_unknown_tasks(self) -> None:
        """Answers to reports of unknown tasks repeat the ``ref``."""
        for type, reply in (
            ("task_accepted", "task_ack"),
            ("task_complete", "task_ack"),
            ("task_failed", "task_ack"),
            ("task_rejected", "task_ack"),
            ("task_recovering", "task_reassign"),
            ("state_report", "state_report_ack"),
        ):
            self.assert_ref(reply, type, task_id="task-0000000000000000")

    def test_reports(self) -> None:
        """Answers to reports that count, and to repeated ones, repeat the ``ref``."""
        for type, reply in (
            ("task_accepted", "task_ack"),
            ("task_complete", "task_ack"),
            ("task_failed", "task_ack"),
            ("task_recovering", "task_continue"),
            ("state_report", "state_report_ack"),
        ):
            self.assert_ref(reply, type, task_id=self.hub.push("a"))
        task_id = self.hub.push("a")
        answers = self.agent.say("task_rejected", task_id=task_id, ref="r")
        self.assert_answer(answers, "task_ack", ref="r")
        task_id = self.hub.push("a")
        answers = self.agent.say("task_recovering", task_id=task_id, last_status="waking", ref="r")
        self.assert_answer(answers, "task_reassign", ref="r")

    def test_refused_reports(self) -> None:
        """Errors of refused reports repeat the ``ref``."""
        task_id = self.hub.push("a")
        self.assert_ref("error", "task_complete", task_id=task_id, generation=9)
        self.agent.say("task_complete", task_id=task_id)
        self.assert_ref("error", "task_failed", task_id=task_id)

    def test_none(self) -> None:
        """Without a ``ref`` there is none in the reply, nor in what was not asked for."""
        self.assertNotIn("ref", self.agent.say("ping")[0])
        answers = self.agent.say("status", status="s", ref="r")
        self.assertNotIn("ref", next(a for a in answers if a["type"] == "status_changed"))
        self.assertNotIn("ref", self.agent.say("message", payload={}, to="a", ref="r")[0])
        self.assertEqual(
            [a.get("ref") for a in self.agent.say("message", payload={}, to="a", ref="r")],
            [None, "r"],
        )


class OrderTests(HubTests):
    """Acknowledgements keep order; ``pong``, errors and reads overtake them."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.agent = self.hub.agent("a")

    def test_order_per_task(self) -> None:
        """Acknowledgements of one task come in the order of its reports."""
        task_id = self.hub.push("a")
        queue(self.agent, "task_accepted", task_id=task_id, ref=1)
        queue(self.agent, "task_progress", task_id=task_id, progress=1)
        queue(self.agent, "task_accepted", task_id=task_id, ref=2)
        queue(self.agent, "task_complete", task_id=task_id, ref=3)
        queue(self.agent, "task_complete", task_id=task_id, ref=4)
        self.hub.settle()
        self.assertEqual([a["ref"] for a in self.agent.of("task_ack")], [1, 2, 3, 4])

    def test_repetition_does_not_overtake(self) -> None:
        """The answer to a repeated report waits for the commit of the first."""
        task_id = self.accepted(self.agent)
        self.disk.hold()
        self.assertEqual(self.agent.say("task_complete", task_id=task_id, ref=1), [])
        self.assertEqual(self.agent.say("task_complete", task_id=task_id, ref=2), [])
        self.disk.release()
        self.hub.settle()
        self.assertEqual([a.get("ref") for a in self.agent.of("task_ack")], [None, 1, 2])

    def test_pong_overtakes(self) -> None:
        """``pong`` leaves at once while an acknowledgement waits for the disk."""
        task_id = self.hub.push("a")
        self.disk.hold()
        self.assertEqual(self.agent.say("task_accepted", task_id=task_id), [])
        self.assert_answer(self.agent.say("ping"), "pong")
        self.disk.release()
        self.hub.settle()
        self.assertEqual(self.agent.frames[-1]["type"], "task_ack")

    def test_errors_overtake(self) -> None:
        """So do errors of frames."""
        task_id = self.hub.push("a")
        self.disk.hold()
        self.agent.say("task_accepted", task_id=task_id)
        self.assert_error(self.agent.say_text(b"hello"), "invalid_json")

    def test_refusals_rest_on_the_disk(self) -> None:
        """A report is refused only when what refuses it is on disk."""
        task_id = self.hub.push("a")
        self.disk.hold()
        self.agent.say("task_accepted", task_id=task_id)
        self.assertEqual(self.agent.say("task_complete", task_id=task_id, generation=5), [])
        self.disk.release()
        self.hub.settle()
        self.assertEqual(self.agent.frames[-1]["error"], "stale_generation")

    def test_reads_overtake(self) -> None:
        """So do reads."""
        task_id = self.hub.push("a")
        self.disk.hold()
        self.agent.say("task_accepted", task_id=task_id)
        self.assert_answer(self.agent.say("list_agents"), "agents")
        self.assert_answer(self.agent.say("list_channels"), "channels")

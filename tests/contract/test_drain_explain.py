"""Why a task waits names who drains, and why; so does what is said of one that runs."""

from __future__ import annotations

from tests.contract.draining import HUB, DrainTests
from tests.contract.helpers import Frame


class ExplainTests(DrainTests):
    """``GET /api/tasks/:id/explain`` while somebody drains."""

    def rules(self, told: Frame) -> dict[str, Frame]:
        """The reasons of the task as a whole, by their rules."""
        return {reason["rule"]: reason for reason in told["reasons"]}

    def test_the_only_agent(self) -> None:
        """The only agent that fits is drained: the summary says by whom and why."""
        self.hub.agent("a")
        drain = self.drain("a", note="new kernel", deadline_s=60)
        told = self.explain(self.submit())
        self.assertIn("drained by admin: new kernel", told["summary"])
        self.assertEqual(
            told["agents"],
            [
                {
                    "agent_id": "a",
                    "rules": [
                        {
                            "rule": "draining",
                            "detail": "it is drained by admin: new kernel",
                            "by": "admin",
                            "note": "new kernel",
                            "deadline": drain["deadline"],
                        }
                    ],
                }
            ],
        )

    def test_one_of_several(self) -> None:
        """Of several agents that fit, the drained one is named among the reasons."""
        self.hub.agent("a")
        self.hub.agent("b")
        self.drain("a", note="new kernel")
        self.submit()
        rules = self.rules(self.explain(self.submit()))
        self.assertIn(
            "a, which fits it, is drained by admin: new kernel", rules["draining"]["detail"]
        )
        self.assert_fields(rules["draining"], agent_id="a", by="admin", note="new kernel")

    def test_one_that_does_not_fit(self) -> None:
        """A drained agent that does not fit is no reason."""
        self.hub.agent("a", labels={"os": "mac"})
        self.hub.agent("b", labels={"os": "linux"})
        self.hub.agent("c", labels={"os": "linux"})
        self.drain("a")
        for _ in range(2):
            self.submit()
        told = self.explain(self.submit(labels={"os": "linux"}))
        self.assertNotIn("draining", self.rules(told))

    def test_its_own_word(self) -> None:
        """An agent that asked for it is told apart from one that an operator drains."""
        agent = self.hub.agent("a")
        agent.say("drain", reason="updating myself")
        told = self.explain(self.submit())
        self.assertIn("it asked for no more work: updating myself", told["summary"])
        self.assert_fields(self.push("a").body, error="agent_draining", note="updating myself")

    def test_pinned_to_one_that_is_away(self) -> None:
        """A task for one agent that is away, and drained, says both."""
        self.hub.agent("a").vanish()
        self.drain("a", note="new kernel")
        rule = self.rules(self.explain(self.submit(agent_id="a")))["pinned_away"]
        self.assertIn("a is away, and drained by admin: new kernel", rule["detail"])
        self.assertEqual(rule["drain"], {"by": "admin", "note": "new kernel", "deadline": None})

    def test_whole_hub(self) -> None:
        """A drained hub is the first reason."""
        self.hub.agent("a")
        told = self.post(HUB, {"note": "upgrade", "deadline_s": 5})
        explained = self.explain(self.submit())
        first = explained["reasons"][0]
        self.assertEqual(
            first,
            {
                "rule": "hub_draining",
                "detail": "the hub assigns nothing: it is drained by admin: upgrade",
                "by": "admin",
                "note": "upgrade",
                "deadline": told["deadline"],
            },
        )
        self.assertIn("drained by admin: upgrade", explained["summary"])

    def test_long_note(self) -> None:
        """A long note is cut in sentences, and whole beside them."""
        self.hub.agent("a")
        note = "x" * 2_000
        self.drain("a", note=note)
        (rule,) = self.explain(self.submit())["agents"][0]["rules"]
        self.assertLess(len(rule["detail"]), 300)
        self.assertEqual(rule["note"], note)

    def test_running(self) -> None:
        """A task that runs on a drained agent says until when it may."""
        self.hub.agent("a")
        task_id = self.submit()
        self.drain("a", note="new kernel")
        told = self.explain(task_id)
        self.assertIn("a is drained by admin: new kernel.", told["summary"])
        self.assertNotIn("drain_ends_at", told)
        drain = self.drain("a", deadline_s=60)
        self.hub.advance(10)
        told = self.explain(task_id, drain_ends_at=drain["deadline"])
        self.assertIn("in 50.0 s goes back to the queue", told["summary"])

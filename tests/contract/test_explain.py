"""``GET /api/tasks/:id/explain`` of tasks that wait: the very rules, and words for people.

Each test builds one situation and asserts all reasons of the task and all
rules of each agent, so that a rule too many fails as one too few does.
"""

from __future__ import annotations

from typing import Any

from agentcom.testing import FakeAgent
from tests.contract.helpers import Frame
from tests.contract.queueing import QueueTests, later


class ExplainTests(QueueTests):
    """What the tests of this module share."""

    def assert_waits(self, task_id: str, reasons: list[str], **rules: list[str]) -> Frame:
        """The task waits for these reasons; each connected agent has these rules."""
        told = self.explain(task_id, status="queued", waiting=True)
        self.assertEqual([reason["rule"] for reason in told["reasons"]], reasons)
        found = {a["agent_id"]: [r["rule"] for r in a["rules"]] for a in told["agents"]}
        self.assertEqual(found, rules)
        return told

    def assert_says(self, told: Frame, *sentences: str) -> None:
        """The summary, and then what is said of the agent told of first."""
        rules = told["agents"][0]["rules"] if told["agents"] else []
        self.assertEqual([told["summary"], *(rule["detail"] for rule in rules)], [*sentences])

    def busy(self, agent_id: str, **fields: Any) -> FakeAgent:
        """An agent that works, with all its slots taken."""
        agent = self.hub.agent(agent_id, **fields)
        for _ in range(fields.get("slots", 1)):
            task_id = self.submit(agent_id=agent_id)
            agent.say("task_accepted", task_id=task_id)
        return agent


class AlikeTests(ExplainTests):
    """Agents of the same kind, and in different states."""

    def test_each_counts(self) -> None:
        """Agents that have the same rules are told of and counted one by one."""
        for name in ("a", "b", "c"):
            self.hub.agent(name)
        self.hub.agent("d", labels={"os": "linux"})
        self.hub.agent("e").say("drain")
        self.busy("f")
        self.hub.agent("g", slots=0)
        told = self.assert_waits(
            self.submit(capabilities=["gpu"]),
            ["no_agent_fits"],
            **{name: ["capability"] for name in "abcd"},
            e=["capability", "draining"],
            f=["capability", "slots"],
            g=["capability", "no_slots"],
        )
        counts = {"capability": 7, "draining": 1, "slots": 1, "no_slots": 1}
        self.assertEqual((told["by_rule"], told["agents_total"]), (counts, 7))
        self.assertIn("7 lack the capability gpu, 1 takes no work", told["summary"])


class WhoeverTests(ExplainTests):
    """Nobody is there, or not the one whom it is for."""

    def test_no_agents(self) -> None:
        """No agent is connected."""
        told = self.assert_waits(self.submit(), ["no_agents"])
        self.assert_says(told, "It waits: no agent is connected.")
        self.assert_fields(told, agents_total=0, by_rule={}, queue={"waiting": 1, "alike": 1})

    def test_pinned_to_one_that_is_away(self) -> None:
        """Its own agent is known and away; another one is not for it."""
        self.hub.agent("w").vanish()
        self.hub.agent("v")
        told = self.assert_waits(self.submit(agent_id="w"), ["pinned_away"], v=["pinned"])
        self.assert_says(
            told, "It waits: only w may have it, and w is away.", "the task is for w alone"
        )
        self.assertEqual(told["reasons"][0]["needed"], "w")

    def test_pinned_to_a_name_that_nobody_knows(self) -> None:
        """A name that never had a token is told apart from one that is away."""
        told = self.assert_waits(self.submit(agent_id="gh0st"), ["pinned_unknown"])
        self.assert_says(
            told, "It waits: only gh0st may have it, and no agent of that name was ever known."
        )

    def test_pinned_to_one_that_does_not_fit(self) -> None:
        """Its own agent is here and lacks what is asked for; the others do not matter."""
        self.hub.agent("w")
        self.hub.agent("v", capabilities=["gpu"])
        task_id = self.submit(agent_id="w", capabilities=["gpu"])
        told = self.assert_waits(task_id, ["no_agent_fits"], w=["capability"], v=["pinned"])
        self.assertEqual(
            told["summary"],
            "It waits: only w may have it, and w does not fit it: it lacks the capability gpu.",
        )

    def test_pinned_and_missing_more(self) -> None:
        """An agent that it is not for is told what else it lacks."""
        self.hub.agent("v")
        task_id = self.submit(agent_id="w", capabilities=["gpu"], labels={"zone": "eu"})
        self.assert_waits(task_id, ["pinned_unknown"], v=["pinned", "capability", "label"])


class NeedsTests(ExplainTests):
    """Agents are there, and none has what is asked for."""

    def label(self, asked: object, **has: str) -> str:
        """What is said of the one agent, with these labels, when this is asked of ``zone``."""
        self.hub.agent("w", labels=has)
        told = self.assert_waits(
            self.submit(labels={"zone": asked}), ["no_agent_fits"], w=["label"]
        )
        (rule,) = told["agents"][0]["rules"]
        self.assertEqual(rule["found"], has.get("zone"))
        self.assertEqual(
            told["summary"],
            f"It waits: w, the only agent that is connected, does not fit it: {rule['detail']}.",
        )
        return str(rule["detail"])

    def test_capability(self) -> None:
        """Each missing capability is named, those that are there are not."""
        self.hub.agent("w", capabilities=["python"])
        task_id = self.submit(capabilities=["python", "gpu"], needed_capabilities=["cuda"])
        told = self.assert_waits(task_id, ["no_agent_fits"], w=["capability", "capability"])
        rules = told["agents"][0]["rules"]
        self.assertEqual(
            [(r["needed"], r["found"]) for r in rules], [("cuda", None), ("gpu", None)]
        )
        self.assertEqual(told["by_rule"], {"capability": 1})

    def test_label_equal(self) -> None:
        """A label that is something else."""
        said = self.label("eu", zone="us")
        self.assertEqual(said, "its label zone is us, and it must be eu")

    def test_label_that_is_not_there(self) -> None:
        """A label that the agent has not."""
        self.assertEqual(self.label("eu"), "it has no label zone, and that must be eu")

    def test_label_not_equal(self) -> None:
        """A label that is just what it must not be."""
        said = self.label({"!=": "eu"}, zone="eu")
        self.assertEqual(said, "its label zone is eu, and it must not be eu")

    def test_label_in(self) -> None:
        """A label that is none of several."""
        said = self.label({"in": ["eu", "uk"]}, zone="us")
        self.assertEqual(said, "its label zone is us, and it must be one of eu, uk")

    def test_label_exists(self) -> None:
        """A label that must be there, whatever it is."""
        self.assertEqual(self.label({"exists": True}), "it has no label zone, and must have one")

    def test_label_absent(self) -> None:
        """A label that must not be there."""
        said = self.label({"exists": False}, zone="eu")
        self.assertEqual(said, "its label zone is eu, and it must have no such label")

    def test_several_at_once(self) -> None:
        """All that one agent lacks is told, agents are counted by rule, the best fit is first."""
        self.hub.agent("bare")
        self.hub.agent("near", capabilities=["gpu"], labels={"zone": "eu"})
        self.hub.agent("half", capabilities=["gpu"], slots=0)
        task_id = self.submit(
            capabilities=["gpu"], labels={"zone": {"in": ["eu"], "!=": "eu"}, "os": "linux"}
        )
        told = self.assert_waits(
            task_id,
            ["no_agent_fits"],
            near=["label", "label"],
            half=["label", "label", "no_slots"],
            bare=["capability", "label", "label"],
        )
        self.assertEqual(told["agents"][0]["agent_id"], "near")
        self.assertEqual(told["by_rule"], {"label": 3, "capability": 1, "no_slots": 1})
        self.assertEqual(
            told["summary"],
            "It waits: none of the 3 connected agents fits it"
            " (3 do not satisfy the label os=linux, 2 do not satisfy the label zone in eu,"
            " 1 lacks the capability gpu, 1 does not satisfy the label zone!=eu, and 1 more).",
        )


class RoomTests(ExplainTests):
    """Agents fit, and none may have more now."""

    def assert_no_room(self, *rules: str) -> Frame:
        """A new task waits for the only agent, ``w``, because of these."""
        return self.assert_waits(self.submit(), ["no_room"], w=[*rules])

    def test_slot(self) -> None:
        """The only slot is taken."""
        self.busy("w")
        self.assert_says(
            self.assert_no_room("slots"),
            "It waits: only w fits it, and w can take no more now: its only slot is taken.",
            "its only slot is taken",
        )

    def test_slots(self) -> None:
        """All of several slots are taken, of each agent that fits; who does not fit is apart."""
        for name in ("a", "b"):
            self.busy(name, slots=2, capabilities=["x"])
        self.hub.agent("c")
        task_id = self.submit(capabilities=["x"])
        told = self.assert_waits(task_id, ["no_room"], a=["slots"], b=["slots"], c=["capability"])
        self.assert_says(
            told,
            "It waits: 2 agents fit it, and none can take more now (2 full).",
            "all of its 2 slots are taken",
        )

    def test_more_than_its_slots(self) -> None:
        """Orders ignore slots, and are told so."""
        self.busy("w")
        self.hub.push("w")
        told = self.assert_no_room("slots")
        self.assertEqual(
            told["agents"][0]["rules"][0]["detail"], "it has 2 tasks, more than its 1 slot"
        )

    def test_no_slots(self) -> None:
        """An agent that only submits never fits."""
        self.hub.agent("w", slots=0)
        told = self.assert_waits(self.submit(), ["no_agent_fits"], w=["no_slots"])
        self.assert_says(
            told,
            "It waits: w, the only agent that is connected, does not fit it:"
            " it takes no work (slots: 0).",
            "it takes no work (slots: 0)",
        )

    def test_draining(self) -> None:
        """The agent asked for no more."""
        self.hub.agent("w").say("drain")
        self.assert_says(
            self.assert_no_room("draining"),
            "It waits: only w fits it, and w can take no more now: it asked for no more work.",
            "it asked for no more work",
        )

    def test_paused(self) -> None:
        """The agent rejected a task a second ago."""
        agent = self.hub.agent("w")
        task_id = self.submit()
        agent.say("task_rejected", task_id=task_id)
        self.hub.advance(1)
        told = self.assert_waits(task_id, ["no_room"], w=["paused"])
        self.assert_says(
            told,
            "It waits: only w fits it, and w can take no more now: it rejected a task,"
            " or was relieved of one; it is offered nothing for another 4.0 s.",
            "it rejected a task, or was relieved of one; it is offered nothing for another 4.0 s",
        )
        self.hub.advance(4)
        self.explain(task_id, status="assigned")

    def test_unresponsive(self) -> None:
        """The agent let an assignment pass in silence."""
        self.hub.agent("w")
        task_id = self.submit(accept_timeout_s=5)
        self.hub.advance(15)
        told = self.assert_waits(task_id, ["no_room"], w=["unresponsive"])
        self.assert_says(
            told,
            "It waits: only w fits it, and w can take no more now: it did not answer its last"
            " assignment in time; it is tried again in 20.0 s.",
            "it did not answer its last assignment in time; it is tried again in 20.0 s",
        )

    def test_returning(self) -> None:
        """The agent is back for half a second and has not said what it still has."""
        agent = self.hub.agent("w", slots=2)
        task_id = self.submit()
        agent.say("task_accepted", task_id=task_id)
        agent.vanish()
        self.hub.agent("w", slots=2)
        self.hub.advance(0.5)
        self.assert_says(
            self.assert_no_room("returning"),
            "It waits: only w fits it, and w can take no more now: it is just back and says what"
            " it still has; it is offered nothing for another 1.5 s.",
            "it is just back and says what it still has; it is offered nothing for another 1.5 s",
        )

    def test_all_at_once(self) -> None:
        """Every rule that keeps one agent from more is told; the rejected task goes first."""
        agent = self.busy("w", slots=2)
        agent.say("task_rejected", task_id=self.hub.push("w"))
        agent.vanish()
        agent = self.hub.agent("w", slots=2)
        agent.say("drain")
        told = self.explain(self.submit())
        rules = ["draining", "paused", "returning", "slots"]
        self.assertEqual([rule["rule"] for rule in told["agents"][0]["rules"]], rules)
        self.assertEqual([reason["rule"] for reason in told["reasons"]], ["no_room", "behind"])


class TurnTests(ExplainTests):
    """There will be room, and others have it first."""

    def assert_behind(self, task_id: str, first: str, why: str) -> None:
        told = self.assert_waits(task_id, ["no_room", "behind"], w=["slots"])
        self.assert_fields(
            told["reasons"][1],
            first=first,
            detail=f"other tasks go first, the next of them {first}: {why}",
        )

    def setUp(self) -> None:
        super().setUp()
        self.worker = self.busy("w")

    def test_priority(self) -> None:
        """A task of a higher priority goes first, also one that asks for something else."""
        low = self.submit(priority="low")
        self.assert_waits(low, ["no_room"], w=["slots"])
        urgent = self.submit(priority="urgent", agent_id="w")
        self.assert_behind(low, urgent, "its priority is urgent")
        self.assert_waits(urgent, ["no_room"], w=["slots"])

    def test_age(self) -> None:
        """An older task of the same submitter goes first."""
        first, second, third = (self.submit() for _ in range(3))
        self.assert_behind(second, first, "it is older")
        self.assert_behind(third, first, "it is older")

    def test_turns(self) -> None:
        """Submitters take turns: a younger task of another one goes first."""
        mine = [self.submit() for _ in range(2)]
        theirs = self.submit(token=self.hub.token("ana"))
        self.worker.say("task_complete", task_id=self.assigned(self.worker)[0])
        # The admin's busy work came first, and now ana's turn is longest ago.
        self.assertEqual(self.assigned(self.worker)[-1], theirs)
        theirs = self.submit(token=self.hub.token("bob"))
        self.assert_behind(mine[0], theirs, "submitters take turns, and it is bob's")


class LaterTests(ExplainTests):
    """It may not begin yet, or nothing may."""

    def test_not_before(self) -> None:
        """It was asked not to begin, although somebody is idle."""
        self.hub.agent("w")
        until = later(self.hub, 90)
        task_id = self.submit(not_before=until)
        self.hub.advance(30)
        told = self.assert_waits(task_id, ["not_before"], w=[])
        self.assert_says(told, "It waits: it was asked not to begin for another 60.0 s.")
        self.assertEqual(told["reasons"][0]["until"], until)

    def test_not_before_and_nobody(self) -> None:
        """Both are told: when its time comes there will be nobody."""
        task_id = self.submit(not_before=later(self.hub, 90))
        self.assert_waits(task_id, ["not_before", "no_agents"])

    def test_backoff(self) -> None:
        """The last attempt failed, and the next is not due."""
        agent = self.hub.agent("w")
        task_id = self.submit(backoff={"initial_s": 40})
        agent.say("task_failed", task_id=task_id, error="disk full\nreally")
        told = self.assert_waits(task_id, ["backoff"], w=[])
        left = (told["reasons"][0]["until"] - self.hub.hub.now()) / 1000
        self.assertTrue(20 <= left <= 40, left)
        self.assert_says(
            told,
            "It waits: attempt 1 of 3 failed (disk full really),"
            f" the next may begin in {left:.1f} s.",
        )
        self.assertEqual(told["reasons"][0]["error"], "disk full\nreally")

    def test_hub_stopping(self) -> None:
        """A hub that stops assigns nothing, and says so before anything else."""
        task_id = self.submit()
        self.hub.hub.drain()
        told = self.assert_waits(task_id, ["hub_stopping", "no_agents"])
        self.assert_says(told, "It waits: the hub is stopping and assigns nothing.")

    def test_turn(self) -> None:
        """An agent may have it and has not got it: so nothing hides that the hub is at fault."""
        task_id = self.submit()
        self.patch(self.hub.hub.dispatch, "offer", lambda agent_id: None)
        self.hub.agent("w")
        told = self.assert_waits(task_id, ["turn"], w=[])
        self.assert_says(told, "It waits: it is about to be assigned.")

    def test_retried_dead_letter(self) -> None:
        """A dead letter that was retried waits like any other; its old error is no reason."""
        agent = self.hub.agent("w")
        task_id = self.die(agent)
        agent.vanish()
        self.post(f"/api/tasks/{task_id}/retry")
        told = self.assert_waits(task_id, ["pinned_away"])
        self.assertEqual(told["since"], self.hub.hub.now())

    def test_unknown(self) -> None:
        """There is nothing to explain of a task that there is not."""
        answer = self.hub.request("GET", "/api/tasks/task-0/explain")
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.body, {"error": "task_not_found", "task_id": "task-0"})

"""The small frames of PROTOCOL.md section 3.1: ping, status, lists, drain, reports on itself."""

from tests.contract.helpers import HubTests, enqueue

AGENT_INFO = {
    "agent_id",
    "name",
    "status",
    "capabilities",
    "connected_at",
    "state",
    "slots",
    "running",
}


class PingTests(HubTests):
    """``ping``."""

    def test_pong(self) -> None:
        """``ping`` is answered ``pong`` with the hub's time in milliseconds."""
        agent = self.hub.agent("a")
        self.hub.advance(3)
        answer = self.assert_answer(agent.say("ping"), "pong")
        self.assertEqual(answer["timestamp"], 1_700_000_003_000)
        self.assertIsInstance(answer["timestamp"], int)


class StatusTests(HubTests):
    """``status``."""

    def test_reply(self) -> None:
        """``status`` is answered ``status_updated``, and the sender gets its own news."""
        agent = self.hub.agent("a")
        answers = agent.say("status", status="thinking")
        self.assertEqual(sorted(a["type"] for a in answers), ["status_changed", "status_updated"])

    def test_everybody(self) -> None:
        """``status_changed`` with the whole AgentInfo goes to everybody."""
        agents = [self.hub.agent(name) for name in ("a", "b", "c")]
        agents[0].say("status", status="thinking")
        for agent in agents:
            self.assertEqual(len(agent.of("status_changed")), 1)
            info = agent.of("status_changed")[0]["agent"]
            self.assertTrue(set(info) >= AGENT_INFO)
            self.assert_fields(info, agent_id="a", status="thinking")

    def test_shown(self) -> None:
        """The new status is shown from then on."""
        agent = self.hub.agent("a", status="idle")
        agent.say("status", status="thinking")
        self.assertEqual(agent.say("list_agents")[0]["agents"][0]["status"], "thinking")
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["status"], "thinking")


class ListAgentsTests(HubTests):
    """``list_agents`` and AgentInfo."""

    def test_fields(self) -> None:
        """AgentInfo has the fields of section 3.1, of the right types."""
        agent = self.hub.agent("a", name="n", status="s", capabilities=["x"], slots=2)
        answer = self.assert_answer(agent.say("list_agents"), "agents")
        (info,) = answer["agents"]
        self.assertTrue(set(info) >= AGENT_INFO, info)
        self.assert_fields(info, name="n", status="s", capabilities=["x"], slots=2, running=0)
        self.assertEqual(info["connected_at"], 1_700_000_000_000)
        self.assertIsInstance(info["state"], str)

    def test_who(self) -> None:
        """It lists everybody connected, the asker included, and nobody who left."""
        agent = self.hub.agent("a")
        self.hub.agent("b")
        self.hub.agent("c").vanish()
        self.hub.connect()
        agents = agent.say("list_agents")[0]["agents"]
        self.assertEqual(sorted(a["agent_id"] for a in agents), ["a", "b"])

    def test_same_as_http(self) -> None:
        """``GET /api/agents`` shows the same."""
        agent = self.hub.agent("a", labels={"os": "linux"})
        self.hub.push("a")
        agents = self.hub.request("GET", "/api/agents", token=None).body["agents"]
        self.assertEqual(agent.say("list_agents")[0]["agents"], agents)

    def test_running(self) -> None:
        """``running`` counts the tasks that an agent has now."""
        agent = self.hub.agent("a", slots=3)
        first, second = self.hub.push("a"), self.accepted(agent)
        self.assertEqual(agent.say("list_agents")[0]["agents"][0]["running"], 2)
        agent.say("task_complete", task_id=first)
        agent.say("task_failed", task_id=second)
        self.assertEqual(agent.say("list_agents")[0]["agents"][0]["running"], 0)

    def test_state(self) -> None:
        """``state`` tells idle, busy and draining apart."""
        agent = self.hub.agent("a")
        states = [agent.say("list_agents")[0]["agents"][0]["state"]]
        self.hub.push("a")
        states.append(agent.say("list_agents")[0]["agents"][0]["state"])
        agent.say("drain")
        states.append(agent.say("list_agents")[0]["agents"][0]["state"])
        self.assertEqual(len(set(states)), 3, states)


class ChannelTests(HubTests):
    """Channel frames on a hub that has no channels."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def test_not_found(self) -> None:
        """Every frame on a channel that does not exist is ``channel_not_found``."""
        for type in ("channel_subscribe", "channel_unsubscribe", "channel_history"):
            self.assert_error(self.agent.say(type, channel="general"), "channel_not_found")
        answers = self.agent.say("channel_publish", channel="general", payload={"x": 1})
        self.assert_error(answers, "channel_not_found")

    def test_optional_fields(self) -> None:
        """So it is with every optional field."""
        publish = {"channel": "c", "payload": {}, "message_type": "m", "reply_to": "r"}
        self.assert_error(self.agent.say("channel_publish", **publish), "channel_not_found")
        self.assert_error(
            self.agent.say("channel_history", channel="c", limit=10, since=5),
            "channel_not_found",
        )

    def test_not_held_against(self) -> None:
        """It is no bad message: however often, the line stays open."""
        for _ in range(30):
            self.agent.say("channel_subscribe", channel="general")
        self.assertIsNone(self.agent.closed)

    def test_list(self) -> None:
        """``list_channels`` is answered with no channels."""
        self.assert_answer(self.agent.say("list_channels"), "channels", channels=[])


class OwnReportTests(HubTests):
    """``wake_result`` and ``resource_report``."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a")

    def shown(self, name: str) -> object:
        return self.hub.request("GET", "/api/agents/a").body.get(name)

    def test_no_reply(self) -> None:
        """Neither has a reply, whatever it carries."""
        for type in ("wake_result", "resource_report"):
            for fields in ({}, {"a": None, "b": [1.5, {"c": True}]}, {"status": 7, "tasks": "x"}):
                self.assertEqual(self.agent.say(type, **fields), [])
        self.assertIsNone(self.agent.closed)

    def test_newest_is_shown(self) -> None:
        """The newest of each is shown with the agent."""
        self.agent.say("resource_report", cpu_percent=1.5)
        self.agent.say("wake_result", task_id="t", status="success")
        self.agent.say("resource_report", cpu_percent=2.5, vram=None)
        report = self.shown("resource_report")
        assert isinstance(report, dict)
        self.assert_fields(report, cpu_percent=2.5, vram=None)
        result = self.shown("wake_result")
        assert isinstance(result, dict)
        self.assert_fields(result, task_id="t", status="success")

    def test_none(self) -> None:
        """Nothing is shown of an agent that sent none."""
        self.assertIsNone(self.shown("wake_result"))
        self.assertIsNone(self.shown("resource_report"))

    def test_not_of_others(self) -> None:
        """They are shown with their own agent only, whatever they say."""
        self.hub.agent("b")
        self.agent.say("resource_report", agent_id="b", cpu_percent=1)
        self.assertNotIn("resource_report", self.hub.request("GET", "/api/agents/b").body)

    def test_no_event(self) -> None:
        """They change no task, even one that they name."""
        task_id = self.accepted(self.agent)
        before = self.hub.events_of(task_id)
        self.agent.say("wake_result", task_id=task_id, status="failed")
        self.assertEqual(self.hub.events_of(task_id), before)


class DrainTests(HubTests):
    """``drain`` and ``agent_restarting``."""

    def test_reply(self) -> None:
        """Both are answered ``draining``, with and without a reason."""
        for type in ("drain", "agent_restarting"):
            agent = self.hub.agent("a")
            self.assert_answer(agent.say(type), "draining")
            self.assert_answer(agent.say(type, reason="update"), "draining")

    def test_nothing_is_offered(self) -> None:
        """Nothing more is offered to a draining agent."""
        agent = self.hub.agent("a", slots=5)
        agent.say("drain")
        task_id = enqueue(self.hub, "a")
        self.hub.advance(100, step=1)
        self.assertEqual(agent.of("task_assign"), [])
        self.assert_task(task_id, status="queued")

    def test_push_is_refused(self) -> None:
        """A push to it is 409 ``agent_draining``."""
        self.hub.agent("a").say("agent_restarting")
        body = {"agent_id": "a", "description": "x"}
        answer = self.hub.request("POST", "/api/admin/push-task", body)
        self.assertEqual((answer.status, answer.body["error"]), (409, "agent_draining"))

    def test_running_tasks_stay(self) -> None:
        """Running tasks stay with it and end as always."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.say("drain")
        self.hub.advance(100, step=1)
        self.assert_task(task_id, status="working", agent_id="a")
        self.assert_answer(agent.say("task_complete", task_id=task_id), "task_ack")
        self.assert_task(task_id, status="completed")

    def test_an_end_brings_nothing(self) -> None:
        """The end of its last task brings it nothing new."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        enqueue(self.hub, "a")
        agent.say("drain")
        agent.say("task_complete", task_id=task_id)
        self.hub.advance(10)
        self.assertEqual(len(agent.of("task_assign")), 1)

    def test_restarted_agent(self) -> None:
        """An agent that is back after its restart is offered work again."""
        agent = self.hub.agent("a")
        agent.say("agent_restarting")
        task_id = enqueue(self.hub, "a")
        agent.vanish()
        back = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual([f["task_id"] for f in back.of("task_assign")], [task_id])


class AssignTests(HubTests):
    """``task_assign`` and ``task_cancelled``."""

    def test_fields(self) -> None:
        """``task_assign`` has all its fields."""
        agent = self.hub.agent("a")
        self.hub.advance(1)
        task_id = self.hub.push("a", "do it", metadata={"repo": "demo", "n": [1, None]})
        self.assertEqual(
            agent.frames[-1],
            {
                "type": "task_assign",
                "task_id": task_id,
                "description": "do it",
                "metadata": {"repo": "demo", "n": [1, None]},
                "assigned_at": 1_700_000_001_000,
                "generation": 1,
                "attempt": 1,
                "priority": "normal",
                "submitted_by": "admin",
                "submitted_at": 1_700_000_001_000,
            },
        )

    def test_task_id(self) -> None:
        """A task id is ``task-`` and 16 lowercase hex digits."""
        self.hub.agent("a")
        self.assertRegex(self.hub.push("a"), r"\Atask-[0-9a-f]{16}\Z")

    def test_no_metadata(self) -> None:
        """Metadata that was not given is an empty object."""
        agent = self.hub.agent("a")
        self.hub.push("a")
        self.assertEqual(agent.frames[-1]["metadata"], {})

    def test_push_ignores_slots(self) -> None:
        """A push is an order: it goes to an agent that is full."""
        agent = self.hub.agent("a", slots=1)
        for _ in range(3):
            self.hub.push("a")
        self.assertEqual(len(agent.of("task_assign")), 3)

    def test_offers_respect_slots(self) -> None:
        """What waits is offered only as far as there are slots."""
        agent = self.hub.agent("a", slots=2)
        tasks = [enqueue(self.hub, "a") for _ in range(3)]
        self.assertEqual([f["task_id"] for f in agent.of("task_assign")], tasks[:2])
        agent.say("task_complete", task_id=tasks[0])
        self.assertEqual([f["task_id"] for f in agent.of("task_assign")], tasks)

    def test_cancelled(self) -> None:
        """A running agent is told of a cancellation, with the generation."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        self.hub.request("POST", f"/api/tasks/{task_id}/cancel", {"reason": "no longer"})
        (frame,) = agent.of("task_cancelled")
        self.assertEqual(
            frame,
            {
                "type": "task_cancelled",
                "task_id": task_id,
                "generation": 1,
                "reason": "no longer",
            },
        )

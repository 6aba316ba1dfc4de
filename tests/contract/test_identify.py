"""Who an agent is: PROTOCOL.md sections 2 and 3, all rows on ``identify``."""

from agentcom.testing import FakeAgent
from tests.contract.helpers import HubTests, Watcher, enqueue, never_closes


class BeforeIdentifyTests(HubTests):
    """A connection that has not said who it is."""

    def test_not_identified(self) -> None:
        """Anything valid before ``identify`` is answered ``not_identified``."""
        for type, fields in {
            "ping": {},
            "status": {"status": "s"},
            "list_agents": {},
            "message": {"payload": {}},
            "list_channels": {},
            "channel_subscribe": {"channel": "c"},
            "channel_publish": {"channel": "c", "payload": {}},
            "task_accepted": {"task_id": "t"},
            "task_complete": {"task_id": "t"},
            "state_report": {"task_id": "t"},
            "drain": {},
            "wake_result": {},
        }.items():
            agent = self.hub.connect()
            self.assert_error(agent.say(type, **fields), "not_identified")
            self.assertIsNone(agent.closed)

    def test_nothing_is_done(self) -> None:
        """A report before ``identify`` changes nothing."""
        self.hub.agent("a")
        task_id = self.hub.push("a")
        self.hub.connect().say("task_complete", task_id=task_id)
        self.assert_task(task_id, status="assigned")

    def test_in_time(self) -> None:
        """A connection without ``identify`` is closed 4008 after 10 s, not before."""
        agent = self.hub.connect()
        self.hub.advance(9.75)
        self.assertIsNone(agent.closed)
        self.hub.advance(0.25)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 4008)

    def test_failed_identify_is_none(self) -> None:
        """An ``identify`` that failed, and other frames, do not stop the 10 s."""
        agent = self.hub.connect()
        self.hub.advance(9)
        agent.say("identify", agent_id="a", token="x")
        agent.say("ping")
        self.hub.advance(1)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 4008)

    def test_identified_stays(self) -> None:
        """One that identified within 10 s is not closed for it."""
        agent = self.hub.connect()
        self.hub.advance(9.75)
        agent.say("identify", agent_id="a", token=self.hub.token("a"))
        self.hub.advance(30)
        self.assertIsNone(agent.closed)


class IdentifyTests(HubTests):
    """The first ``identify``."""

    def test_identified(self) -> None:
        """``identified`` tells the agent id and the limits."""
        agent = self.hub.agent("a")
        answer = self.assert_answer(agent.frames, "identified", agent_id="a")
        self.assertIsInstance(answer["limits"], dict)

    def test_defaults(self) -> None:
        """Name is the agent id and status ``connected`` where they are not said."""
        info = self.hub.agent("a").say("list_agents")[0]["agents"][0]
        self.assert_fields(
            info, agent_id="a", name="a", status="connected", capabilities=[], slots=1
        )

    def test_fields(self) -> None:
        """What an agent says of itself is shown to others."""
        said = {"name": "n", "status": "idle", "capabilities": ["code", "web"], "slots": 3}
        self.hub.agent("a", labels={"gpu": "yes"}, **said)
        shown = self.hub.request("GET", "/api/agents/a").body
        self.assert_fields(shown, **said)

    def test_empty_status(self) -> None:
        """A status that was said stands, an empty one too."""
        info = self.hub.agent("a", status="").say("list_agents")[0]["agents"][0]
        self.assertEqual(info["status"], "")

    def assert_stays_open(self, agent: FakeAgent) -> None:
        self.assertIsNone(agent.closed)
        answers = agent.say("identify", agent_id="a", token=self.hub.token("a"))
        self.assert_answer(answers, "identified", agent_id="a")

    def test_invalid_token(self) -> None:
        """An unknown token is ``invalid_token``; the connection stays open."""
        agent = self.hub.connect()
        self.assert_error(agent.say("identify", agent_id="a", token="0" * 64), "invalid_token")
        self.assert_stays_open(agent)

    def test_mismatch(self) -> None:
        """Another agent's token is ``token_agent_mismatch``; the connection stays open."""
        agent = self.hub.connect()
        answers = agent.say("identify", agent_id="a", token=self.hub.token("b"))
        self.assert_error(answers, "token_agent_mismatch")
        self.assert_stays_open(agent)

    def test_scope_agent(self) -> None:
        """Without the scope ``agent`` nobody identifies; the connection stays open."""
        for scopes in (("submit",), ("enroll",)):
            agent = self.hub.connect()
            answers = agent.say("identify", agent_id="a", token=self.hub.token("a", scopes))
            self.assertEqual([a["type"] for a in answers], ["error"])
            self.assert_error(agent.say("ping"), "not_identified")
            self.assertEqual(self.hub.request("GET", "/api/agents").body["agents"], [])
            self.assert_stays_open(agent)
            agent.vanish()

    def test_scope_agent_alone(self) -> None:
        """The scope ``agent`` alone is enough to identify."""
        self.hub.agent("a", token=self.hub.token("a", ("agent",)))

    def test_expired(self) -> None:
        """A token past its expiry is ``invalid_token``."""
        body = {"agent_id": "a", "expires_in_s": 60}
        token = self.hub.request("POST", "/admin/tokens", body).body["token"]
        self.hub.agent("a", token=token)
        self.hub.advance(60)
        answers = self.hub.connect().say("identify", agent_id="a", token=token)
        self.assert_error(answers, "invalid_token")

    def test_after_a_restart(self) -> None:
        """A token outlives the process."""
        token = self.hub.token("a")
        self.restart()
        self.hub.agent("a", token=token)


class IdentifyAgainTests(HubTests):
    """``identify`` on a connection that has said who it is."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", name="one", capabilities=["x"], presence="none")
        self.token = self.hub.token("a")

    def test_same_id(self) -> None:
        """The same agent id is answered ``identified``, and its fields are replaced."""
        answers = self.agent.say("identify", agent_id="a", token=self.token, name="two", slots=2)
        self.assert_answer([answers[0]], "identified", agent_id="a")
        info = self.agent.say("list_agents")[0]["agents"][0]
        self.assert_fields(info, name="two", slots=2, capabilities=[])

    def test_same_id_is_no_join(self) -> None:
        """It joins nobody, replaces no connection and keeps ``connected_at``."""
        other = self.hub.agent("b", presence="events")
        before = self.hub.request("GET", "/api/agents/a").body["connected_at"]
        self.hub.advance(5)
        self.agent.say("identify", agent_id="a", token=self.token, name="two")
        self.assertEqual(other.of("agent_joined") + other.of("agent_left"), [])
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["connected_at"], before)
        self.assertIsNone(self.agent.closed)

    def test_same_id_with_a_bad_token(self) -> None:
        """With a wrong token nothing is replaced and the agent stays who it is."""
        self.assert_error(
            self.agent.say("identify", agent_id="a", token="x", name="two"), "invalid_token"
        )
        info = self.agent.say("list_agents")[0]["agents"][0]
        self.assertEqual(info["name"], "one")

    def test_its_tasks_stay(self) -> None:
        """Tasks that it works on are not touched by it."""
        task_id = self.accepted(self.agent)
        self.agent.say("identify", agent_id="a", token=self.token)
        self.hub.advance(5)
        self.assertEqual(len(self.agent.of("task_assign")), 1)
        self.assert_task(task_id, status="working", generation=1)

    def test_more_slots(self) -> None:
        """With more slots it is offered more."""
        tasks = [enqueue(self.hub, "a") for _ in range(3)]
        self.assertEqual(len(self.agent.of("task_assign")), 1)
        self.agent.say("identify", agent_id="a", token=self.token, slots=3)
        self.assertEqual([f["task_id"] for f in self.agent.of("task_assign")], tasks)

    def test_other_id(self) -> None:
        """Another agent id is ``already_identified``; the agent stays who it is."""
        answers = self.agent.say("identify", agent_id="b", token=self.hub.token("b"))
        self.assert_error(answers, "already_identified")
        self.assertIsNone(self.agent.closed)
        agents = self.agent.say("list_agents")[0]["agents"]
        self.assertEqual([a["agent_id"] for a in agents], ["a"])


class RevocationTests(HubTests):
    """Section 2: what revoking does to live sockets and their tasks."""

    def revoke(self, agent_id: str, token: str = "") -> None:
        answer = self.hub.request("DELETE", f"/admin/tokens/{agent_id}", token=token)
        self.assertEqual((answer.status, answer.body["status"]), (200, "revoked"))

    def test_closes(self) -> None:
        """Revoking closes the live socket with 4003 within a second."""
        agent = self.hub.agent("a")
        self.revoke("a")
        self.hub.advance(1)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 4003)

    def test_by_itself(self) -> None:
        """An agent may revoke its own tokens, and is closed like any other."""
        agent = self.hub.agent("a")
        self.revoke("a", self.hub.token("a"))
        self.hub.advance(1)
        assert agent.closed is not None
        self.assertEqual(agent.closed[0], 4003)

    def test_others_stay(self) -> None:
        """Sockets of other agents stay open."""
        self.hub.agent("a")
        other = self.hub.agent("b")
        self.revoke("a")
        self.hub.advance(1)
        self.assertIsNone(other.closed)

    def test_newer_token_stays(self) -> None:
        """A socket that was opened with a token made after the revocation stays."""
        self.hub.agent("a")
        self.revoke("a")
        body = {"agent_id": "a"}
        token = self.hub.request("POST", "/admin/tokens", body).body["token"]
        newer = self.hub.agent("a", token=token)
        self.hub.advance(5)
        self.assertIsNone(newer.closed)

    def test_it_is_gone(self) -> None:
        """A revoked token identifies nobody, and its agent has left."""
        other = self.hub.agent("b", presence="events")
        self.hub.agent("a")
        self.revoke("a")
        answers = self.hub.connect().say("identify", agent_id="a", token=self.hub.token("a"))
        self.assert_error(answers, "invalid_token")
        self.assertEqual([f["agent_id"] for f in other.of("agent_left")], ["a"])

    def test_tasks_go_back_without_hold(self) -> None:
        """With the last token the agent's tasks go back to the queue at once."""
        agent = self.hub.agent("a")
        assigned, working = self.hub.push("a"), self.accepted(agent)
        self.revoke("a")
        for task_id in (assigned, working):
            self.assert_task(task_id, status="queued")
            self.assertIn("task_requeued", self.hub.events_of(task_id))

    def test_tasks_of_one_that_is_away(self) -> None:
        """So do the tasks that were held for an agent that is away."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        agent.vanish()
        self.revoke("a")
        self.assert_task(task_id, status="queued")

    def test_nothing_more_from_it(self) -> None:
        """What a revoked agent says before its line is down changes nothing."""
        agent = self.hub.agent("a")
        task_id = self.accepted(agent)
        never_closes(agent)
        self.revoke("a")
        agent.say("task_complete", task_id=task_id)
        self.assert_task(task_id, status="queued")

    def test_no_event_of_the_token(self) -> None:
        """No event and no answer shows the token."""
        watcher = Watcher(self.hub, "after=0")
        self.hub.agent("a")
        self.revoke("a")
        self.assertNotIn(self.hub.token("a"), str(watcher.events))

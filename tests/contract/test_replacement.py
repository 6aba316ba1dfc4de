"""A newer connection of the same agent: PROTOCOL.md section 3, ``replaced``."""

from tests.contract.helpers import HubTests, Watcher, never_closes, queue


class ReplacementTests(HubTests):
    """The newer one wins."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.hub.agent("b", presence="events")
        self.watcher = Watcher(self.hub, "topics=presence")
        self.older = self.hub.agent("a", name="older")

    def test_older_is_closed(self) -> None:
        """The older connection is closed with 4001 ``replaced``."""
        self.hub.agent("a")
        self.assertEqual(self.older.closed, (4001, "replaced"))

    def test_newer_is_it(self) -> None:
        """The newer connection is the agent: it is shown and gets the tasks."""
        newer = self.hub.agent("a", name="newer")
        agents = self.hub.request("GET", "/api/agents").body["agents"]
        self.assertEqual(sorted(a["name"] for a in agents), ["b", "newer"])
        self.hub.push("a")
        self.assertEqual(len(newer.of("task_assign")), 1)
        self.assertEqual(self.older.of("task_assign"), [])

    def test_nobody_joins_or_leaves(self) -> None:
        """Nobody hears of a join or leave, neither agents nor watchers."""
        self.hub.agent("a")
        self.hub.advance(5)
        self.assertEqual(len(self.other.of("agent_joined")), 1)
        self.assertEqual(self.other.of("agent_left"), [])
        self.assertEqual(self.watcher.names.count("agent_joined"), 1)
        self.assertNotIn("agent_left", self.watcher.names)

    def test_diff_says_nothing(self) -> None:
        """Nor does a ``presence_diff`` tell of a join or leave."""
        self.hub.advance(5)
        diff = self.hub.agent("c", presence="diff")
        self.hub.advance(5)
        before = len(diff.of("presence_diff"))
        self.hub.agent("a", name="older")
        self.hub.advance(5)
        self.assertEqual(diff.of("presence_diff")[before:], [])

    def test_late_close_changes_nothing(self) -> None:
        """The late close of the older one leaves the newer one and its tasks alone."""
        never_closes(self.older)
        newer = self.hub.agent("a")
        task_id = self.accepted(newer)
        self.hub.advance(4)
        self.assertIsNone(self.older.closed)
        self.hub.advance(1)
        self.assertIsNotNone(self.older.closed)
        self.hub.advance(40)
        self.assert_task(task_id, status="working")
        self.assertEqual(self.other.of("agent_left"), [])
        self.assert_answer(newer.say("ping"), "pong")

    def test_late_break_changes_nothing(self) -> None:
        """So does the break of a line that never closed properly."""
        never_closes(self.older)
        newer = self.hub.agent("a")
        task_id = self.accepted(newer)
        self.older.vanish()
        self.hub.advance(40)
        self.assert_task(task_id, status="working")
        self.assertEqual(self.other.of("agent_left"), [])

    def test_late_reports_count(self) -> None:
        """A report that arrives on the older one before it closes counts."""
        task_id = self.accepted(self.older)
        newer = self.hub.connect()
        queue(newer, "identify", agent_id="a", token=self.hub.token("a"))
        queue(self.older, "task_complete", task_id=task_id, generation=1, result="done")
        newer.pump.flush()
        self.assertEqual([f["type"] for f in newer.frames], ["identified"])
        self.hub.settle()
        self.assertEqual(self.older.closed, (4001, "replaced"))
        self.assert_task(task_id, status="completed", result="done")

    def test_late_report_is_not_repeated(self) -> None:
        """A task that ended on the older line is not sent again on the newer one."""
        task_id = self.accepted(self.older)
        never_closes(self.older)
        newer = self.hub.agent("a")
        self.older.say("task_complete", task_id=task_id)
        self.hub.advance(10)
        self.assertEqual(newer.of("task_assign"), [])

    def test_older_cannot_come_back(self) -> None:
        """An ``identify`` on the older one, after it was replaced, takes nothing back."""
        never_closes(self.older)
        newer = self.hub.agent("a", name="newer")
        self.older.say("identify", agent_id="a", token=self.hub.token("a"), name="older")
        self.assertIsNone(newer.closed)
        self.assertEqual(self.hub.request("GET", "/api/agents/a").body["name"], "newer")

    def test_older_cannot_speak_for_it(self) -> None:
        """Neither status nor drain on the older one changes the newer one."""
        never_closes(self.older)
        self.hub.agent("a", name="newer", status="new")
        self.older.say("status", status="old")
        self.older.say("drain")
        shown = self.hub.request("GET", "/api/agents/a").body
        self.assert_fields(shown, name="newer", status="new", state="idle")
        self.assertEqual([f["agent"]["status"] for f in self.other.of("status_changed")][1:], [])

    def test_keeps_connected_at(self) -> None:
        """The agent was connected all the time: ``connected_at`` stays."""
        before = self.hub.request("GET", "/api/agents/a").body["connected_at"]
        self.hub.advance(5)
        self.hub.agent("a")
        after = self.hub.request("GET", "/api/agents/a").body["connected_at"]
        self.assertEqual(after, before)

    def test_many_times(self) -> None:
        """Of many connections only the newest stays open."""
        agents = [self.hub.agent("a") for _ in range(10)]
        self.assertEqual([a.closed for a in agents[:-1]], [(4001, "replaced")] * 9)
        self.assertIsNone(agents[-1].closed)

    def test_failed_identify_replaces_nobody(self) -> None:
        """An ``identify`` with a wrong token replaces nobody."""
        self.hub.connect().say("identify", agent_id="a", token=self.hub.token("b"))
        self.assertIsNone(self.older.closed)

"""Presence frames and modes: PROTOCOL.md section 3.1."""

from typing import Any, ClassVar

from tests.contract.helpers import HubTests
from tests.contract.test_agent_frames import AGENT_INFO


class EventsTests(HubTests):
    """``presence: events``."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = self.hub.agent("w", presence="events")

    def test_joined(self) -> None:
        """``agent_joined`` carries the AgentInfo of who joined."""
        self.hub.agent("a", name="n")
        (frame,) = self.watcher.of("agent_joined")
        self.assertTrue(set(frame["agent"]) >= AGENT_INFO)
        self.assert_fields(frame["agent"], agent_id="a", name="n", status="connected")

    def test_not_to_itself(self) -> None:
        """Nobody hears of its own join."""
        self.assertEqual(self.watcher.of("agent_joined"), [])

    def test_left(self) -> None:
        """``agent_left`` names who left, however it left."""
        self.hub.agent("a").vanish()
        agent = self.hub.agent("b")
        agent.sendClose(1000)
        self.hub.settle()
        self.assertEqual(
            self.watcher.of("agent_left"),
            [{"type": "agent_left", "agent_id": name} for name in ("a", "b")],
        )

    def test_status_changed(self) -> None:
        """``status_changed`` carries the AgentInfo with the new status."""
        self.hub.agent("a").say("status", status="x")
        (frame,) = self.watcher.of("status_changed")
        self.assert_fields(frame["agent"], agent_id="a", status="x")

    def test_no_join_without_identify(self) -> None:
        """Who never identified neither joins nor leaves."""
        self.hub.connect().vanish()
        self.hub.settle()
        self.assertEqual(len(self.watcher.frames), 1)

    def test_each_one(self) -> None:
        """Every join and leave is told, in order; they cancel out nowhere here."""
        for _ in range(3):
            self.hub.agent("a").vanish()
        names = [frame["type"] for frame in self.watcher.frames[1:]]
        self.assertEqual(names, ["agent_joined", "agent_left"] * 3)

    def test_many_receivers(self) -> None:
        """Every one of many receivers hears of it, once."""
        others = [self.hub.agent(f"o{i}", presence="events") for i in range(150)]
        self.hub.agent("a")
        for agent in others:
            joined = [f for f in agent.of("agent_joined") if f["agent"]["agent_id"] == "a"]
            self.assertEqual(len(joined), 1)

    def test_identify_again(self) -> None:
        """Fields that are replaced by ``identify`` again are told as a change."""
        agent = self.hub.agent("a")
        agent.say("identify", agent_id="a", token=self.hub.token("a"), name="new")
        (frame,) = self.watcher.of("status_changed")
        self.assertEqual(frame["agent"]["name"], "new")


class NoneTests(HubTests):
    """``presence: none``."""

    def test_nothing(self) -> None:
        """It gets no presence frame at all, but the news of its own status."""
        quiet = self.hub.agent("q", presence="none")
        agent = self.hub.agent("a")
        agent.say("status", status="x")
        agent.vanish()
        self.hub.advance(3)
        self.assertEqual([f["type"] for f in quiet.frames], ["identified"])
        quiet.say("status", status="y")
        self.assertEqual(len(quiet.of("status_changed")), 1)


class AutoTests(HubTests):
    """``presence: auto`` and ``--presence-limit``."""

    settings: ClassVar[dict[str, Any]] = {"presence_limit": 3}

    def test_default(self) -> None:
        """Who chooses nothing is ``auto`` and hears everything while few are connected."""
        old = self.hub.agent("old")
        auto = self.hub.agent("auto", presence="auto")
        agent = self.hub.agent("a")
        agent.say("status", status="x")
        agent.vanish()
        names = ["agent_joined", "status_changed", "agent_left"]
        self.assertEqual([f["type"] for f in old.frames[2:]], names)
        self.assertEqual([f["type"] for f in auto.frames[1:]], names)

    def test_above_the_limit(self) -> None:
        """Above the limit ``auto`` hears nothing, ``events`` everything."""
        auto, events = self.hub.agent("auto"), self.hub.agent("events", presence="events")
        self.hub.agent("a")
        before = len(auto.frames)
        agent = self.hub.agent("b")
        agent.say("status", status="x")
        self.assertEqual(auto.frames[before:], [])
        self.assertEqual(
            [f["type"] for f in events.frames[-2:]], ["agent_joined", "status_changed"]
        )

    def test_back_under_the_limit(self) -> None:
        """Back at the limit it hears again."""
        auto = self.hub.agent("auto")
        agents = [self.hub.agent(name) for name in ("a", "b", "c")]
        agents[0].vanish()
        before = len(auto.frames)
        agents[1].say("status", status="x")
        self.assertEqual([f["type"] for f in auto.frames[before:]], ["status_changed"])

    def test_own_status(self) -> None:
        """The sender of a status gets its own above the limit too, once."""
        agents = [self.hub.agent(f"a{i}") for i in range(5)]
        agents[0].say("status", status="x")
        self.assertEqual(len(agents[0].of("status_changed")), 1)
        self.assertEqual(agents[1].of("status_changed"), [])

    def test_default_limit(self) -> None:
        """The default limit is 200."""
        self.hub = type(self.hub)()
        auto = self.hub.agent("auto")
        for i in range(199):
            self.hub.agent(f"a{i}", presence="none")
        self.assertEqual(len(auto.of("agent_joined")), 199)
        self.hub.agent("one-more", presence="none")
        self.assertEqual(len(auto.of("agent_joined")), 199)


class DiffTests(HubTests):
    """``presence: diff``."""

    def setUp(self) -> None:
        super().setUp()
        self.hub.agent("here")
        self.diff = self.hub.agent("d", presence="diff")
        self.hub.advance(3)
        self.before = len(self.diff.frames)

    def diffs(self) -> list[dict[str, object]]:
        frames = self.diff.frames[self.before :]
        self.assertEqual({f["type"] for f in frames} - {"presence_diff"}, set())
        return frames

    def test_only_diffs(self) -> None:
        """It gets one ``presence_diff`` instead of single frames, within a second."""
        self.hub.agent("a")
        agent = self.hub.agent("b")
        agent.say("status", status="x")
        self.hub.advance(1)
        (frame,) = self.diffs()
        self.assertEqual(set(frame), {"type", "joined", "left", "changed"})
        joined = frame["joined"]
        assert isinstance(joined, list)
        self.assertEqual(
            [(i["agent_id"], i["status"]) for i in joined],
            [
                ("a", "connected"),
                ("b", "x"),
            ],
        )
        self.assertTrue(set(joined[0]) >= AGENT_INFO)
        self.assertEqual(frame["left"], [])

    def test_once_a_second(self) -> None:
        """At most one a second comes, however much happens."""
        for i in range(40):
            self.hub.agent(f"a{i}", presence="none")
            self.hub.advance(0.25)
        self.hub.advance(1)
        self.assertLessEqual(len(self.diffs()), 11)
        told = [i["agent_id"] for f in self.diffs() for i in f["joined"]]  # type: ignore[attr-defined]
        self.assertEqual(told, [f"a{i}" for i in range(40)])

    def test_join_and_leave_cancel(self) -> None:
        """A join and a leave of the same agent cancel out."""
        self.hub.agent("a").vanish()
        self.hub.advance(3)
        self.assertEqual(self.diffs(), [])

    def test_leave(self) -> None:
        """Who was known and left is in ``left``."""
        agent = self.hub.agent("a")
        self.hub.advance(2)
        agent.vanish()
        self.hub.advance(2)
        self.assert_fields(self.diffs()[-1], joined=[], left=["a"], changed=[])

    def test_changed(self) -> None:
        """Many changes of one agent are one entry, the last."""
        agent = self.hub.agent("a")
        self.hub.advance(2)
        for status in ("x", "y", "z"):
            agent.say("status", status=status)
        self.hub.advance(2)
        changed = self.diffs()[-1]["changed"]
        assert isinstance(changed, list)
        self.assertEqual([i["status"] for i in changed], ["z"])

    def test_leave_and_join(self) -> None:
        """Who left and is back within the second is neither in ``left`` nor ``joined``."""
        agent = self.hub.agent("a")
        self.hub.advance(2)
        agent.vanish()
        self.hub.agent("a", name="new")
        self.hub.advance(2)
        self.assert_fields(self.diffs()[-1], joined=[], left=[])

    def test_nothing_happened(self) -> None:
        """While nothing happens nothing is sent."""
        self.hub.advance(30)
        self.assertEqual(self.diffs(), [])

    def test_own_status(self) -> None:
        """The sender of a status gets its own at once, in this mode too."""
        self.diff.say("status", status="x")
        self.assertEqual(len(self.diff.of("status_changed")), 1)


class ReplacedMeanwhileTests(HubTests):
    """An agent comes back on a new line while something is on its way to many."""

    def test_nobody_is_left_out(self) -> None:
        """What is sent to many reaches each agent on the line that it has when its turn comes."""
        for number in range(100):
            self.hub.agent(f"a{number:02d}", presence="none")
        hub = self.hub.hub
        newer = self.hub.connect()
        hub.presence.broadcast(b'{"type":"x"}', list(hub.roster.values()))
        newer.say("identify", agent_id="a99", token=self.hub.token("a99"), presence="none")
        self.assertEqual(len(newer.of("x")), 1)

"""Channels over HTTP, and together with WebSocket: PROTOCOL.md section 4."""

from typing import Any

from twisted.internet.defer import Deferred

from agentcom.core.tokens import AGENT, SUBMIT
from agentcom.store.interface import Unit
from agentcom.testing import Answered, MemoryHub
from tests.contract.helpers import HubTests, SlowDisk


class ChannelHttpCase(HubTests):
    """A hub with a channel ``c``."""

    def setUp(self) -> None:
        super().setUp()
        self.create("c")

    def create(self, name: str, **fields: Any) -> Answered:
        return self.post("", {"name": name, **fields}, token="")

    def get(self, path: str, agent: str = "a") -> Answered:
        return self.hub.request("GET", f"/api/channels{path}", token=self.hub.token(agent))

    def post(self, path: str, body: Any = None, token: str | None = None) -> Answered:
        """As agent ``a`` unless a token is given."""
        token = self.hub.token("a") if token is None else token
        return self.hub.request("POST", f"/api/channels{path}", body, token=token)

    def assert_answered(self, answer: Answered, code: int, /, **fields: Any) -> None:
        self.assertEqual(answer.status, code, answer.body)
        self.assert_fields(answer.body, **fields)


class CreateTests(ChannelHttpCase):
    """``POST /api/channels`` and the reads."""

    def test_create(self) -> None:
        """A channel is created under its stored name, by any agent."""
        answer = self.post("", {"name": "#Dev Ops_1-x", "description": "d"})
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, {"status": "created", "channel": "devops_1-x"})
        shown = self.get("/DEVOPS_1-x")
        self.assert_answered(shown, 200, name="devops_1-x", description="d", created_by="a")
        self.assert_fields(
            shown.body, subscriber_count=0, subscribers=[], created_at=self.hub.hub.now()
        )

    def test_exists(self) -> None:
        """Names that are stored alike are one name."""
        for name in ("c", "#C", "c!"):
            self.assert_answered(self.create(name), 409, error="channel_exists", channel="c")

    def test_exists_after_a_restart(self) -> None:
        """Channels outlive the process, with all that is known of them."""
        self.create("x", description="d")
        before = self.get("").body
        self.restart()
        self.assertEqual(self.get("").body, before)
        self.assert_answered(self.create("x"), 409, error="channel_exists")

    def test_wrong_names(self) -> None:
        """A name of which nothing is left, an absent, a long or a mistyped one is told."""
        for name, code in (("#", "invalid_value"), ("", "invalid_value"), (5, "wrong_type")):
            answer = self.post("", {"name": name})
            self.assertEqual(answer.status, 422, (name, answer.body))
            (told,) = answer.body["errors"]
            self.assertEqual((told["field"], told["error"]), ("name", code))
        self.assertEqual(self.post("", {"name": "n" * 65}).status, 422)
        self.assertEqual(self.post("", {}).status, 422)
        self.assertEqual(self.post("", {"name": "n", "description": "d" * 1_001}).status, 422)

    def test_not_found(self) -> None:
        """A channel that there is not is 404 on every route."""
        for answer in (
            self.get("/nope"),
            self.get("/nope/history"),
            self.post("/nope/subscribe"),
            self.post("/nope/unsubscribe"),
            self.post("/nope/publish", {"payload": {}}),
        ):
            self.assert_answered(answer, 404, error="channel_not_found", channel="nope")

    def test_list(self) -> None:
        """The list has all channels, the oldest first."""
        self.create("b")
        answer = self.get("")
        self.assertEqual([c["name"] for c in answer.body["channels"]], ["c", "b"])
        self.assertEqual(
            set(answer.body["channels"][0]),
            {"name", "description", "subscriber_count", "created_at", "created_by"},
        )

    def test_most_channels(self) -> None:
        """There is an end to how much a list of channels can be."""
        for n in range(1_040):
            made = self.hub.hub.messages.channels.create(f"n{n}", "d" * 1_000, "a")
            Deferred.fromCoroutine(made)
        self.hub.settle()
        answers = [self.create(f"m{n}", description="d" * 1_000) for n in range(10)]
        self.assertEqual(answers[0].status, 201)
        self.assert_answered(answers[-1], 409, error="too_many_channels")
        self.assertLess(len(self.get("").text), 2 * 1024 * 1024)
        self.assertEqual(self.create("plain").status, 201)

    def test_stopping(self) -> None:
        """A hub that stops takes nothing new, and still reads."""
        self.hub.hub.drain()
        for answer in (
            self.create("x"),
            self.post("/c/subscribe"),
            self.post("/c/unsubscribe"),
            self.post("/c/publish", {"payload": {}}),
        ):
            self.assert_answered(answer, 503, error="stopping")
        self.assertEqual(self.get("/c").status, 200)


class SubscribeTests(ChannelHttpCase):
    """Subscriptions over HTTP."""

    def test_reaches_the_open_socket(self) -> None:
        """A subscription over HTTP reaches the agent's open socket at once; its end too."""
        agent = self.hub.agent("a")
        answer = self.post("/c/subscribe")
        self.assert_answered(answer, 200, status="subscribed", channel="c", agent_id="a")
        publisher = self.hub.token("p")
        self.post("/c/publish", {"payload": {"n": 1}}, token=publisher)
        answer = self.post("/c/unsubscribe", {})
        self.assert_answered(answer, 200, status="unsubscribed", channel="c", agent_id="a")
        self.post("/c/publish", {"payload": {"n": 2}}, token=publisher)
        self.assertEqual([f["payload"] for f in agent.of("channel_message")], [{"n": 1}])

    def test_already(self) -> None:
        """Both ways count alike: what was begun over WebSocket is there over HTTP."""
        agent = self.hub.agent("a")
        agent.say("channel_subscribe", channel="c")
        self.assert_answered(self.post("/c/subscribe"), 200, note="already_subscribed")
        self.assert_fields(self.get("/c").body, subscriber_count=1, subscribers=["a"])

    def test_others_are_told(self) -> None:
        """The subscribers that are connected hear of a new one."""
        agent = self.hub.agent("a")
        self.post("/c/subscribe")
        self.post("/c/subscribe", token=self.hub.token("b"))
        self.assertEqual([f["agent_id"] for f in agent.of("channel_agent_joined")], ["b"])

    def test_for_another(self) -> None:
        """Only an admin subscribes somebody else."""
        answer = self.post("/c/subscribe", {"agent_id": "b"})
        self.assert_answered(answer, 403, error="forbidden", required_scope="admin")
        self.assertEqual(self.post("/c/subscribe", {"agent_id": "a"}).status, 200)
        answer = self.post("/c/subscribe", {"agent_id": "b"}, token="")
        self.assert_answered(answer, 404, error="agent_not_found", agent_id="b")
        self.hub.token("b")
        answer = self.post("/c/subscribe", {"agent_id": "b"}, token="")
        self.assert_answered(answer, 200, agent_id="b")
        self.assertEqual(self.get("/c").body["subscribers"], ["a", "b"])

    def test_subscriptions_of_an_agent(self) -> None:
        """An agent's subscriptions are listed; of one without any the list is empty."""
        self.create("x")
        self.post("/x/subscribe")
        self.post("/c/subscribe")
        for agent, expected in (("a", ["x", "c"]), ("never", [])):
            answer = self.hub.request(
                "GET", f"/api/agents/{agent}/subscriptions", token=self.hub.token("z")
            )
            self.assertEqual(answer.body, {"agent_id": agent, "subscriptions": expected})


class PublishTests(ChannelHttpCase):
    """``POST /api/channels/:ch/publish`` and ``GET …/history``."""

    def test_publish(self) -> None:
        """It is published as the token's agent, whatever the body claims."""
        self.post("/c/subscribe", token=self.hub.token("b"))
        agent = self.hub.agent("b")
        body = {"payload": {"x": 1}, "type": "note", "reply_to": "r", "from": "b", "sender": "b"}
        answer = self.post("/c/publish", body)
        self.assert_answered(answer, 200, status="published", channel="c")
        (frame,) = agent.of("channel_message")
        self.assert_fields(
            frame,
            seq=answer.body["seq"],
            id=answer.body["id"],
            message_type="note",
            reply_to="r",
            payload={"x": 1},
            **{"from": "a"},
        )

    def test_not_to_its_publisher(self) -> None:
        """The publisher has its answer, and gets no copy on its socket."""
        agent = self.hub.agent("a")
        self.post("/c/subscribe")
        self.post("/c/publish", {"payload": {}})
        self.assertEqual(agent.of("channel_message"), [])

    def test_wrong_fields(self) -> None:
        """Mistyped fields are told, all of them."""
        answer = self.post("/c/publish", {"payload": [], "message_type": 5, "reply_to": {}})
        self.assertEqual(answer.status, 422)
        self.assertEqual(
            [e["field"] for e in answer.body["errors"]], ["payload", "message_type", "reply_to"]
        )
        self.assertEqual(self.post("/c/publish", {}).status, 422)

    def test_too_fast(self) -> None:
        """Past the rate it is 429, with the time after which to go on, twice."""
        answer = None
        for _ in range(201):
            answer = self.post("/c/publish", {"payload": {}})
        assert answer is not None
        self.assert_answered(answer, 429, error="rate_limited")
        self.assertGreater(answer.body["retry_after_ms"], 0)
        self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)

    def test_history(self) -> None:
        """A history over HTTP is the one over WebSocket."""
        seqs = [self.post("/c/publish", {"payload": {"n": n}}).body["seq"] for n in range(60)]
        answer = self.get(f"/c/history?since={seqs[4]}&limit=3")
        self.assertEqual([m["seq"] for m in answer.body["messages"]], seqs[5:8])
        self.assert_fields(answer.body, channel="c", count=3, last_seq=seqs[7], more=True)
        self.assertEqual(len(self.get("/C/history").body["messages"]), 50)
        agent = self.hub.agent("b")
        (frame,) = agent.say("channel_history", channel="c", since=seqs[4], limit=3)
        del frame["type"]
        self.assertEqual(frame, answer.body)

    def test_history_bounds(self) -> None:
        """Numbers out of bounds are refused."""
        for query in ("limit=0", "limit=1001", "since=-1", "since=x"):
            self.assertEqual(self.get(f"/c/history?{query}").status, 422, query)

    def test_token_in_the_query(self) -> None:
        """A history takes ``?token=``, as old clients send it; publishing does not."""
        token = self.hub.token("a")
        answer = self.hub.request("GET", f"/api/channels/c/history?token={token}", token=None)
        self.assertEqual(answer.status, 200)
        answer = self.hub.request(
            "POST", f"/api/channels/c/publish?token={token}", {"payload": {}}, token=None
        )
        self.assertEqual(answer.status, 401)

    def test_scope(self) -> None:
        """All of it needs the scope ``agent``."""
        token = self.hub.token("s", (SUBMIT,))
        for method, path, body in (
            ("GET", "/api/channels", None),
            ("GET", "/api/channels/c", None),
            ("POST", "/api/channels", {"name": "x"}),
            ("POST", "/api/channels/c/subscribe", None),
            ("POST", "/api/channels/c/unsubscribe", None),
            ("POST", "/api/channels/c/publish", {"payload": {}}),
            ("GET", "/api/channels/c/history", None),
            ("GET", "/api/agents/a/subscriptions", None),
        ):
            answer = self.hub.request(method, path, body, token=token)
            self.assert_answered(answer, 403, required_scope=AGENT)


class OverloadedTests(ChannelHttpCase):
    """A hub with more to write, or to deliver, than it should have."""

    def setUp(self) -> None:
        self.disk = SlowDisk()
        self.hub = MemoryHub(store=self.disk.store, clock=self.disk.clock)
        self.create("c")
        self.hub.token("a")

    def test_publish(self) -> None:
        """It takes no further message over HTTP, and says when to try again."""
        self.disk.hold()
        for _ in range(10_100):
            self.disk.store.commit(Unit())
        answer = self.post("/c/publish", {"payload": {}})
        self.assert_answered(answer, 503, error="overloaded")
        self.disk.release()
        self.hub.settle()
        answer = self.post("/c/publish", {"payload": {}})
        self.assert_answered(answer, 200, status="published")

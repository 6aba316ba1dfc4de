"""A hub that has too much to do: what it refuses, how, and what goes on."""

from __future__ import annotations

from typing import Any

from agentcom.core.tokens import AGENT, SUBMIT
from agentcom.http.overload import may_be_refused
from agentcom.hub import load
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase, answer_of

TASKS = "/api/tasks"
WORK = {"description": "work"}
REFUSED = {
    "push_task",
    "submit_task",
    "submit_batch",
    "retry_task",
    "retry_dead_letters",
    "list_dead_letters",
    "list_tasks",
    "task_stats",
    "get_task",
    "task_events",
    "explain_task",
    "list_agents",
    "get_agent",
    "list_channels",
    "create_channel",
    "get_channel",
    "subscribe",
    "publish",
    "channel_history",
    "subscriptions",
    "send_message",
    "list_messages",
    "get_thread",
    "thread_root",
    "thread_replies",
    "read_mailbox",
    "register",
    "sign_in",
    "events",
    "stats_series",
}


class OverloadCase(HttpCase):
    """A hub whose load is looked at, on a processor whose time the test tells.

    :ivar cpu_s: seconds of it that were used.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cpu_s = 0.0
        self.load = self.hub.hub.load
        self.load.start(self.hub.clock, lambda: self.cpu_s)
        self.shed = self.hub.hub.counts.shed

    def turns(self, seconds: float, each: float) -> None:
        """Long turns of the reactor, one after the other."""
        for _ in range(round(seconds / each)):
            self.hub.clock.advance(each)
        self.hub.settle()

    def overload(self) -> None:
        """Long turns, until new work is refused; the processor's time in this one is used up."""
        self.hub.request("GET", "/api/agents")
        self.turns(1.0, 0.2)
        self.assertTrue(self.load.shedding)
        self.use_up()

    def use_up(self) -> None:
        """This turn has taken as long as a turn may."""
        self.cpu_s += load.TURN_S * 1.5

    def assert_refused(self, answer: Answered) -> None:
        """It is the answer of a hub that has too much to do."""
        body = self.answers(answer, 503, error="overloaded")
        wait_ms = body["retry_after_ms"]
        self.assertTrue(load.LEAST_RETRY_MS <= wait_ms <= load.MOST_RETRY_MS, wait_ms)
        self.assertEqual(answer.headers["retry-after"], str(-(-wait_ms // 1000)))
        self.assertEqual(answer.headers["content-type"], "application/json")


class RefusedTests(OverloadCase):
    """What is refused, and what is not."""

    def test_table(self) -> None:
        """What begins something and what is long to read may be refused, and nothing else."""
        routes = self.hub.parts.api.routes.values()
        self.assertEqual({r.name for r in routes if may_be_refused(r)}, REFUSED)

    def test_new_work(self) -> None:
        """New work and long reads are refused with 503, a time to wait, and are counted."""
        self.overload()
        self.assert_refused(self.post(TASKS, WORK))
        self.assert_refused(self.post(f"{TASKS}/batch", {"tasks": [WORK]}))
        self.assert_refused(self.post("/api/admin/push-task", {"agent_id": "a", **WORK}))
        self.assert_refused(self.get(f"{TASKS}?limit=5"))
        self.assert_refused(self.get("/api/agents", token=None))
        self.assertEqual(self.shed, {"work": 3, "read": 2})

    def test_paths_with_names(self) -> None:
        """Routes whose paths have variable parts are refused just so."""
        self.overload()
        self.assert_refused(self.get(f"{TASKS}/task-1/events"))
        self.assert_refused(self.post(f"{TASKS}/task-1/retry", {}))
        self.assertEqual(self.shed, {"work": 1, "read": 1})

    def test_what_goes_on(self) -> None:
        """Cancels, what an operator does, health and metrics are never refused."""
        task_id = self.answers(self.post(TASKS, WORK), 201)["task_id"]
        self.overload()
        self.answers(self.get("/health", token=None), 200)
        self.answers(self.get("/ready", token=None), 200)
        self.assertEqual(self.get("/metrics", token=None).status, 200)
        self.answers(self.post("/admin/tokens", {"agent_id": "n"}), 201)
        self.answers(self.post("/api/agents/n/drain", {}), 200)
        self.answers(self.post(f"{TASKS}/{task_id}/cancel"), 200)

    def test_who_is_unknown_learns_that_first(self) -> None:
        """Without a good token, or with one that lacks the scope, the answer is 401 or 403."""
        self.overload()
        agent = self.hub.token("a", (AGENT,))
        self.use_up()
        for path in (TASKS, f"{TASKS}/task-1/retry"):
            self.answers(self.post(path, WORK, token=None), 401, error="unauthorized")
            self.answers(self.post(path, WORK, token="no"), 401, error="unauthorized")
            self.answers(self.post(path, WORK, token=agent), 403, error="forbidden")
        self.assertEqual(self.shed, {})

    def test_scope_is_enough(self) -> None:
        """A token with just the scope of the route is refused as well."""
        self.overload()
        token = self.hub.token("s", (SUBMIT,))
        self.use_up()
        self.assert_refused(self.post(TASKS, WORK, token=token))

    def test_reports_go_on(self) -> None:
        """Agents come in, and what they report is taken and acknowledged."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        self.overload()
        self.hub.agent("b")
        self.use_up()
        agent.say("task_accepted", task_id=task_id, generation=1)
        agent.say("task_complete", task_id=task_id, generation=1, result={})
        self.assertEqual(agent.of("task_ack")[-1]["status"], "complete")
        self.assertTrue(self.load.shedding)

    def test_frames(self) -> None:
        """A task that is submitted by a frame is refused with the time to wait, and ``ref``."""
        agent = self.hub.agent("a")
        self.overload()
        agent.say("task_submit", description="work", ref=7)
        told = agent.of("error")[-1]
        self.assertEqual((told["error"], told["ref"]), ("overloaded", 7))
        self.assertGreaterEqual(told["retry_after_ms"], load.LEAST_RETRY_MS)
        self.assertEqual(self.shed, {"frame": 1})
        self.turns(0.1, load.LOOK_S)
        agent.say("task_submit", description="work", ref=8)
        self.assertEqual(agent.of("task_submitted")[-1]["ref"], 8)


class PlainRequestTests(OverloadCase):
    """Requests that are refused before HTTP has looked at them."""

    def ask(self, *parts: bytes) -> bytes:
        """What comes back on a line of its own for what is sent in parts."""
        client = self.hub.open_http()
        transport: Any = client.transport
        for part in parts:
            transport.write(part)
            self.hub.settle()
        return bytes(client.received)

    def request(self, *headers: str, body: bytes = b"{}", target: str = TASKS) -> bytes:
        """The bytes of a request."""
        lines = [f"POST {target} HTTP/1.1", f"Authorization: Bearer {self.hub.admin_token}"]
        return "\r\n".join([*lines, *headers, "", ""]).encode() + body

    def test_line_goes_on(self) -> None:
        """After a refusal the line serves the next request, refused or not."""
        self.overload()
        client = self.hub.open_http()
        transport: Any = client.transport
        request = self.request("Host: h", "Content-Length: 22", body=b'{"description":"work"}')
        for status in (b"503", b"503", b"201", b"503"):
            if status == b"201":
                self.turns(0.1, load.LOOK_S)
            else:
                self.use_up()
            client.received = b""
            transport.write(request)
            self.hub.settle()
            self.assertEqual(client.received[9:12], status)

    def test_unusual_requests(self) -> None:
        """What is split, pipelined, chunked or otherwise unusual is refused all the same."""
        self.overload()
        good = self.request("Host: h", "Content-Length: 2")
        head = good[:-2]
        chunked = self.request(
            "Host: h", "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"
        )
        for parts, count in (
            ((good,), 1),
            ((good[:9], good[9:]), 1),
            ((head, b"{}"), 1),
            ((good + good,), 2),
            ((good, good), 2),
            ((chunked,), 1),
            ((self.request("Host: h", "Content-Length: 2", "Connection: close"),), 1),
            ((self.request("Host: h", "Content-Length: 2", "Accept:\t*/*"),), 1),
        ):
            self.assertEqual(self.ask(*parts).count(b'"error":"overloaded"'), count, parts)

    def test_answers_keep_their_order(self) -> None:
        """A request behind one that is not answered yet is refused after that is."""
        self.overload()
        self.turns(load.LOOK_S, load.LOOK_S)
        self.commits.holding = True
        client = self.hub.open_http()
        transport: Any = client.transport
        request = self.request("Host: h", "Content-Length: 22", body=b'{"description":"work"}')
        transport.write(request)
        self.hub.settle()
        self.use_up()
        transport.write(request)
        self.hub.settle()
        self.assertEqual(client.received, b"")
        self.commits.release()
        self.hub.settle()
        self.assertEqual(client.received[9:12], b"201")
        self.assertEqual(client.received.count(b'"error":"overloaded"'), 1)

    def test_request_within_another(self) -> None:
        """What comes within the head or the body of a request is no request."""
        self.overload()
        good = self.request("Host: h", "Content-Length: 2")
        for begun in (b"GET /health HTTP/1.1\r\nHost: h\r\nX: ", b"GET /hea"):
            self.assertNotIn(b"overloaded", self.ask(begun, good), begun)
        body = self.request("Host: h", f"Content-Length: {len(good)}", body=b"", target="/nope")
        self.assertEqual(self.ask(body, good)[9:12], b"404")

    def test_what_is_no_good_request(self) -> None:
        """What HTTP would refuse for its form is refused for that, and never for the load."""
        self.overload()
        for headers, status in (
            (("Host: a", "Host: b", "Content-Length: 2"), b"400"),
            (("Host: h", "Content-Length: 2", "Content-Length: 3"), b"400"),
            (("Host: h", "Content-Length: +2"), b"400"),
            (("Host: h", "Content-Length: 2", "Transfer-Encoding: chunked"), b"400"),
            (("Host: h", "Content-Length: 2", "Bad Name: x"), b"400"),
            (("Host: h", "Content-Length : 2"), b"400"),
        ):
            self.assertEqual(self.ask(self.request(*headers))[9:12], status, headers)
        self.assertEqual(self.shed, {})

    def test_control_characters(self) -> None:
        """Headers with bare line ends or zero bytes are left to HTTP."""
        self.overload()
        for value in ("a\nb", "a\rb", "a\0b"):
            answer = self.ask(self.request("Host: h", f"X: {value}", "Content-Length: 2"))
            self.assertFalse(answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type"))

    def test_request_id(self) -> None:
        """The id that came with a request goes back with its refusal, if it is one."""
        self.overload()
        self.assertEqual(
            self.post(TASKS, WORK, headers={"X-Request-Id": "me-1"}).headers["x-request-id"], "me-1"
        )
        self.assert_refused(self.post(TASKS, WORK, headers={"X-Request-Id": "a b"}))


class BeginAndEndTests(OverloadCase):
    """When new work is refused."""

    def test_rest_of_a_turn(self) -> None:
        """While there is too much to do, each turn takes what it can, and refuses the rest."""
        self.overload()
        self.assert_refused(self.post(TASKS, WORK))
        self.turns(0.1, load.LOOK_S)
        self.answers(self.post(TASKS, WORK), 201)
        self.use_up()
        self.assert_refused(self.post(TASKS, WORK))

    def test_same_chance_for_all(self) -> None:
        """Who asks late in a turn is taken as often as who asks early, and turns are filled."""
        self.overload()
        taken = [0] * 20
        for _ in range(600):
            for place in range(len(taken)):
                if not self.load.full():
                    taken[place] += 1
                    self.cpu_s += load.TURN_S / 4
                self.cpu_s += load.TURN_S / 100
            self.load.refusal(load.WORK)
            self.hub.clock.advance(load.LOOK_S * 2)
        self.assertGreater(sum(taken), 600 * 1.5)
        self.assertGreater(sum(taken[-5:]), sum(taken[:5]) / 2)

    def test_asked_once(self) -> None:
        """However a request comes, it is drawn for once: of half the share half are taken."""
        self.overload()
        self.turns(0.1, load.LOOK_S)
        self.load._share = 0.5
        for body in (WORK, b'{"description":"' + b"x" * 300 + b'"}'):
            statuses = [self.post(TASKS, body).status for _ in range(20)]
            self.assertEqual((statuses.count(201), statuses.count(503)), (10, 10))
        unusual = {"X-Requested-With": "x", "Connection": "close"}
        statuses = [self.post(TASKS, WORK, headers=unusual).status for _ in range(20)]
        self.assertEqual((statuses.count(201), statuses.count(503)), (10, 10))
        statuses = [self.get(f"{TASKS}/task-1").status for _ in range(20)]
        self.assertEqual((statuses.count(404), statuses.count(503)), (10, 10))

    def test_one_long_turn(self) -> None:
        """A process that was stopped for long, or a slow moment, is no overload."""
        self.answers(self.post(TASKS, WORK), 201)
        self.turns(60.0, 60.0)
        self.turns(0.1, load.LOOK_S)
        self.turns(10.0, 5.0)
        self.assertFalse(self.load.shedding)
        self.use_up()
        self.answers(self.post(TASKS, WORK), 201)

    def test_very_long_turn(self) -> None:
        """One turn takes only so much at once, also when all was well."""
        self.answers(self.post(TASKS, WORK), 201)
        self.cpu_s += load.LONG_TURN_S * 1.1
        # Time passes, and nothing that is due has its turn yet.
        self.hub.clock.rightNow += load.LONG_TURN_S * 1.1
        self.assert_refused(self.post(TASKS, WORK))
        self.turns(load.LOOK_S, load.LOOK_S)
        self.answers(self.post(TASKS, WORK), 201)

    def test_slow_store(self) -> None:
        """New work is refused while many wait for long for the disk, and taken when none do."""
        self.wait_for_disk(load.WINDOW, load.SLOW_S)
        self.assertTrue(self.load.shedding)
        self.assert_refused(self.post(TASKS, WORK))
        self.commits.release()
        self.turns(0.1, load.LOOK_S)
        self.answers(self.post(TASKS, WORK), 201)

    def test_slow_store_with_large_units(self) -> None:
        """A few that wait for very long are too many, because they may be large."""
        self.wait_for_disk(load.LARGE, load.LARGE_SLOW_S)
        self.assertTrue(self.load.shedding)
        self.assert_refused(self.post(TASKS, WORK))
        self.commits.release()

    def test_slow_disk(self) -> None:
        """A disk that takes long for a few is no overload: everything is taken."""
        for units, seconds in ((load.LARGE - 1, 4.0), (load.WINDOW - 1, load.LARGE_SLOW_S - 0.5)):
            self.wait_for_disk(units, seconds)
            self.assertFalse(self.load.shedding)
            self.commits.release()
            self.hub.settle()
            self.turns(0.1, load.LOOK_S)

    def wait_for_disk(self, units: int, seconds: float) -> None:
        """So many units wait behind one that is being written, for that long and a little."""
        self.commits.holding = True
        for _ in range(units + 1):
            self.begin("POST", TASKS, WORK)
            self.hub.settle()
        self.assertEqual(self.hub.store.backlog(), units)
        self.turns(seconds + load.BEGIN_S + 0.1, load.LOOK_S)

    def test_window(self) -> None:
        """While there is too much to do only so much may wait for the disk; reports still may."""
        agent = self.hub.agent("a")
        task_id = self.hub.push("a")
        self.overload()
        self.turns(load.LOOK_S, load.LOOK_S)
        self.commits.holding = True
        for _ in range(load.WINDOW + 1):
            self.begin("POST", TASKS, WORK)
        self.assert_refused(self.post(TASKS, WORK))
        agent.say("task_accepted", task_id=task_id, generation=1)
        self.commits.release()
        self.hub.settle()
        self.assertEqual(agent.of("task_ack")[-1]["status"], "accepted")

    def test_most_waiting(self) -> None:
        """So many requests may wait for the disk when all is well, and no more."""
        self.commits.holding = True
        self.hub.hub.ledger.flush()
        for _ in range(load.MOST_WAITING + 2):
            self.hub.hub.ledger.answer(lambda: None)
            self.hub.settle()
        self.assert_refused(self.post(TASKS, WORK))
        self.commits.release()

    def test_many_who_come_and_go(self) -> None:
        """Agents that come and go in thousands keep nobody's work from being taken."""
        self.commits.holding = True
        self.hub.hub.ledger.flush()
        for number in range(2 * load.MOST_WAITING):
            self.hub.hub.presence.left(f"agent-{number}")
        self.assertGreater(self.hub.store.backlog(), load.MOST_WAITING)
        took = self.begin("POST", TASKS, WORK)
        self.commits.release()
        self.hub.settle()
        answer = answer_of(took)
        assert answer is not None
        self.answers(answer, 201)

    def test_calm(self) -> None:
        """Everything is as usual once nothing was refused for a second, and not before."""
        self.overload()
        for _ in range(20):
            self.assert_refused(self.post(TASKS, WORK))
            self.turns(0.2, load.LOOK_S)
            self.use_up()
        self.assertTrue(self.load.shedding)
        self.turns(2 * load.CALM_S + 0.1, load.LOOK_S)
        self.assertFalse(self.load.shedding)
        self.use_up()
        self.answers(self.post(TASKS, WORK), 201)

    def test_rests(self) -> None:
        """Nobody looks at the load of a hub of which nothing is asked."""

        def looks() -> int:
            calls = self.hub.clock.getDelayedCalls()
            return sum(c.func == self.load._look for c in calls)

        self.assertEqual(looks(), 0)
        self.post(TASKS, WORK)
        self.assertEqual(looks(), 1)
        self.turns(load.CALM_S + 0.1, load.LOOK_S)
        self.assertEqual(looks(), 0)

    def test_time_to_wait_grows(self) -> None:
        """The more are refused, the longer they are asked to wait, up to a limit."""
        self.overload()
        for many, least_ms in ((5, 1_000), (2_000, 10_000)):
            for _ in range(2):
                for _ in range(many):
                    self.load.refusal(load.WORK)
                self.turns(1.02, load.LOOK_S)
            waits: Any = [self.load.refusal(load.WORK).fields["retry_after_ms"] for _ in range(50)]
            self.assertGreater(max(waits), least_ms)
            self.assertLessEqual(max(waits), load.MOST_RETRY_MS)
            self.assertGreater(len(set(waits)), 10)

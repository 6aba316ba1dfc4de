"""What every route really answers, against the document of the API."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from agentcom.testing import Answered, MemoryHub
from tests.unit.http.documented import DocumentCase

PUSH = {"agent_id": "nobody", "description": "x"}
AS_JSON = {"Content-Type": "application/json"}


class AnswerTests(DocumentCase):
    """Real answers of every route against the document."""

    # One of each: method, path and body.  What is asked for in words is put in.
    CALLS: ClassVar[dict[str, tuple[str, str, Any]]] = {
        "health": ("GET", "/health", None),
        "ready": ("GET", "/ready", None),
        "metrics": ("GET", "/metrics", None),
        "home": ("GET", "/", None),
        "dashboard": ("GET", "/dashboard", None),
        "page": ("GET", "/dashboard/app.js", None),
        "part": ("GET", "/dashboard/views/task.js", None),
        "openapi": ("GET", "/openapi.json", None),
        "reference": ("GET", "/docs/api", None),
        "reference_style": ("GET", "/docs/reference.css", None),
        "stats_series": ("GET", "/api/stats/series", None),
        "push_task": ("POST", "/api/admin/push-task", {"agent_id": "w", "description": "x"}),
        "submit_task": ("POST", "/api/tasks", {"description": "x", "labels": {"os": "linux"}}),
        "submit_batch": ("POST", "/api/tasks/batch", {"tasks": [{"description": "x"}]}),
        "list_tasks": ("GET", "/api/tasks?search=x", None),
        "task_stats": ("GET", "/api/tasks/stats", None),
        "get_task": ("GET", "/api/tasks/{running}", None),
        "task_events": ("GET", "/api/tasks/{running}/events?limit=1", None),
        "explain_task": ("GET", "/api/tasks/{waiting}/explain", None),
        "requeue_task": ("POST", "/api/tasks/{running}/requeue", None),
        "cancel_task": ("POST", "/api/tasks/{running}/cancel", {"reason": "no"}),
        "list_dead_letters": ("GET", "/api/tasks/dead-letter", None),
        "retry_task": ("POST", "/api/tasks/{dead}/retry", None),
        "delete_task": ("DELETE", "/api/tasks/{dead_too}", None),
        "retry_dead_letters": ("POST", "/api/tasks/dead-letter/retry", {"all": True}),
        "delete_dead_letters": ("POST", "/api/tasks/dead-letter/delete", {"agent_id": "w"}),
        "list_agents": ("GET", "/api/agents", None),
        "get_agent": ("GET", "/api/agents/w", None),
        "drain_agent": ("POST", "/api/agents/w/drain", {"note": "new disk"}),
        "show_drain": ("GET", "/api/agents/w/drain", None),
        "show_hub_drain": ("GET", "/api/admin/drain", None),
        "resume_agent": ("POST", "/api/agents/w/resume", None),
        "drain_hub": ("POST", "/api/admin/drain", None),
        "resume_hub": ("DELETE", "/api/admin/drain", None),
        "create_channel": ("POST", "/api/channels", {"name": "builds"}),
        "list_channels": ("GET", "/api/channels", None),
        "subscribe": ("POST", "/api/channels/builds/subscribe", {"agent_id": "w"}),
        "get_channel": ("GET", "/api/channels/builds", None),
        "publish": ("POST", "/api/channels/builds/publish", {"payload": {"n": 1}}),
        "channel_history": ("GET", "/api/channels/builds/history", None),
        "subscriptions": ("GET", "/api/agents/w/subscriptions", None),
        "unsubscribe": ("POST", "/api/channels/builds/unsubscribe", {"agent_id": "w"}),
        "send_message": ("POST", "/api/message", {"to": "away", "payload": {"n": 1}}),
        "list_messages": ("GET", "/api/messages", None),
        "get_thread": ("GET", "/api/threads/{message}", None),
        "thread_root": ("GET", "/api/threads/{message}/root", None),
        "thread_replies": ("GET", "/api/threads/{message}/replies", None),
        "read_mailbox": ("GET", "/api/mailbox/away", None),
        "ack_mailbox": ("POST", "/api/mailbox/away/ack", {"seq": 1}),
        "disconnect_agent": ("POST", "/api/agents/w/disconnect", None),
        "create_token": ("POST", "/admin/tokens", {"agent_id": "ci", "expires_in_s": 60}),
        "list_tokens": ("GET", "/admin/tokens", None),
        "revoke_tokens": ("DELETE", "/admin/tokens/ci", None),
        "register": ("POST", "/api/onboard/register", {"agent_id": "new"}),
        "sign_in": ("POST", "/api/session", {"token": "{token}"}),
        "session": ("GET", "/api/session", None),
        "sign_out": ("DELETE", "/api/session", None),
    }
    NOT_CALLED: ClassVar[dict[str, str]] = {
        "events": "it never ends; test_events.py looks at what it writes",
    }

    def test_every_route_is_called(self) -> None:
        """No route is forgotten here."""
        names = {one.name for one in self.routes}
        self.assertEqual(names, {*self.CALLS, *self.NOT_CALLED})

    def test_good_answers(self) -> None:
        """Every route's answer to a good request is as the document says."""
        put_in = self.prepare()
        for name, (method, path, body) in self.CALLS.items():
            if body is not None:
                body = json.loads(_put_in(json.dumps(body), put_in))
            headers = {"Content-Type": "application/json"}
            answer = self.hub.request(method, _put_in(path, put_in), body, headers=headers)
            self.assertLess(answer.status, 300, (name, answer.body))
            self.documented.check(name, answer)

    def test_other_states(self) -> None:
        """Tasks in every state, explained and shown, and agents that are away."""
        put_in = self.prepare()
        self.hub.request("POST", f"/api/tasks/{put_in['waiting']}/cancel")
        for task_id in (put_in["running"], put_in["dead"], put_in["waiting"], put_in["held"]):
            for name, more in (("get_task", ""), ("explain_task", "/explain")):
                self.documented.check(name, self.get(f"/api/tasks/{task_id}{more}"))
        for agent_id in ("away", "held"):
            self.documented.check("get_agent", self.get(f"/api/agents/{agent_id}"))

    def test_refusals(self) -> None:
        """What is refused is refused as the document says, with one of the codes it names."""
        weak = self.hub.token("weak", ("enroll",))
        calls: list[tuple[str, Answered, int]] = [
            ("list_tasks", self.get("/api/tasks", token=None), 401),
            ("list_tasks", self.get("/api/tasks", token=weak), 403),
            ("list_tasks", self.get("/api/tasks?limit=0"), 422),
            ("get_task", self.get("/api/tasks/none"), 404),
            ("submit_task", self.post("/api/tasks", b"{"), 400),
            ("submit_task", self.post("/api/tasks", {}), 422),
            ("push_task", self.post("/api/admin/push-task", {}), 400),
            ("push_task", self.post("/api/admin/push-task", PUSH), 404),
            ("sign_in", self.post("/api/session", {"token": "x" * 64}, headers=AS_JSON), 401),
            ("create_channel", self.post("/api/channels", {"name": "builds"}), 201),
            ("create_channel", self.post("/api/channels", {"name": "builds"}), 409),
            ("list_tasks", self.get("/api/tasks", headers={"Origin": "http://evil.example"}), 403),
        ]
        self.free = 0
        self.hub.advance(5)
        calls.append(("submit_task", self.post("/api/tasks", {"description": "x"}), 503))
        for name, answer, status in calls:
            self.assertEqual(answer.status, status, (name, answer.body))
            self.documented.check(name, answer)

    def test_the_check_can_fail(self) -> None:
        """An answer with a field too few, another status or another type is found."""
        good = self.get("/api/tasks/stats")
        self.documented.check("task_stats", good)
        good.body = {"by_status": {}}
        self.assertRaises(AssertionError, self.documented.check, "task_stats", good)
        good.status = 418
        self.assertRaises(AssertionError, self.documented.check, "task_stats", good)

    def prepare(self) -> dict[str, str]:
        """Tasks in several states, an agent that works and two that are away."""
        hub: MemoryHub = self.hub
        worker, held = hub.agent("w", slots=9), hub.agent("held")
        hub.token("away")
        put_in = {"running": hub.push("w"), "held": hub.push("held"), "token": hub.token("ci2")}
        worker.say("task_accepted", task_id=put_in["running"], generation=1)
        for name in ("dead", "dead_too"):
            put_in[name] = hub.push("w")
            worker.say("task_accepted", task_id=put_in[name], generation=1)
            worker.say("task_failed", task_id=put_in[name], generation=1, error="x")
        held.vanish()
        submitted = {"description": "x", "capabilities": ["gpu"], "backoff": {"factor": 3}}
        put_in["waiting"] = self.post("/api/tasks", submitted).body["task_id"]
        put_in["message"] = self.post("/api/message", {"to": "w", "payload": {}}).body["id"]
        return put_in


def _put_in(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template

"""The calls of the client, against canned answers of a hub in memory."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from agentcom.client.errors import ClientError, HubError, HubUnreachable
from agentcom.client.hub import connect
from agentcom.client.unreached import TIMEOUT_S
from agentcom.client.urls import HubURL
from tests.unit.client.fakes import HALF, LOCAL, FakeHub, start

TASK = {"id": "task-1", "description": "d", "status": "queued", "created_at": 1, "new": [1]}


class CallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def ask(self, coroutine: Any) -> Any:
        return self.successResultOf(start(coroutine))

    def test_push(self) -> None:
        """A push sends what was given, no more, with the token in its header."""
        reply = {"status": "pushed", "task_id": "task-1", "agent_id": "bot"}
        self.hub.answers["POST /api/admin/push-task"] = 200, reply
        self.assertEqual(self.ask(self.client.push("bot", "do")), reply)
        self.ask(self.client.push("bot", "do", metadata={"a": 1}, idempotency_key="k"))
        path = "POST /api/admin/push-task"
        first = {"agent_id": "bot", "description": "do"}
        self.assertEqual(
            self.hub.requests,
            [(path, first), (path, {**first, "metadata": {"a": 1}, "idempotency_key": "k"})],
        )
        self.assertEqual(self.hub.tokens, ["Bearer secret"] * 2)

    def test_no_token(self) -> None:
        """Without a token no header is sent."""
        self.hub.answers["GET /api/agents"] = 200, {"agents": []}
        self.ask(self.hub.client(token=None).agents())
        self.assertEqual(self.hub.tokens, [None])

    def test_task_keeps_new_fields(self) -> None:
        """Fields that this client does not know are handed on."""
        self.hub.answers["GET /api/tasks/task-1"] = 200, TASK
        self.assertEqual(self.ask(self.client.task("task-1")), TASK)

    def test_tasks_filters(self) -> None:
        """Only the filters that were given are sent."""
        self.hub.answers["GET /api/tasks"] = 200, {"tasks": [TASK], "cursor": None}
        self.ask(self.client.tasks(status="queued", agent_id=None, limit=5))
        self.assertEqual(self.hub.requests[0][0], "GET /api/tasks?status=queued&limit=5")

    def test_events_of_a_task(self) -> None:
        """A page of events is asked for by cursor."""
        self.hub.answers["GET /api/tasks/task-1/events"] = 200, {"events": []}
        self.ask(self.client.task_events("task-1", cursor="c"))
        self.assertEqual(self.hub.requests[0][0], "GET /api/tasks/task-1/events?cursor=c")

    def test_cancel(self) -> None:
        """Cancelling may give a reason."""
        reply = {"status": "cancelled", "task_id": "task-1"}
        self.hub.answers["POST /api/tasks/task-1/cancel"] = 200, reply
        self.ask(self.client.cancel("task-1"))
        self.ask(self.client.cancel("task-1", "wrong branch"))
        self.assertEqual([b for _, b in self.hub.requests], [{}, {"reason": "wrong branch"}])

    def test_tokens(self) -> None:
        """Tokens are created, listed and revoked."""
        self.hub.answers["POST /admin/tokens"] = 201, {"agent_id": "bot", "token": "t"}
        self.hub.answers["GET /admin/tokens"] = 200, {"tokens": []}
        self.hub.answers["DELETE /admin/tokens/bot"] = 200, {"status": "revoked", "agent_id": "bot"}
        self.ask(self.client.create_token("bot"))
        self.ask(self.client.create_token("bot", scopes=["agent"], expires_in_s=5))
        self.ask(self.client.tokens())
        self.ask(self.client.revoke("bot"))
        bodies = [body for _, body in self.hub.requests]
        self.assertEqual(bodies[0], {"agent_id": "bot"})
        self.assertEqual(bodies[1], {"agent_id": "bot", "scopes": ["agent"], "expires_in_s": 5})

    def test_message(self) -> None:
        """A message names its receiver only where there is one."""
        self.hub.answers["POST /api/message"] = 200, {"status": "sent", "id": "m"}
        self.ask(self.client.send_message({"text": "hi"}))
        self.ask(self.client.send_message({"a": 1}, to="bot", message_type="t", reply_to="r"))
        self.assertEqual(self.hub.requests[0][1], {"payload": {"text": "hi"}})
        self.assertEqual(
            self.hub.requests[1][1],
            {"payload": {"a": 1}, "to": "bot", "type": "t", "reply_to": "r"},
        )


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = FakeHub()
        self.client = self.hub.client()

    def refused(self, asked: Deferred[Any], kind: type[ClientError] = HubUnreachable) -> Any:
        return self.failureResultOf(asked, kind).value

    def test_refusal(self) -> None:
        """An error answer becomes one exception with status, code and fields."""
        self.hub.answers["GET /api/agents"] = 403, {"error": "forbidden", "required_scope": "x"}
        error = self.refused(start(self.client.agents()), HubError)
        self.assertEqual((error.status, error.code), (403, "forbidden"))
        self.assertEqual(error.fields, {"required_scope": "x"})

    def test_not_a_hub(self) -> None:
        """An answer that no hub gives is told as such, whatever its status."""
        for answer in (
            (200, b"<html>"),
            (200, {"agents": "none"}),
            (200, []),
            (502, b"Bad gateway"),
            (500, {"message": "x"}),
        ):
            self.hub.answers["GET /api/agents"] = answer
            error = self.refused(start(self.client.agents()))
            self.assertIn("not an AgentCom hub", str(error))

    def test_redirects_are_not_followed(self) -> None:
        """A redirect does not carry the token elsewhere."""
        self.hub.answers["GET /api/agents"] = 302, {"error": "moved"}
        self.assertEqual(self.refused(start(self.client.agents()), HubError).status, 302)
        self.assertEqual(len(self.hub.requests), 1)

    def test_no_line(self) -> None:
        """Each way of not reaching a hub has its own sentence."""
        for cause, told, may_have_arrived in (
            (ConnectionRefusedError(), "no hub answers at http://127.0.0.1:4000", False),
            (DNSLookupError(), "is not known", False),
            (ConnectError(string="no route"), "cannot be reached", False),
            (ResponseNeverReceived([Failure(ValueError())]), "broke before its answer", True),
            (ResponseNeverReceived([Failure(SSL.Error())]), "certificate is not trusted", False),
            (TimeoutError(), "nothing answers at", False),
            (KeyError("odd"), "cannot be used", True),
        ):
            self.hub.down = cause
            error = self.refused(start(self.client.agents()))
            self.assertIn(told, str(error))
            self.assertEqual(error.may_have_arrived, may_have_arrived)

    def test_plain_hub(self) -> None:
        """Who meant http:// and said https:// is asked."""
        self.hub.down = ResponseNeverReceived([Failure(ValueError())])
        client = self.hub.client(HubURL.parse("https://127.0.0.1:4000"))
        self.assertIn("is it http:// there?", str(self.refused(start(client.agents()))))

    def test_strange_id(self) -> None:
        """An id that leads to no route is one that the hub does not know."""
        for asked, code in (
            (self.client.task("../../health"), "task_not_found"),
            (self.client.task_events(""), "task_not_found"),
            (self.client.cancel("a/b"), "task_not_found"),
            (self.client.revoke("a/b"), "token_not_found"),
        ):
            self.assertEqual(self.refused(start(asked), HubError).code, code)
        self.assertEqual(self.hub.requests[0][0], "GET /api/tasks/..%2F..%2Fhealth")

    def test_silence(self) -> None:
        """A hub that does not answer is given up after a while."""
        silent: Deferred[Any] = Deferred()
        self.patch(self.hub, "request", lambda *args: silent)
        asked = start(self.client.agents())
        self.assertNoResult(asked)
        self.hub.clock.advance(TIMEOUT_S)
        self.assertIn("did not answer within 30 s", str(self.refused(asked)))

    def test_silence_in_the_middle(self) -> None:
        """Neither does half an answer hold the caller for ever."""
        self.hub.answers["GET /api/agents"] = HALF
        asked = start(self.client.agents())
        self.hub.flush()
        self.assertNoResult(asked)
        self.hub.clock.advance(TIMEOUT_S)
        self.assertIn("did not answer within 30 s", str(self.refused(asked)))


class ConnectTests(SynchronousTestCase):
    def test_connect(self) -> None:
        """A client over a real reactor needs only the reactor, an address and a token."""
        hub = FakeHub()
        self.assertIs(connect(hub.clock, LOCAL, "t").clock, hub.clock)

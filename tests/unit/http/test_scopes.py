"""What each route needs: the contract's table against every route that is declared."""

from __future__ import annotations

from twisted.web.test.requesthelper import DummyRequest

from agentcom.core.tokens import ADMIN, AGENT, ANY, DEFAULT_SCOPES, ENROLL, SCOPES, SUBMIT
from agentcom.errors import Forbidden, Unauthorized
from agentcom.http.route import Answer, Route
from tests.unit.http.support import HttpCase

OWN = "own token"

# Method, path and scope of PROTOCOL.md section 4.  A route that is not here fails.
NEEDS: dict[tuple[str, str], str | None] = {
    ("GET", "/health"): None,
    ("GET", "/ready"): None,
    ("POST", "/api/admin/push-task"): SUBMIT,
    ("POST", "/api/tasks"): SUBMIT,
    ("POST", "/api/tasks/batch"): SUBMIT,
    ("GET", "/api/tasks"): SUBMIT,
    ("GET", "/api/tasks/stats"): SUBMIT,
    ("GET", "/api/tasks/dead-letter"): SUBMIT,
    ("POST", "/api/tasks/dead-letter/retry"): SUBMIT,
    ("POST", "/api/tasks/dead-letter/delete"): ADMIN,
    ("GET", "/api/tasks/<task_id>"): SUBMIT,
    ("DELETE", "/api/tasks/<task_id>"): ADMIN,
    ("GET", "/api/tasks/<task_id>/events"): SUBMIT,
    ("GET", "/api/tasks/<task_id>/explain"): SUBMIT,
    ("POST", "/api/tasks/<task_id>/cancel"): SUBMIT,
    ("POST", "/api/tasks/<task_id>/retry"): SUBMIT,
    ("POST", "/api/tasks/<task_id>/requeue"): ADMIN,
    ("GET", "/api/agents"): None,
    ("GET", "/api/agents/<agent_id>"): SUBMIT,
    ("GET", "/api/agents/<agent_id>/drain"): ADMIN,
    ("POST", "/api/agents/<agent_id>/drain"): ADMIN,
    ("POST", "/api/agents/<agent_id>/resume"): ADMIN,
    ("POST", "/api/agents/<agent_id>/disconnect"): ADMIN,
    ("GET", "/api/admin/drain"): ADMIN,
    ("POST", "/api/admin/drain"): ADMIN,
    ("DELETE", "/api/admin/drain"): ADMIN,
    ("POST", "/admin/tokens"): ADMIN,
    ("GET", "/admin/tokens"): ADMIN,
    ("DELETE", "/admin/tokens/<agent_id>"): OWN,
    ("POST", "/api/onboard/register"): ENROLL,
    ("POST", "/api/message"): AGENT,
    ("GET", "/api/channels"): AGENT,
    ("POST", "/api/channels"): AGENT,
    ("GET", "/api/channels/<channel>"): AGENT,
    ("POST", "/api/channels/<channel>/subscribe"): AGENT,
    ("POST", "/api/channels/<channel>/unsubscribe"): AGENT,
    ("POST", "/api/channels/<channel>/publish"): AGENT,
    ("GET", "/api/channels/<channel>/history"): AGENT,
    ("GET", "/api/agents/<agent_id>/subscriptions"): AGENT,
    ("GET", "/api/messages"): AGENT,
    ("GET", "/api/threads/<message_id>"): AGENT,
    ("GET", "/api/threads/<message_id>/root"): AGENT,
    ("GET", "/api/threads/<message_id>/replies"): AGENT,
    ("GET", "/api/mailbox/<agent_id>"): AGENT,
    ("POST", "/api/mailbox/<agent_id>/ack"): AGENT,
    ("POST", "/api/session"): None,
    ("GET", "/api/session"): ANY,
    ("DELETE", "/api/session"): ANY,
    ("GET", "/api/events"): SUBMIT,
    ("GET", "/api/stats/series"): SUBMIT,
    ("GET", "/openapi.json"): None,
    ("GET", "/docs/api"): None,
    ("GET", "/docs/reference.css"): None,
    ("GET", "/metrics"): None,
    ("GET", "/"): None,
    ("GET", "/dashboard"): None,
    ("GET", "/dashboard/<name>"): None,
    ("GET", "/dashboard/<folder>/<name>"): None,
}


class ScopeTests(HttpCase):
    """Every declared route, with every kind of token."""

    def routes(self) -> list[tuple[Route, str | None]]:
        declared = list(self.hub.parts.api.routes.values())
        return [(route, NEEDS[route.method, route.path]) for route in declared]

    def call(self, route: Route, token: str | None, own: str = "w", **more: str) -> int:
        path = route.path if route.own is None else route.path.replace(f"<{route.own}>", own)
        path = path.replace("<", "").replace(">", "")
        return self.hub.request(route.method, path, b"", token=token, headers=more).status

    def test_table_is_whole(self) -> None:
        """Every declared route stands in the table, and every line of it is a route."""
        declared = {(r.method, r.path) for r in self.hub.parts.api.routes.values()}
        self.assertEqual(declared, set(NEEDS))

    def test_nothing_is_served_undeclared(self) -> None:
        """Every rule of the HTTP application belongs to a declared route."""
        api = self.hub.parts.api
        served = {
            (method, rule.rule)
            for rule in api.app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD"}
        }
        self.assertEqual(served, {(r.method, r.path) for r in api.routes.values()})

    def test_without_a_token(self) -> None:
        """Where a scope is needed, no token, a wrong one and another scheme are 401."""
        for route, needed in self.routes():
            for token, header in (
                (None, ""),
                ("wrong", ""),
                (None, "Basic YTpi"),
                (None, "Bearer"),
            ):
                more = {"Authorization": header} if header else {}
                status = self.call(route, token, **more)
                if needed is None:
                    self.assertNotIn(status, (401, 403), route.path)
                else:
                    self.assertEqual(status, 401, route.path)

    def test_answer_to_nobody(self) -> None:
        """A 401 has version 1's words, and a challenge."""
        answer = self.get("/api/tasks", token=None)
        self.assertEqual(answer.status, 401)
        self.assertEqual(
            answer.body,
            {"error": "unauthorized", "hint": "provide Authorization: Bearer <token>"},
        )
        self.assertEqual(answer.headers["www-authenticate"], "Bearer")

    def test_every_scope_alone(self) -> None:
        """A token opens the routes of its one scope, ``admin`` all, and no others."""
        for scope in SCOPES:
            token = self.hub.token(f"only-{scope}", (scope,))
            for route, needed in self.routes():
                status = self.call(route, token, own=f"only-{scope}")
                if needed in (None, ANY, scope) or scope == ADMIN:
                    self.assertNotIn(status, (401, 403), (route.path, scope))
                else:
                    self.assertEqual(status, 403, (route.path, scope))

    def test_missing_scope_is_named(self) -> None:
        """A 403 says which scope it takes."""
        token = self.hub.token("none", (ENROLL,))
        for route, needed in self.routes():
            if needed in (None, ANY, ENROLL):
                continue
            path = route.path.replace("<", "").replace(">", "")
            answer = self.hub.request(route.method, path, b"", token=token)
            scope = ADMIN if needed == OWN else needed
            self.answers(answer, 403, error="forbidden", required_scope=scope)

    def test_scheme_in_any_case(self) -> None:
        """The scheme is taken in any case, spaces around the token do no harm."""
        for header in ("bearer {}", "BEARER  {} ", "Bearer {}"):
            headers = {"Authorization": header.format(self.hub.admin_token)}
            self.assertEqual(self.get("/api/tasks", token=None, headers=headers).status, 200)

    def test_token_in_the_query(self) -> None:
        """``?token=`` is taken only where the route declares it."""
        token = self.hub.token("w", DEFAULT_SCOPES)
        for route, needed in self.routes():
            if needed is None:
                continue
            path = route.path.replace("agent_id", "w").replace("<", "").replace(">", "")
            answer = self.hub.request(route.method, f"{path}?token={token}", b"", token=None)
            self.assertEqual(answer.status == 401, not route.query_token, route.path)
        declared = {route.path for route, _ in self.routes() if route.query_token}
        allowed = ("/api/mailbox", "/api/messages", "/api/threads", "/api/channels")
        self.assertTrue(all(path.startswith(allowed) for path in declared), declared)

    def test_declared_token_in_the_query(self) -> None:
        """A route that declares it takes ``?token=``, and a header before it."""
        api = self.hub.parts.api
        good, weak = self.hub.token("w"), self.hub.token("weak", (ENROLL,))
        for declared in (False, True):
            route = Route(
                method="GET",
                path="/x",
                name="x",
                scope=AGENT,
                handler=lambda call: Answer(200, {}),
                query_token=declared,
            )
            request = DummyRequest([b"x"])
            request.args = {b"token": [good.encode()]}
            if declared:
                self.assertIsNotNone(api.authorize(route, request))
            else:
                self.assertRaises(Unauthorized, api.authorize, route, request)
            request.requestHeaders.setRawHeaders(b"authorization", [b"Bearer " + weak.encode()])
            self.assertRaises(Forbidden, api.authorize, route, request)
            request.args = {b"token": [b"\xff"]}
            request.requestHeaders.removeHeader(b"authorization")
            self.assertRaises(Unauthorized, api.authorize, route, request)

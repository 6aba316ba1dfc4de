"""Browsers sign in with a token: the cookie, what it allows, and what must come with it."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from agentcom.core.tokens import ADMIN, AGENT, SUBMIT
from agentcom.http.cookies import MOST_COOKIE, secret_of
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase, answer_of

HOURS_12_MS = 12 * 3_600_000
JSON = {"Content-Type": "application/json"}


class SessionCase(HttpCase):
    """A hub, and what a browser does."""

    def sign_in(self, token: str | None = None, **headers: str) -> Answered:
        body = {"token": token or self.hub.admin_token}
        return self.post("/api/session", body, token=None, headers={**JSON, **headers})

    def cookie(self, token: str | None = None) -> str:
        """What the browser sends from then on."""
        answer = self.sign_in(token)
        self.answers(answer, 200)
        return answer.headers["set-cookie"].partition(";")[0]

    def csrf(self, cookie: str) -> str:
        return str(self.ask("GET", "/api/session", cookie).body["csrf"])

    def ask(
        self, method: str, path: str, cookie: str, body: Any = None, **headers: str
    ) -> Answered:
        """A request of a browser; ``X_CSRF_Token`` is a header."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.hub.request(
            method, path, body, token=None, headers={"Cookie": cookie, **fields}
        )


class SignInTests(SessionCase):
    """``/api/session``."""

    def test_answer(self) -> None:
        """A sign-in tells who it is, until when, and what unsafe requests must carry."""
        answer = self.sign_in(self.hub.token("kim", (SUBMIT, AGENT)))
        body = self.answers(answer, 200, agent_id="kim", scopes=[SUBMIT, AGENT])
        self.assertRegex(body["csrf"], "^[0-9a-f]{64}$")
        self.assertEqual(body["expires_at"], self.hub.hub.now() + HOURS_12_MS)
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_cookie(self) -> None:
        """The cookie is out of scripts' reach, for this site's pages alone, for 12 hours."""
        self.assertRegex(
            self.sign_in().headers["set-cookie"],
            "^agentcom_session=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200$",
        )

    def test_the_secret_is_nowhere_else(self) -> None:
        """Neither the answer nor the store has the cookie's secret or what is derived of it."""
        answer = self.sign_in()
        secret = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
        self.assertNotIn(secret.encode(), answer.text)
        stored = str(self.hub.store.load().sessions)
        self.assertNotIn(secret, stored)
        self.assertNotIn(answer.body["csrf"], stored)

    def test_who_am_i(self) -> None:
        """A page that is opened again learns the same, without a new cookie."""
        first = self.sign_in(self.hub.token("kim"))
        cookie = first.headers["set-cookie"].partition(";")[0]
        again = self.ask("GET", "/api/session", cookie)
        self.assertEqual((again.status, again.body), (200, first.body))
        self.assertNotIn("set-cookie", again.headers)

    def test_who_am_i_of_a_program(self) -> None:
        """A program's token is told of too; there is nothing to carry."""
        answer = self.get("/api/session", token=self.hub.token("kim"))
        self.answers(answer, 200, agent_id="kim", csrf=None, expires_at=None)

    def test_nobody(self) -> None:
        """Without a cookie, or with one that is no session's, there is nobody."""
        self.answers(self.get("/api/session", token=None), 401, error="unauthorized")
        for value in ("", "x", "0" * 64, "0" * 63 + "\xff", "A" * 64):
            answer = self.ask("GET", "/api/session", f"agentcom_session={value}")
            self.answers(answer, 401, error="unauthorized")

    def test_bad_token(self) -> None:
        """A token that is no good begins nothing."""
        for token in ("x", "0" * 64, "\ud83d\ude00"):
            answer = self.sign_in(token)
            self.answers(answer, 401, error="unauthorized")
            self.assertNotIn("set-cookie", answer.headers)
        self.assertEqual(self.hub.hub.counts.auth_failures["session"], 3)
        self.assertEqual(self.hub.store.load().sessions, [])

    def test_body(self) -> None:
        """The token is a text of at most 256 characters."""
        for body in ({}, {"token": None}, {"token": 5}, {"token": "x" * 257}):
            answer = self.post("/api/session", body, token=None, headers=JSON)
            self.assertEqual([field for field, _ in self.wrong_fields(answer)], ["token"])

    def test_sign_out(self) -> None:
        """Signing out ends the session and takes the cookie away."""
        cookie = self.cookie()
        answer = self.ask("DELETE", "/api/session", cookie, X_CSRF_Token=self.csrf(cookie))
        self.answers(answer, 200, status="signed_out")
        self.assertRegex(answer.headers["set-cookie"], "^agentcom_session=;.* Max-Age=0$")
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 401)
        self.assertEqual(self.hub.store.load().sessions, [])

    def test_sign_out_of_one(self) -> None:
        """Other sessions of the same token go on."""
        gone, other = self.cookie(), self.cookie()
        self.ask("DELETE", "/api/session", gone, X_CSRF_Token=self.csrf(gone))
        self.assertEqual(self.ask("GET", "/api/session", other).status, 200)

    def test_program_signs_out(self) -> None:
        """A token has no session to end, and is as good as before."""
        self.answers(self.hub.request("DELETE", "/api/session"), 200, status="signed_out")
        self.assertEqual(self.get("/api/tasks").status, 200)

    def test_answered_after_the_commit(self) -> None:
        """Nobody hears of a session, or of its end, that is not on disk."""
        cookie = self.cookie()
        csrf = self.csrf(cookie)
        self.commits.holding = True
        body = {"token": self.hub.admin_token}
        began = self.begin("POST", "/api/session", body, token=None, headers=JSON)
        self.assertIsNone(answer_of(began))
        self.commits.release()
        self.hub.settle()
        answer = answer_of(began)
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.commits.holding = True
        headers = {"Cookie": cookie, "X-CSRF-Token": csrf}
        ended = self.begin("DELETE", "/api/session", token=None, headers=headers)
        self.assertIsNone(answer_of(ended))
        # It is over at once all the same.
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 401)
        self.commits.release()
        self.hub.settle()
        self.assertIsNotNone(answer_of(ended))

    def test_revoked_meanwhile(self) -> None:
        """A token that is revoked while its sign-in waits for the disk begins nothing."""
        token = self.hub.token("kim")
        self.commits.holding = True
        self.begin("DELETE", "/admin/tokens/kim")
        began = self.begin("POST", "/api/session", {"token": token}, token=None, headers=JSON)
        self.commits.release()
        self.hub.settle()
        answer = answer_of(began)
        assert answer is not None
        self.answers(answer, 401, error="unauthorized")
        self.assertNotIn("set-cookie", answer.headers)
        self.assertEqual(self.hub.store.load().sessions, [])

    def test_while_the_disk_is_full(self) -> None:
        """An operator can sign in to look at a hub that takes no new work."""
        self.free = 0
        self.hub.advance(2)
        self.assertEqual(self.get("/ready", token=None).status, 503)
        self.assertEqual(self.sign_in().status, 200)

    def test_while_it_stops(self) -> None:
        """A hub that stops begins no session."""
        self.hub.hub.drain()
        self.answers(self.sign_in(), 503, error="stopping")


class LoginForgeryTests(SessionCase):
    """A page of others cannot make a browser sign in as somebody else."""

    def test_form(self) -> None:
        """What a form of another site can send, of a browser that says nothing, is refused."""
        body = {"token": self.hub.admin_token}
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            answer = self.post("/api/session", body, token=None, headers={"Content-Type": kind})
            self.answers(answer, 403, error="origin_not_allowed")
        self.answers(self.post("/api/session", body, token=None), 403)
        self.assertEqual(self.hub.store.load().sessions, [])

    def test_other_site(self) -> None:
        """A browser that says that another site asks is refused, whatever the content type."""
        for site in ("cross-site", "same-site", "CROSS-SITE", "else"):
            answer = self.sign_in(**{"Sec-Fetch-Site": site})
            self.answers(answer, 403, error="origin_not_allowed")

    def test_own_page(self) -> None:
        """The hub's own page may send it as it likes."""
        body = {"token": self.hub.admin_token}
        for headers in (
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://hub.example:4000"},
            {"Content-Type": "Application/JSON; charset=utf-8"},
        ):
            answer = self.post("/api/session", body, token=None, headers=headers)
            self.assertEqual(answer.status, 200, headers)


class SecureCookieTests(SessionCase):
    """A hub that clients reach by TLS."""

    settings: ClassVar[dict[str, Any]] = {"public_url": "https://hub.example"}

    def test_secure(self) -> None:
        """The cookie is never sent in the clear."""
        self.assertRegex(self.sign_in().headers["set-cookie"], "; Max-Age=43200; Secure$")


class UseTests(SessionCase):
    """What a session allows."""

    def test_scopes(self) -> None:
        """It gives what its token gives, and no more."""
        cookie = self.cookie(self.hub.token("only", (SUBMIT,)))
        self.assertEqual(self.ask("GET", "/api/tasks", cookie).status, 200)
        answer = self.ask("GET", "/admin/tokens", cookie)
        self.answers(answer, 403, error="forbidden", required_scope=ADMIN)
        answer = self.ask("GET", "/api/mailbox/only", cookie)
        self.answers(answer, 403, error="forbidden", required_scope=AGENT)

    def test_submitted_by(self) -> None:
        """What is done through it is done by the token's agent."""
        cookie = self.cookie(self.hub.token("kim"))
        csrf = self.csrf(cookie)
        answer = self.ask("POST", "/api/tasks", cookie, {"description": "x"}, X_CSRF_Token=csrf)
        task_id = self.answers(answer, 201)["task_id"]
        self.assertEqual(self.hub.task(task_id)["submitted_by"], "kim")

    def test_unsafe_without_csrf(self) -> None:
        """What changes something must say the session's own word, or nothing happens."""
        cookie, other = self.cookie(), self.cookie()
        for told in ("", "x", self.csrf(other), self.csrf(cookie).upper(), "\xff"):
            for method, path in (("POST", "/api/tasks"), ("DELETE", "/admin/tokens/kim")):
                answer = self.ask(method, path, cookie, {"description": "x"}, X_CSRF_Token=told)
                self.answers(answer, 403, error="csrf_failed")
                self.assertIn("X-CSRF-Token", answer.body["hint"])
        self.answers(self.ask("POST", "/api/tasks", cookie, {"description": "x"}), 403)
        self.answers(self.ask("DELETE", "/api/session", cookie), 403, error="csrf_failed")
        self.assertEqual(self.get("/api/tasks").body["tasks"], [])

    def test_every_unsafe_route(self) -> None:
        """No route that changes anything takes a session without its word."""
        cookie = self.cookie()
        checked = 0
        for route in self.hub.parts.api.routes.values():
            if route.method in ("GET", "HEAD") or route.scope is None:
                continue
            path = route.path.replace("<", "").replace(">", "")
            answer = self.ask(route.method, path, cookie, {})
            self.answers(answer, 403, error="csrf_failed")
            checked += 1
        self.assertGreater(checked, 15)

    def test_bearer_goes_first(self) -> None:
        """A token in the header counts, a bad one too, whatever cookie comes along."""
        cookie = self.cookie()
        headers = {"Cookie": cookie}
        kim = self.hub.token("kim")
        answer = self.get("/api/session", token=kim, headers=headers)
        self.answers(answer, 200, agent_id="kim", csrf=None)
        self.answers(self.get("/api/tasks", token="0" * 64, headers=headers), 401)
        # Nobody can make a browser send the header, so nothing else is asked for.
        answer = self.post("/api/tasks", {"description": "x"}, token=kim, headers=headers)
        self.assertEqual(answer.status, 201)

    def test_other_schemes(self) -> None:
        """A password of a proxy in front does not hide the session."""
        headers = {"Authorization": "Basic YTpi"}
        self.assertEqual(self.ask("GET", "/api/tasks", self.cookie(), **headers).status, 200)

    def test_cross_site(self) -> None:
        """A browser that says that a page of another site asks gets nothing by its session."""
        answer = self.ask("GET", "/api/tasks", self.cookie(), Sec_Fetch_Site="cross-site")
        self.answers(answer, 403, error="origin_not_allowed")

    def test_sign_in_again(self) -> None:
        """A cookie that came along, good or old, is in the way of no sign-in."""
        cookie = self.cookie()
        for sent in (cookie, "agentcom_session=" + "0" * 64):
            answer = self.sign_in(Cookie=sent)
            self.assertEqual(answer.status, 200)


class CookieTests(SynchronousTestCase):
    """Cookies as they come."""

    def secret(self, *values: bytes) -> str | None:
        request = DummyRequest([b""])
        if values:
            request.requestHeaders.setRawHeaders(b"cookie", list(values))
        return secret_of(request)

    def test_reading(self) -> None:
        """The session is found among others; what is none, or two, is nobody's."""
        secret = b"0123456789abcdef" * 4
        ours = b"agentcom_session=" + secret
        for values in (
            [ours],
            [b"a=b; " + ours + b"; c"],
            [b"x=1;" + ours],
            [b"a", ours],
            [ours + b"; " + ours],
            [b" \t" + ours + b"\t ;"],
            [b"xagentcom_session=1; " + ours],
        ):
            self.assertEqual(self.secret(*values), secret.decode(), values)
        for values in (
            [],
            [b""],
            [b"agentcom_session"],
            [b"agentcom_session="],
            [b'agentcom_session="' + secret + b'"'],
            [ours + b"0"],
            [ours.upper()],
            [ours + b"; agentcom_session=" + b"0" * 64],
            [ours, b"agentcom_session="],
            [b"agentcom_session=" + b"\xff" * 64],
            [b";" * MOST_COOKIE + ours],
        ):
            self.assertIsNone(self.secret(*values), values)

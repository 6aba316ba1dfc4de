"""What ends with a token or a session, and what outlives the hub's process."""

from __future__ import annotations

from typing import Any

from agentcom.testing import Answered, HttpClient, MemoryHub
from tests.contract.helpers import HubTests, history

JSON = {"Content-Type": "application/json"}


def signed_in(hub: MemoryHub, token: str) -> str:
    """The cookie of a new session."""
    answer = hub.request("POST", "/api/session", {"token": token}, token=None, headers=JSON)
    if answer.status != 200:
        raise AssertionError(f"the sign-in was refused: {answer.body}")
    return answer.headers["set-cookie"].partition(";")[0]


def ask(hub: MemoryHub, cookie: str, method: str = "GET", path: str = "/api/session") -> Answered:
    """A request of a browser, with all that it must carry."""
    headers = {"Cookie": cookie}
    if method != "GET":
        headers["X-CSRF-Token"] = ask(hub, cookie).body["csrf"]
    return hub.request(method, path, token=None, headers=headers)


class EndTests(HubTests):
    """Nothing goes on that was opened with what has ended."""

    def follow(self, cookie: str | None = None, token: str | None = None) -> HttpClient:
        """Follow the events, signed in or with a token."""
        headers = {} if cookie is None else {"Cookie": cookie}
        return self.hub.open_request("GET", "/api/events", token=token, headers=headers)

    def short(self, agent_id: str, expires_in_s: float, **more: Any) -> str:
        """A token that expires."""
        body = {"agent_id": agent_id, "expires_in_s": expires_in_s, **more}
        return str(self.hub.request("POST", "/admin/tokens", body).body["token"])

    def reason(self, client: HttpClient) -> str | None:
        """Why a stream was closed, ``None`` while it goes on."""
        _, closed, rest = client.received.partition(b"event: closed\ndata: ")
        if not closed:
            self.assertFalse(client.lost)
            return None
        return rest.split(b'"reason":"')[1].split(b'"')[0].decode()

    def test_sign_out(self) -> None:
        """Signing out ends the streams of this session, and no others."""
        token = self.hub.token("kim")
        gone, kept = signed_in(self.hub, token), signed_in(self.hub, token)
        streams = [self.follow(gone), self.follow(kept), self.follow(token=token)]
        self.assertEqual(ask(self.hub, gone, "DELETE").status, 200)
        self.hub.advance(2)
        self.assertEqual([self.reason(stream) for stream in streams], ["session_ended", None, None])
        self.assertEqual(ask(self.hub, gone).status, 401)
        self.assertEqual(ask(self.hub, kept).status, 200)

    def test_session_is_over(self) -> None:
        """After twelve hours its streams end by themselves."""
        stream = self.follow(signed_in(self.hub, self.hub.token("kim")))
        self.hub.advance(12 * 3600 - 5, 60)
        self.assertIsNone(self.reason(stream))
        self.hub.advance(7)
        self.assertEqual(self.reason(stream), "session_ended")

    def test_revoked(self) -> None:
        """A revoked token ends its sessions and all that was opened with either, at once."""
        token = self.hub.token("kim")
        cookie = signed_in(self.hub, token)
        streams = [self.follow(cookie), self.follow(token=token)]
        other = self.follow(token=self.hub.admin_token)
        self.hub.request("DELETE", "/admin/tokens/kim")
        self.hub.advance(1)
        self.assertEqual([self.reason(stream) for stream in streams], ["token_revoked"] * 2)
        self.assertIsNone(self.reason(other))
        self.assertEqual(ask(self.hub, cookie).status, 401)

    def test_expired(self) -> None:
        """A token that expires ends its line with 4003, its streams and its sessions, within
        two seconds."""
        token = self.short("w", 30)
        agent = self.hub.agent("w", token=token)
        other = self.hub.agent("v")
        cookie = signed_in(self.hub, token)
        streams = [self.follow(cookie), self.follow(token=token)]
        self.hub.advance(29)
        self.assertIsNone(agent.closed)
        self.assertEqual(ask(self.hub, cookie).status, 200)
        self.hub.advance(2)
        self.assertEqual(agent.closed, (4003, "token expired"))
        self.assertIsNone(other.closed)
        self.assertEqual([self.reason(stream) for stream in streams], ["token_expired"] * 2)
        self.assertEqual(ask(self.hub, cookie).status, 401)
        self.assertEqual(self.hub.store.load().sessions, [])

    def test_mailbox(self) -> None:
        """Who waits for a message is told at once that its token, or its session, is good no
        longer, and reads none that comes later."""
        token = self.hub.token("kim")
        cookie = signed_in(self.hub, token)
        path = "/api/mailbox/kim?wait=60"
        by_cookie = self.hub.open_request("GET", path, token=None, headers={"Cookie": cookie})
        by_token = self.hub.open_request("GET", path, token=token)
        ask(self.hub, cookie, "DELETE")
        self.hub.advance(1)
        self.assertTrue(by_cookie.received.startswith(b"HTTP/1.1 401 "), by_cookie.received)
        self.assertEqual(by_token.received, b"")
        self.hub.request("DELETE", "/admin/tokens/kim")
        self.hub.advance(1)
        self.assertTrue(by_token.received.startswith(b"HTTP/1.1 401 "), by_token.received)

    def test_newer_token_on_the_same_line(self) -> None:
        """A line that has identified again with a newer token outlives the older one."""
        agent = self.hub.agent("w", token=self.short("w", 30))
        agent.say("identify", agent_id="w", token=self.short("w", 60))
        self.hub.advance(40)
        self.assertIsNone(agent.closed)
        self.hub.advance(22)
        self.assertEqual(agent.closed, (4003, "token expired"))

    def test_tasks_of_an_expired_token(self) -> None:
        """Its tasks are held as for any lost line, and its agent goes on with a new token."""
        agent = self.hub.agent("w", token=self.short("w", 30))
        task_id = self.accepted(agent)
        self.hub.advance(32)
        self.assertIsNotNone(agent.closed)
        self.assert_task(task_id, status="working", agent_id="w")
        again = self.hub.agent(
            "w", token=self.short("w", 30), tasks=[{"task_id": task_id, "generation": 1}]
        )
        self.assert_answer(
            again.say("task_complete", task_id=task_id, generation=1), "task_ack", status="complete"
        )
        self.assertNotIn("task_requeued", [e["event"] for e in history(self.hub, task_id)])

    def test_many_expire_together(self) -> None:
        """All that expire together end within two seconds."""
        agents = [self.hub.agent(f"w{n}", token=self.short(f"w{n}", 30)) for n in range(50)]
        self.hub.advance(32)
        self.assertEqual({agent.closed for agent in agents}, {(4003, "token expired")})


class RestartTests(HubTests):
    """A hub that is started anew."""

    def test_still_signed_in(self) -> None:
        """A browser goes on with its session, and with the word that it carries."""
        cookie = signed_in(self.hub, self.hub.token("kim"))
        before = ask(self.hub, cookie).body
        self.restart()
        self.assertEqual(ask(self.hub, cookie).body, before)
        self.assertEqual(ask(self.hub, cookie, "DELETE").status, 200)

    def test_signed_out(self) -> None:
        """A session that was ended stays so."""
        cookie = signed_in(self.hub, self.hub.token("kim"))
        ask(self.hub, cookie, "DELETE")
        self.restart()
        self.assertEqual(ask(self.hub, cookie).status, 401)

    def test_revoked(self) -> None:
        """So does one whose token was revoked."""
        cookie = signed_in(self.hub, self.hub.token("kim"))
        self.hub.request("DELETE", "/admin/tokens/kim")
        self.restart()
        self.assertEqual(ask(self.hub, cookie).status, 401)

    def test_expired_meanwhile(self) -> None:
        """What expired while no hub ran is over when one runs, and forgotten."""
        body = {"agent_id": "w", "expires_in_s": 30}
        token = self.hub.request("POST", "/admin/tokens", body).body["token"]
        cookies = [signed_in(self.hub, token), signed_in(self.hub, self.hub.token("kim"))]
        self.hub.settle()
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub.clock.advance(13 * 3600)
        self.restart()
        self.assertEqual([ask(self.hub, cookie).status for cookie in cookies], [401, 401])
        self.hub.advance(2)
        self.assertEqual(self.hub.store.load().sessions, [])

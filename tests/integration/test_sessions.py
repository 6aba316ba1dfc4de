"""Browsers' sessions, origins and bad tokens against a real hub: its disk, its sockets."""

from __future__ import annotations

import json
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.integration.clients import Http, Reply
from tests.integration.processes import HubProcess, ProcessTestCase


class SessionTests(ProcessTestCase):
    """A hub as a process."""

    def browser(self, hub: HubProcess) -> Http:
        return self.http(hub, None)

    def sign_in(self, hub: HubProcess, token: str) -> Reply:
        headers: dict[str, str] = {"Content-Type": "application/json"}
        return self.browser(hub).request("POST", "/api/session", {"token": token}, **headers)

    def test_killed_after_the_answer(self) -> None:
        """A session that was answered is there after the hub was killed, and so is its end."""
        hub = self.hub()
        token = hub.admin_token
        signed_in = [self.sign_in(hub, token) for _ in range(2)]
        kept, gone = (answer.headers["set-cookie"].partition(";")[0] for answer in signed_in)
        headers = {"Cookie": gone, "X-CSRF-Token": signed_in[1].body["csrf"]}
        self.assertEqual(self.browser(hub).request("DELETE", "/api/session", **headers).status, 200)
        hub.kill()
        again = self.hub()
        answer = self.browser(again).request("GET", "/api/session", Cookie=kept)
        self.assertEqual((answer.status, answer.body), (200, signed_in[0].body))
        answer = self.browser(again).request("GET", "/api/session", Cookie=gone)
        self.assertEqual(answer.status, 401)
        for secret in (kept.partition("=")[2], signed_in[0].body["csrf"]):
            self.assertNotIn(secret, again.log())
            for path in self.data_dir.iterdir():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
        self.assert_clean_log(again)

    def test_bad_tokens(self) -> None:
        """An address that shows too many bad tokens is told when to come again, its good token
        is taken, and its agents come in."""
        hub = self.hub()
        wrong = self.http(hub, "0" * 64)
        answers = [wrong.request("GET", "/api/tasks") for _ in range(25)]
        statuses = [answer.status for answer in answers]
        self.assertEqual(statuses[:20], [401] * 20)
        self.assertIn(429, statuses)
        refused = answers[statuses.index(429)]
        self.assertEqual(refused.body["error"], "too_many_failures")
        self.assertIn(refused.headers["retry-after"], ("1", "2", "3"))
        self.assertEqual(self.http(hub).request("GET", "/api/tasks").status, 200)
        self.agent(hub, "w")
        self.assert_clean_log(hub)

    def test_origin_of_a_websocket(self) -> None:
        """A page of another site gets no WebSocket; one of the hub's own does."""
        hub = self.hub()
        url = hub.url.replace("http", "ws") + "/ws"
        origins: Any = ("https://evil.example", "null")
        for origin in origins:
            with self.assertRaises(InvalidStatus) as caught:
                connect(url, origin=origin)
            response = caught.exception.response
            self.assertEqual(response.status_code, 403)
            self.assertEqual(json.loads(response.body or b"")["error"], "origin_not_allowed")
        own: Any = hub.url
        with connect(url, origin=own) as line:
            line.send('{"type":"ping"}')
            self.assertIn("not_identified", str(line.recv(10)))
        self.assert_clean_log(hub)

"""A hub in a process of its own, shown secrets: nothing that it writes has one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.processes import ProcessTestCase, until
from tests.integration.rawsocket import RawSocket, frame

BAD = [f"{n:02}5ec2e7" * 8 for n in range(4)]
"""Tokens of the right form that are good for nothing."""


KIND = {"Content-Type": "application/json"}


class SecretsTests(ProcessTestCase):
    """The log, the audit log and the metrics."""

    def test_nothing_is_written_down(self) -> None:
        """Good and bad tokens in headers, queries, cookies, bodies and frames stay secret, and
        the audit log has who did what."""
        hub = self.hub("--log-requests", "--open-registration")
        admin, worker = hub.admin_token, hub.token("worker")
        with hub.http() as http:
            made = http.ok("POST", "/admin/tokens", {"agent_id": "made"})["token"]
            http.ok("GET", f"/api/tasks?limit=1&x={BAD[0]}")
            http.request("POST", "/api/tasks", b'{"description": "%s' % BAD[1].encode())
            signed_in = http.request("POST", "/api/session", {"token": admin}, **KIND)
            self.assertEqual(signed_in.status, 200)
            cookie = signed_in.headers["set-cookie"].partition(";")[0]
            http.ok("DELETE", "/admin/tokens/made")
        with hub.http(None) as http:
            http.ok("GET", f"/api/mailbox/worker?token={worker}")
            http.request("POST", "/api/session", {"token": BAD[2]}, **KIND)
            http.request("GET", f"/api/tasks?token={BAD[3]}")
            enrolled = http.ok("POST", "/api/onboard/register", {"agent_id": "enrolled"})["token"]
        raw = RawSocket(hub.port)
        self.addCleanup(raw.close)
        raw.send(
            b"GET /api/session HTTP/1.1\r\nHost: x\r\nCookie: %s\r\nConnection: close\r\n\r\n"
            % cookie.encode()
        )
        answered = raw.read_all()
        self.assertIn(b" 200 ", answered.partition(b"\r\n")[0])
        csrf = json.loads(answered.partition(b"\r\n\r\n")[2])["csrf"]
        line = RawSocket(hub.port).open()
        self.addCleanup(line.close)
        line.send(frame(b'{"type":"identify","agent_id":"x","token":"%s"}' % BAD[0].encode()))
        self.assertIn(b"invalid_token", line.text())
        self.agent(hub, "worker", worker).close()
        with hub.http() as http:
            metrics = http.request("GET", "/metrics").data.decode()

        audit = Path(hub.data_dir) / "audit.log"
        until(lambda: b'"act":"identify"' in audit.read_bytes(), "the last line of the audit log")
        self.assertEqual(hub.stop(), 0)
        lines = [json.loads(text) for text in audit.read_text().splitlines()]
        told = [(x["act"], x.get("status"), x.get("agent_id")) for x in lines]
        for wanted in (
            ("create_token", 201, "admin"),
            ("revoke_tokens", 200, "admin"),
            ("list_tasks", 401, None),
            ("sign_in", 401, None),
            ("register", 201, None),
            ("identify", None, None),
            ("ended", None, None),
        ):
            self.assertIn(wanted, told)
        self.assertEqual({x["address"] for x in lines if "address" in x}, {"127.0.0.1"})
        self.assertEqual(audit.stat().st_mode & 0o777, 0o600)
        secrets = {"admin": admin, "worker": worker, "made": made, "enrolled": enrolled}
        secrets |= {"cookie": cookie.partition("=")[2], "csrf": csrf}
        secrets |= {f"bad {n}": text for n, text in enumerate(BAD)}
        for where, text in (
            ("log", hub.log()),
            ("standard error", hub.errors()),
            ("audit log", audit.read_text()),
            ("metrics", metrics),
        ):
            for name, secret in secrets.items():
                self.assertFalse(secret[:16] in text, f"the secret {name} is in the {where}")

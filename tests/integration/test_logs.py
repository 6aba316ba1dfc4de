"""What a hub in a process of its own logs, as JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.processes import TWISTD, HubProcess, ProcessTestCase, until


class JsonLogTests(ProcessTestCase):
    """Each line that a hub logs is one object, and none has a secret."""

    def lines(self, text: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in text.splitlines()]

    def use(self, hub: HubProcess) -> list[str]:
        """Say secrets in all the ways there are; gives them."""
        admin, agent = hub.admin_token, hub.token("worker")
        with hub.http() as http:
            http.ok("GET", "/api/tasks?limit=1")
            http.request("GET", "/no/such/page?token=" + agent)
        with hub.http(None) as http:
            http.ok("GET", f"/api/mailbox/worker?token={agent}")
            http.request("GET", f"/api/mailbox/worker?token={'a1' * 32}")
        self.agent(hub, "worker", agent).close()
        return [admin, agent, "a1" * 32]

    def test_standard_output(self) -> None:
        """From the first line to the last, Twisted's own among them."""
        hub = self.hub("--log-json", "--log-requests")
        secrets = self.use(hub)
        self.assertEqual(hub.stop(), 0)
        lines = self.lines(hub.log_file.read_text())
        for line in lines:
            self.assertLessEqual({"time", "level", "logger", "message"}, set(line))
        loggers = {line["logger"].partition(".")[0] for line in lines}
        self.assertLessEqual({"agentcom", "twisted"}, loggers)
        self.assertTrue(any("AgentCom is ready" in line["message"] for line in lines))
        asked = [line for line in lines if line["logger"].endswith("AccessLog")]
        routes = {(line["method"], line["path"], line["status"]) for line in asked}
        self.assertIn(("GET", "/api/tasks", 200), routes)
        self.assertIn(("POST", "/admin/tokens", 201), routes)
        self.assertTrue(all(line["address"] == "127.0.0.1" for line in asked), asked)
        for secret in secrets:
            self.assertFalse(secret in hub.log(), "a secret in the log")
        self.assertEqual(hub.errors(), "")

    def test_file(self) -> None:
        """``--logfile`` gets it where it is given."""
        file = self.work / "hub.json"
        hub = self.start("--log-json", command=(TWISTD, "--logfile", str(file)))
        until(lambda: file.exists() and "AgentCom is ready" in file.read_text(), "ready")
        self.assertEqual(hub.stop(), 0)
        self.assertGreater(len(self.lines(file.read_text())), 5)
        self.assertEqual(hub.log(), "")

    def test_early_error(self) -> None:
        """What ends the start is one plain sentence for whoever started it."""
        self.assert_one_sentence(self.start("--log-json", "--min-free", "lots"), "--min-free")
        hub = self.start("--log-json", "--listen", "tcp:1:interface=203.0.113.1")
        self.assert_one_sentence(hub, "cannot listen")

"""Agents in real processes: a Python file of its author's, or the service."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integration.clients import Http
from tests.integration.processes import (
    PATIENCE_S,
    HubProcess,
    ProcessTestCase,
    environment,
    until,
)

ENDED = ("completed", "dead_letter", "cancelled", "expired")


class AgentProcess:
    """One agent; what it says goes to a file.

    :param command: what is started.
    :param more: further variables of its environment.
    """

    def __init__(self, work: Path, command: Sequence[str], **more: str) -> None:
        self.log_file = work / f"agent-{len(list(work.glob('agent-*.log')))}.log"
        self.error_file = self.log_file.with_suffix(".stderr")
        with self.log_file.open("wb") as out, self.error_file.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=work,
                env=environment(work, PYTHONDONTWRITEBYTECODE="1", **more),
                start_new_session=True,
            )

    def log(self) -> str:
        """All that it has said so far."""
        return self.log_file.read_text(errors="replace") + self.errors()

    def errors(self) -> str:
        """All that it has said on stderr so far."""
        return self.error_file.read_text(errors="replace")

    def says(self, text: str) -> None:
        """Wait until it has said this."""
        until(lambda: text in self.log(), f"said by the agent: {text!r}")

    def kill(self) -> None:
        """End it without a chance to do anything."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to end; gives the exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; gives the exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent still runs:\n{self.log()}") from None


class AgentTestCase(ProcessTestCase):
    """Ends every agent that a test has made."""

    def agent_process(self, *command: str, **more: str) -> AgentProcess:
        """An agent that may not be connected yet."""
        agent = AgentProcess(self.work, command, **more)
        self.addCleanup(agent.kill)
        return agent

    def submit(self, http: Http, **fields: Any) -> str:
        """Put a task into the queue that is tried again at once; gives its id."""
        body = {"description": "work", "backoff": {"initial_s": 0.01}, **fields}
        return str(http.ok("POST", "/api/tasks", body)["task_id"])

    def ended(self, http: Http, task_id: str) -> dict[str, Any]:
        """The task, when it has ended."""

        def look() -> dict[str, Any] | None:
            task = http.task(task_id)
            return task if task["status"] in ENDED else None

        found: dict[str, Any] = until(look, f"ended: {task_id}")
        return found

    def events(self, http: Http, task_id: str) -> list[dict[str, Any]]:
        """What happened to a task."""
        found: list[dict[str, Any]] = http.ok("GET", f"/api/tasks/{task_id}/events")["events"]
        return found

    def reasons(self, http: Http, task_id: str) -> list[tuple[str, str]]:
        """Error and reason of each failed attempt."""
        failed = [e for e in self.events(http, task_id) if e["event"] == "task_failed"]
        return [(e["payload"].get("error"), e["payload"].get("reason")) for e in failed]

    def local(self, hub: HubProcess) -> dict[str, str]:
        """The environment of somebody on the hub's own machine."""
        return {"AGENTCOM_HUB": hub.url, "AGENTCOM_HOME": str(hub.data_dir)}

"""An agent in Python as its author writes it: a file, a hub, and what becomes of tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.agents import AgentProcess, AgentTestCase
from tests.integration.processes import ROOT, HubProcess, until

SCRIPT = '''
import asyncio, sys, time
from pathlib import Path
from agentcom.agent import Agent, TaskFailed

agent = Agent("py", capabilities=["python"], slots=2, labels={"kind": "script"})

@agent.task(resume="resume" in sys.argv)
async def run(task, progress):
    """Does what the metadata asks for, and notes it in a file."""
    place = Path(task.metadata["place"]) if "place" in task.metadata else None
    if task.description == "complete":
        progress(0.5, "half way", output="working\\n")
        await asyncio.to_thread(progress, output="from a thread\\n")
        return {"ok": True, "generation": task.generation, "by": task.submitted_by}
    if task.description == "fail":
        raise ValueError("no such branch")
    if task.description == "refuse":
        raise TaskFailed("not my work", reason="ask somebody else", retryable=False)
    if task.description == "strange":
        return object()
    if task.description == "block":
        place.touch()
        await asyncio.to_thread(time.sleep, 60)
    with place.open("a") as notes:
        print("began", task.resumed, task.generation, file=notes)
    try:
        while not place.with_suffix(".go").exists():
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        with place.open("a") as notes:
            print("cancelled", file=notes)
        raise
    return "went on"

agent.run()
print("run() has returned", flush=True)
'''


class PythonAgentTests(AgentTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.script = self.work / "script.py"
        self.script.write_text(SCRIPT)
        self.notes = self.work / "notes"

    def script_agent(self, hub: HubProcess, *arguments: str, **more: str) -> AgentProcess:
        """The script, connected."""
        more = more or self.local(hub)
        agent = self.agent_process(sys.executable, str(self.script), *arguments, **more)
        agent.says("py is connected")
        return agent

    def noted(self, *lines: str) -> None:
        """Wait until the function has noted these lines."""

        def look() -> bool:
            return self.notes.exists() and self.notes.read_text().splitlines() == list(lines)

        until(look, f"noted: {lines}")

    def test_ends(self) -> None:
        """What a function returns or raises is how its task ends; SIGTERM ends ``run``."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.script_agent(hub)
        tasks = {
            name: self.submit(http, description=name, max_attempts=1, capabilities=["python"])
            for name in ("complete", "fail", "refuse", "strange")
        }
        ended = {name: self.ended(http, task_id) for name, task_id in tasks.items()}
        self.assertEqual(ended["complete"]["status"], "completed")
        self.assertEqual(ended["complete"]["result"], {"ok": True, "generation": 1, "by": "admin"})
        told = [
            e["payload"]
            for e in self.events(http, tasks["complete"])
            if e["event"] == "task_progress"
        ]
        output = "".join(payload.get("output") or "" for payload in told)
        self.assertEqual(output, "working\nfrom a thread\n")
        self.assertIn((0.5, "half way"), [(p.get("progress"), p.get("message")) for p in told])
        ((error, reason),) = self.reasons(http, tasks["fail"])
        self.assertEqual(error, "ValueError: no such branch")
        self.assertIn('raise ValueError("no such branch")', reason)
        self.assertEqual(
            self.reasons(http, tasks["refuse"]), [("not my work", "ask somebody else")]
        )
        self.assertIn("object is not JSON", self.reasons(http, tasks["strange"])[0][1])
        self.assertEqual(agent.stop(), 0, agent.log())
        self.assertIn("run() has returned", agent.log())

    def test_cancelled(self) -> None:
        """A cancelled task cancels the function, and its slot is free again."""
        hub = self.hub()
        http = self.http(hub)
        self.script_agent(hub)
        first = self.submit(http, description="wait", metadata={"place": str(self.notes)})
        self.noted("began False 1")
        http.ok("POST", f"/api/tasks/{first}/cancel")
        self.noted("began False 1", "cancelled")
        both = [self.submit(http, description="complete") for _ in range(2)]
        for task_id in both:
            self.assertEqual(self.ended(http, task_id)["status"], "completed")

    def test_killed_and_resumed(self) -> None:
        """After a kill -9 a function that resumes is called again for the same attempt."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.script_agent(hub, "resume")
        task_id = self.submit(http, description="wait", metadata={"place": str(self.notes)})
        self.noted("began False 1")
        agent.kill()
        self.script_agent(hub, "resume")
        self.noted("began False 1", "began True 1")
        self.notes.with_suffix(".go").touch()
        task = self.ended(http, task_id)
        self.assertEqual((task["status"], task["result"]), ("completed", "went on"))
        self.assertEqual((task["generation"], task["attempts"]), (1, 1))

    def test_killed(self) -> None:
        """After a kill -9 another function's attempt has failed, and the next one begins."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.script_agent(hub)
        task_id = self.submit(http, description="wait", metadata={"place": str(self.notes)})
        self.noted("began False 1")
        agent.kill()
        self.script_agent(hub)
        self.noted("began False 1", "began False 2")
        self.notes.with_suffix(".go").touch()
        task = self.ended(http, task_id)
        self.assertEqual((task["status"], task["attempts"]), ("completed", 2))
        self.assertEqual([error for error, _ in self.reasons(http, task_id)], ["agent crashed"])

    def test_stopped(self) -> None:
        """SIGTERM cancels what runs, and the hub is told before ``run`` returns."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.script_agent(hub)
        task_id = self.submit(
            http, description="wait", metadata={"place": str(self.notes)}, max_attempts=1
        )
        self.noted("began False 1")
        self.assertEqual(agent.stop(), 0, agent.log())
        self.noted("began False 1", "cancelled")
        self.assertEqual(self.ended(http, task_id)["last_error"], "agent stopped")

    def test_thread_goes_on(self) -> None:
        """A thread cannot be cancelled: ``run`` returns all the same, a signal ends the rest."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.script_agent(hub)
        task_id = self.submit(
            http, description="block", metadata={"place": str(self.notes)}, max_attempts=1
        )
        until(self.notes.exists, "begun")
        os.kill(agent.process.pid, signal.SIGTERM)
        agent.says("run() has returned")
        self.assertEqual(self.ended(http, task_id)["last_error"], "agent stopped")
        self.assertIsNone(agent.process.poll())
        self.assertEqual(agent.stop(), -signal.SIGTERM)

    def test_refused(self) -> None:
        """A token that the hub does not know ends ``run`` with one sentence and code 1."""
        hub = self.hub()
        agent = self.agent_process(
            sys.executable, str(self.script), AGENTCOM_HUB=hub.url, AGENTCOM_TOKEN="f" * 64
        )
        self.assertEqual(agent.wait(), 1)
        self.assertIn("agentcom: the hub does not know the token of py", agent.errors())
        self.assertNotIn("Traceback", agent.log())
        self.assertNotIn("f" * 64, agent.log())


class ExampleTests(AgentTestCase):
    def test_checksums(self) -> None:
        """The example in examples/checksums does what it says."""
        hub = self.hub()
        http = self.http(hub)
        example = ROOT / "examples" / "checksums"
        agent = self.agent_process(sys.executable, str(example / "checksums.py"), **self.local(hub))
        agent.says("checksums-1 is connected")
        folder = self.work / "some files"
        folder.mkdir()
        (folder / "empty").touch()
        task_id = self.submit(
            http, capabilities=["checksums"], metadata={"path": str(folder)}, max_attempts=1
        )
        self.assertEqual(
            self.ended(http, task_id)["result"],
            {"empty": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        )


GOOD = """
from agentcom.agent import Agent, Progress, Task, TaskFailed

agent = Agent("a", capabilities=["x"], slots=2, labels={"k": "v"})

@agent.task
async def run(task: Task, progress: Progress) -> dict[str, int]:
    progress(0.5, "half", output="x")
    progress(output=task.description)
    if task.resumed:
        raise TaskFailed("no", retryable=False)
    return {"generation": task.generation, "deadline": task.deadline or 0}

other = Agent("b")

@other.task(resume=True)
async def again(task: Task, progress: Progress) -> None: ...

async def uses() -> dict[str, int]:
    return await run(given(), told())

def given() -> Task: ...
def told() -> Progress: ...

if __name__ == "__main__":
    agent.run(hub="http://127.0.0.1:4000", drain_limit_s=30)
"""

BAD = """
from agentcom.agent import Agent, Progress, Task

agent = Agent("a", slots="2")

@agent.task
def run(task: Task, progress: Progress) -> None:
    progress("half")
    task.generation = 2
"""


class TypingTests(AgentTestCase):
    def mypy(self, name: str, text: str) -> str:
        file: Path = self.work / f"{name}.py"
        file.write_text(text)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--config-file=/dev/null"),
                *("--disable-error-code=empty-body", "--follow-imports=silent"),
                *(f"--cache-dir={self.work / 'cache'}", file.name),
            ],
            cwd=self.work,
            env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=self.timeout,
        )
        return done.stdout + done.stderr

    def test_types(self) -> None:
        """An author's file passes a strict type check, and mistakes in one are found."""
        self.assertIn("Success", self.mypy("good", GOOD))
        found = self.mypy("bad", BAD)
        self.assertIn("Found 4 errors", found)
        for line in (4, 6, 8, 9):
            self.assertIn(f"bad.py:{line}: error", found)

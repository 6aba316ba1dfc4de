"""AgentCom from nothing: a hub, a review agent, two reviews, and their ends.

Starts a real hub and a real agent in a temporary directory, pushes a review
that passes and one that fails, shows both as they go, checks how they ended,
and stops what it started, whatever happens.  Exit status 0 means that all
went as it should.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_LIMIT_S = 30.0
REVIEW_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
AGENTCOM = [sys.executable, "-m", "agentcom.cli"]


class Failed(Exception):
    """The demonstration did not go as it should."""


def main() -> int:
    """Show it all."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentcom-demo-")))
            demonstrate(stack, home)
    except (Failed, subprocess.TimeoutExpired) as e:
        print(f"\nthe demonstration failed: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def demonstrate(stack: ExitStack, home: Path) -> None:
    """The story; what is started ends with the stack."""
    say("two git checkouts to review")
    good, bad = (make_checkout(home / name, name) for name in ("good", "bad"))
    print(f"  {good}\n  {bad}")

    say("a hub")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AGENTCOM_")}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), environment.get("PYTHONPATH")])
    )
    environment["AGENTCOM_HOME"] = str(home / "hub")
    command = [*TWISTD, "-n", "--pidfile=", "agentcom", "--listen", "tcp:0:interface=127.0.0.1"]
    hub = stack.enter_context(started("hub", command, environment, home))
    environment["AGENTCOM_HUB"] = hub.wait_for("listening on ").split()[0].rstrip(",;")
    print(f"  {environment['AGENTCOM_HUB']}")

    say("an agent that reviews")
    review = shlex.join([sys.executable, str(HERE / "review.py"), "--root", str(home)])
    command = [*AGENTCOM, "agent", "--agent-id", "reviewer", "--exec", review]
    command += ["--capability", "review"]
    print(f"  agentcom agent --agent-id reviewer --exec {shlex.quote(review)}")
    agent = stack.enter_context(started("agent", command, environment, home))
    agent.wait_for("reviewer is connected")

    say("a review that passes")
    task = push(good, environment)
    expect(task["status"] == "completed", f"the good project ended as {task['status']}")
    data = task["result"]["data"]
    expect(data["verdict"] == "pass", f"the good project got the verdict {data['verdict']}")
    show_steps(data["steps"])

    say("a review that fails")
    task = push(bad, environment)
    expect(task["status"] == "dead_letter", f"the bad project ended as {task['status']}")
    expect(task["last_error"] == "exit status 1", f"its error is {task['last_error']}")
    failed = next(e for e in task["events"] if e["event"] == "task_failed")
    reason = failed["payload"]["reason"]
    expect("verdict: fail" in reason, f"its reason is {reason!r}")
    data = task["result"]["data"]
    expect(data["verdict"] == "fail", f"the bad project got the verdict {data['verdict']}")
    show_steps(data["steps"])

    say("stopping the agent, then the hub")
    expect(agent.stop() == 0, "the agent did not stop cleanly")
    expect(hub.stop() == 0, "the hub did not stop cleanly")
    print("  both ended with exit status 0\n\neverything went as it should")


def make_checkout(path: Path, sample: str) -> Path:
    """A sample project as a real git checkout."""
    path.mkdir()
    for source in (HERE / "samples" / sample).iterdir():
        (path / source.name.removesuffix(".sample")).write_bytes(source.read_bytes())
    who = ["-c", "user.name=Demo", "-c", "user.email=demo@example.invalid"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", sample]):
        subprocess.run(["git", "-C", str(path), *arguments], check=True, timeout=START_LIMIT_S)
    return path


def push(path: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Push a review, show it live, and give the task and its events."""
    metadata = json.dumps({"path": str(path), "ref": "HEAD"})
    command = [*AGENTCOM, "push", "reviewer", f"Review {path.name}", "--metadata", metadata]
    print(f"  agentcom push reviewer 'Review {path.name}' --metadata '{metadata}' --wait")
    command += ["--wait", "--timeout", str(REVIEW_LIMIT_S)]
    task_id = ""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        # The command has its own limit; this one is for a command that hangs.
        limit = threading.Timer(REVIEW_LIMIT_S + START_LIMIT_S, process.kill)
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            task_id = task_id or line.split()[0]
            print(f"    {line.rstrip()}")
        process.wait()
        limit.cancel()
    expect(task_id.startswith("task-"), "the push was refused")
    shown = subprocess.run(
        [*AGENTCOM, "task", task_id, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=START_LIMIT_S,
    )
    found = json.loads(shown.stdout)
    passed = found["task"]["status"] == "completed"
    expect((process.returncode == 0) is passed, f"push --wait exited with {process.returncode}")
    return {**found["task"], "events": found["events"]}


def show_steps(steps: list[dict[str, Any]]) -> None:
    """The structured result that the agent sent."""
    print("  the structured result that the hub keeps:")
    for step in steps:
        print(
            f"    {step['name']:6} exit {step['exit_code']}  {step['duration_s']:6.2f} s  "
            f"{len(step['findings'])} findings"
        )


class Started:
    """A process whose log is read as it comes."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def wait_for(self, text: str) -> str:
        """What follows ``text`` in the first line that has it."""
        deadline = time.monotonic() + START_LIMIT_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            if text in line:
                return line.partition(text)[2]
        log = self._log.read_text(errors="replace")
        raise Failed(f"the {self.name} did not say {text!r} but:\n{log}")

    def stop(self) -> int:
        """End it, by force if it must be; its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(STOP_LIMIT_S)

    def _read(self, stream: IO[str]) -> None:
        with self._log.open("w") as log:
            for line in stream:
                log.write(line)
                log.flush()
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


@contextmanager
def started(
    name: str, command: list[str], environment: dict[str, str], home: Path
) -> Iterator[Started]:
    """A process that ends with the block."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    running = Started(name, process, home / f"{name}.log")
    try:
        yield running
    finally:
        running.stop()


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


def expect(true: bool, otherwise: str) -> None:
    """Stop here unless it is so."""
    if not true:
        raise Failed(otherwise)


if __name__ == "__main__":
    sys.exit(main())

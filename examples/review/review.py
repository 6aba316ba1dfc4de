"""The command of a review agent: lints a git checkout and runs its tests.

``agentcom agent`` starts it for each task, with the task on standard input.
The task's metadata names the checkout: ``{"path": "/src/app"}``, and with
``"ref": "main"`` a commit of it that is reviewed in a copy.  Only the standard
library is used, so it can be taken as the beginning of another agent.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MAX_FINDINGS = 50
PLACED = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?:\d+:)? ?(?P<message>.+)$")
RUFF = re.compile(r"^(?P<code>[A-Z]+\d+) (?P<message>.+)$")


class Step(NamedTuple):
    """One command of a review, and how its output is read."""

    name: str
    command: list[str]
    findings: Callable[[list[str]], list[dict[str, Any]]]


class Refused(Exception):
    """The task cannot be reviewed; the text says why."""


def main() -> int:
    """Review what the task names; 0 if it passes, 1 if not, 2 if it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="refuse checkouts outside of this directory")
    options = parser.parse_args()
    try:
        metadata = json.load(sys.stdin).get("metadata") or {}
        with tempfile.TemporaryDirectory(prefix="review-") as scratch:
            checkout = find_checkout(metadata, options.root, Path(scratch))
            return review(checkout)
    except Refused as e:
        print(f"this cannot be reviewed: {e}")
        return 2


def find_checkout(metadata: dict[str, Any], root: Path | None, scratch: Path) -> Path:
    """The directory to review; for a ``ref`` a copy of it in ``scratch``."""
    path, ref = metadata.get("path"), metadata.get("ref")
    if not isinstance(path, str) or not path:
        raise Refused('the task\'s metadata has no "path"')
    checkout = Path(path).resolve()
    if root is not None and not checkout.is_relative_to(root.resolve()):
        raise Refused(f"{checkout} is not in {root}")
    if git("-C", str(checkout), "rev-parse", "--git-dir").returncode != 0:
        raise Refused(f"{checkout} is no git checkout")
    if ref is None:
        return checkout
    # A ref comes from who pushed the task: it must not be read as an option.
    found = git(
        "-C", str(checkout), "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"
    )
    if found.returncode != 0:
        raise Refused(f"{checkout} has no commit {ref!r}")
    copy = scratch / checkout.name
    for arguments in (
        ("clone", "--quiet", "--no-checkout", str(checkout), str(copy)),
        ("-C", str(copy), "checkout", "--quiet", "--detach", found.stdout.strip()),
    ):
        done = git(*arguments)
        if done.returncode != 0:
            raise Refused(f"{ref!r} cannot be checked out: {done.stderr.strip()}")
    return copy


def review(checkout: Path) -> int:
    """Run every step, say how far it is, and leave the result for the agent."""
    steps = [lint_step(), test_step()]
    results = []
    for done, step in enumerate(steps):
        progress(100 * done / len(steps), f"{step.name}: {' '.join(step.command)}")
        results.append(run(step, checkout))
    verdict = "pass" if all(result["exit_code"] == 0 for result in results) else "fail"
    progress(100, f"verdict: {verdict}")
    leave({"verdict": verdict, "steps": results})
    for result in results:
        print(f"{result['name']}: exit {result['exit_code']}, {len(result['findings'])} findings")
        for finding in result["findings"]:
            where = f"{finding['file']}:{finding['line']}: " if "file" in finding else ""
            print(f"  {where}{finding['message']}")
    print(f"verdict: {verdict}")
    return 0 if verdict == "pass" else 1


def lint_step() -> Step:
    """The best linter that is here; Python's own compiler always is."""
    ruff = Path(sys.executable).with_name("ruff")
    found = str(ruff) if ruff.exists() else shutil.which("ruff")
    if found is not None:
        command = [found, "check", "--no-cache", "--output-format=concise", "."]
        return Step("lint", command, placed_findings)
    if importlib.util.find_spec("pyflakes") is not None:
        return Step("lint", [sys.executable, "-m", "pyflakes", "."], placed_findings)
    # -f and no output file: it looks at every file and leaves none behind.
    command = [sys.executable, "-m", "compileall", "-q", "-f", "."]
    return Step("lint", command, lambda lines: [{"message": line} for line in lines])


def test_step() -> Step:
    """The tests, by the runner that every Python has."""
    command = [sys.executable, "-B", "-m", "unittest", "discover", "-v"]
    return Step("tests", command, failed_tests)


def run(step: Step, checkout: Path) -> dict[str, Any]:
    """Run one step, showing what it prints."""
    began = time.monotonic()
    lines = []
    with subprocess.Popen(
        step.command,
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPYCACHEPREFIX": tempfile.gettempdir(), "NO_COLOR": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return {
        "name": step.name,
        "command": step.command,
        "exit_code": process.returncode,
        "duration_s": round(time.monotonic() - began, 3),
        "findings": step.findings(lines)[:MAX_FINDINGS],
    }


def placed_findings(lines: list[str]) -> list[dict[str, Any]]:
    """``file:line:column: message`` as linters write it."""
    findings = []
    for line in lines:
        match = PLACED.match(line)
        if match is not None:
            finding = {"file": match["file"], "line": int(match["line"])}
            coded = RUFF.match(match["message"])
            if coded is not None:
                finding["code"] = coded["code"]
            findings.append({**finding, "message": match["message"]})
    return findings


def failed_tests(lines: list[str]) -> list[dict[str, Any]]:
    """The tests that unittest names as failed."""
    return [{"message": line} for line in lines if line.startswith(("FAIL: ", "ERROR: "))]


def progress(percent: float, message: str) -> None:
    """A line that the agent takes for progress instead of output."""
    print(f"agentcom:progress {percent:.0f} {message}", flush=True)


def leave(result: dict[str, Any]) -> None:
    """Write the structured result where the agent looks for it."""
    path = os.environ.get("AGENTCOM_RESULT_FILE")
    if path:
        Path(path).write_text(json.dumps(result), encoding="utf-8")


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git, and let the caller judge."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())

"""``agentcom chaos`` finds nothing wrong with the hub, and finds what is wrong with a broken one.

The seed of the plan is printed; ``AGENTCOM_TEST_SEED`` sets it, and
``AGENTCOM_TEST_FULL`` makes the run as long as the one that is promised.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ROOT, environment, until

FULL_RUN = bool(os.environ.get("AGENTCOM_TEST_FULL"))
LIMIT_S = 900.0 if FULL_RUN else 240.0
SHORT = ("--tasks", "40", "--agents", "6", "--kill-hub", "2", "--cut", "10")
FULL = ("--tasks", "2000", "--agents", "20", "--kill-hub", "10", "--cut", "100",
        "--kill-agent", "100")  # fmt: skip


class ChaosTestCase(SynchronousTestCase):
    """Runs scripts in processes, and leaves none of them."""

    timeout = LIMIT_S + 60

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).absolute()
        self.work.mkdir(parents=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(self.work, TMPDIR=str(self.work)),
            start_new_session=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def done(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code of a script, and what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def check(self, history: Path) -> tuple[int, dict[str, Any]]:
        """The exit code of ``--check``, and its verdict."""
        code, out, err = self.done("agentcom.cli", "chaos", "--check", str(history), "--json")
        self.assertEqual(err, "")
        return code, json.loads(out)


class ChaosTests(ChaosTestCase):
    """The command."""

    def test_nothing_is_lost(self) -> None:
        """Whatever breaks, each task ends once; the last line says so, and nothing is left."""
        seed = os.environ.get("AGENTCOM_TEST_SEED", str(random.randrange(10**6)))
        print(f"AGENTCOM_TEST_SEED={seed}", flush=True)
        size = FULL if FULL_RUN else SHORT
        code, out, err = self.done("agentcom.cli", "chaos", *size, "--seed", seed)
        last = out.splitlines()[-1] if out else ""
        acked = f"acked {size[1]} lost 0 double-accepted 0 stale-refused "
        self.assertRegex(last, f"^{acked}[0-9]+$", out + err)
        self.assertEqual(code, 0, out + err)
        self.assertNotIn("Traceback", err)
        self.assertEqual(list(self.work.glob("agentcom-chaos-*")), [])

    def test_interrupted(self) -> None:
        """Ctrl-C ends everything that was started."""
        kept = self.work / "kept"
        process = self.start("agentcom.cli", "chaos", *SHORT, "--keep", str(kept))
        until(lambda: (kept / "agent-05.log").exists(), "the agents run")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("stopped; everything that was started is ended", err)
        self.assertNotIn("Traceback", err)
        until(lambda: not running_below(kept), "nothing is left")


class TakeoverTests(ChaosTestCase):
    """Tasks that change hands while their agents work on (:mod:`.chaos_takeovers`)."""

    def judged(self, fence: str) -> tuple[int, dict[str, Any]]:
        code, _, err = self.done("tests.integration.chaos_takeovers", str(self.work), fence)
        self.assertEqual(code, 0, err)
        return self.check(self.work / "history.jsonl")

    def test_fence_holds(self) -> None:
        """What superseded attempts do and say is refused, and nothing else is wrong."""
        code, verdict = self.judged("fenced")
        self.assertEqual((code, verdict["faults"]), (0, []))
        self.assertEqual((verdict["lost"], verdict["double_accepted"]), (0, 0))
        self.assertGreater(verdict["stale_refused"], 0)
        self.assertGreater(verdict["figures"]["reports refused"], 0)

    def test_broken_fence_is_found(self) -> None:
        """A hub that believes every report is found out."""
        code, verdict = self.judged("unfenced")
        self.assertEqual(code, 1)
        self.assertGreater(verdict["double_accepted"], 0)
        self.assertTrue(
            any(re.search("the result of .* was accepted while", f) for f in verdict["faults"]),
            verdict["faults"],
        )


def running_below(directory: Path) -> list[int]:
    """The processes that were started in a directory or below it, as Linux tells them."""
    if not Path("/proc/self/cwd").exists():
        return []
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at = Path(os.readlink(process / "cwd"))
        except OSError:
            continue
        if at.is_relative_to(directory):
            found.append(int(process.name))
    return found

"""``agentcom bench`` in small: its own hub, and one that runs already."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from agentcom.bench.asked import OPERATIONS
from agentcom.bench.operations import IDLE
from tests.integration.processes import ROOT, ProcessTestCase, environment

SHORT = ("--rounds", "1", "--seconds", "0.3", "--warmup", "0.1")
SMALL = (*SHORT, "--agents", "4", "--batch-size", "5", "--open", "20")
LIMIT_S = 90.0


class BenchTests(ProcessTestCase):
    timeout = 2 * LIMIT_S

    def bench(self, *arguments: str, **more: str) -> dict[str, Any]:
        """The report of a run that went well."""
        done = subprocess.run(
            [sys.executable, "-m", "agentcom.cli", "bench", *arguments, "--json", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=ROOT,
            env=environment(self.work, **more),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def test_own_hub(self) -> None:
        """Each figure stands beside its ratio to spine and bare stack, and nothing is lost."""
        report = self.bench("push", *SMALL, "--only", "klein,web,spine,spine-quick,hub")
        figures = report["summary"]["push"]
        for figure in ("per s", "us each"):
            hub = figures[figure]["targets"]["hub"]
            self.assertGreater(hub["median"], 0)
            self.assertEqual(set(hub["to"]), {"klein", "web", "spine", "spine-quick"})
        (done,) = report["rounds"]["push"]
        for name, found in done.items():
            self.assertEqual((found["errors"], found["unfinished"]), (0, 0), name)
            self.assertGreater(found["generator_limit_per_s"], 0)
            self.assertGreaterEqual(found["stall_ms"]["wall"], 0, name)
        self.assertIsNone(report["hub"])

    def test_given_hub(self) -> None:
        """A hub that runs is measured, its own agents get no task, and no token is left."""
        hub = self.hub("--message-rate", "unlimited")
        self.agent(hub, "bystander")
        named = ("--hub", hub.url)
        token = hub.admin_token
        only = ("--only", "spine,hub", "--connections", "2")
        report = self.bench("queue", *SMALL, *only, *named, AGENTCOM_TOKEN=token)
        self.assertEqual(report["hub"]["url"], hub.url)
        self.assertEqual(report["hub"]["other_agents"], 1)
        for load in ("single", "batch"):
            found = report["summary"][load]["per s"]["targets"]["hub"]
            self.assertGreater(found["median"], 0)
            self.assertIn("spine", found["to"])
        report = self.bench("messages", *SMALL, *only[:2], *named, AGENTCOM_TOKEN=token)
        # A broadcast would reach the bystander.
        self.assertEqual(set(report["rounds"]), {"direct"})
        self.assertIn("broadcast", report["hub"]["left_out"])
        with hub.http() as http:
            tokens = http.ok("GET", "/admin/tokens")["tokens"]
            agents = http.ok("GET", "/api/agents")["agents"]
            tasks = http.ok("GET", "/api/tasks?limit=500")["tasks"]
        self.assertEqual({token["agent_id"] for token in tokens}, {"admin", "bystander"})
        self.assertEqual([agent["agent_id"] for agent in agents], ["bystander"])
        self.assertTrue(tasks)
        self.assertEqual([t for t in tasks if not t["agent_id"].startswith("bench-")], [])
        self.assert_clean_log(hub)

    def of(self, mode: str, *arguments: str) -> dict[str, dict[str, Any]]:
        """The reports of a short run's only round, by target, of the mode's last load."""
        report = self.bench(mode, *SHORT, *arguments)
        *_, rounds = report["rounds"].values()
        (found,) = rounds
        return dict(found)

    def test_storm(self) -> None:
        """Everybody comes in a storm, and comes back to a hub that was killed, with their tasks."""
        small = ("--agents", "20", "--settle", "0.1", "--only", "spine,hub")
        found = self.of("storm", *small)
        for name, report in found.items():
            self.assertEqual(report["storm"]["identified"], 20, name)
        kept = found["hub"]["restart"]["kept"]
        self.assertEqual(kept["stored"], {"completed generation 1": kept["tasks"]})
        self.assertEqual(found["hub"]["restart"]["missing"], 0)

    def test_idle(self) -> None:
        """The memory of those who are connected is told for each of them."""
        found = self.of("idle", "--agents", "20", "--settle", "0.1", "--only", "autobahn,hub")
        for name, report in found.items():
            self.assertEqual(report["crowd"]["connected"], 20, name)
            self.assertGreater(report["all"]["mib"], 0, name)

    def test_messages(self) -> None:
        """Messages between two, and from one to all, arrive on the relay, the spine and the hub."""
        found = self.of("messages", "--agents", "3")
        for name, report in found.items():
            self.assertGreater(report["delivered_per_s"], 0, name)

    def test_overload(self) -> None:
        """A flood is offered, and what was taken and what was refused is told."""
        found = self.of("overload", "--lines", "32")["hub"]
        self.assertGreater(found["rate"], found["capacity"]["per_s"])
        self.assertEqual(found["flood"]["lost"], 0)

    def test_takeover(self) -> None:
        """A killed agent's task is found on another one."""
        self.assertEqual(self.of("takeover", "--times", "1")["hub"]["times"], 1)

    def test_history(self) -> None:
        """A database is filled, and the hub that starts on it is measured beside an empty one."""
        only = ("--only", "hub,hub-ended,hub-queued", "--load", "push")
        found = self.of("history", "--agents", "4", "--tasks", "50", *only)
        self.assertEqual(set(found), {"hub", "hub-ended", "hub-queued"})

    def test_operations(self) -> None:
        """Each operation is done on a full hub and on an empty one, and none is refused."""
        work = Path(self.work)
        small = ("--tasks", "60", "--agents", "3", "--times", "1", "--rounds", "1")
        files = ("--work-dir", str(work), "--json", str(work / "found.json"))
        done = subprocess.run(
            [sys.executable, "-m", "agentcom.bench.operations", *small, *files],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=ROOT,
            env=environment(self.work),
        )
        found = json.loads((work / "found.json").read_text())
        told = {row["operation"]: row for row in found["rows"]}
        self.assertEqual([row for row in told.values() if "error" in row], [], done.stderr)
        self.assertEqual(set(told), {IDLE, *(operation.name for operation in OPERATIONS)})
        self.assertTrue(told["list agents"]["per_row"])
        self.assertEqual(set(found["stall_ms"]), {"wall", "cpu", "window_s"})
        self.assertIn("Longest turn of the event loop: ", done.stdout)
        # So few are too short to be judged, and it says so in the same way as of many.
        self.assertEqual(done.returncode, 1 if found["over"] else 0)
        self.assertEqual([path.name for path in work.glob("agentcom-operations-*")], [])

    def test_few_stay_few(self) -> None:
        """What operations leave behind stays in the full hub; the other one began on a copy."""
        kept = Path(self.work) / "kept"
        kept.mkdir()
        small = ("--tasks", "30", "--agents", "2", "--times", "2", "--rounds", "1")
        files = ("--only", "submit", "--keep", str(kept))
        subprocess.run(
            [sys.executable, "-m", "agentcom.bench.operations", *small, *files],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            cwd=ROOT,
            env=environment(self.work),
        )
        self.assertEqual({path.name for path in kept.iterdir()}, {"empty", "full"})
        counts = {}
        for name in ("empty", "full"):
            with closing(sqlite3.connect(kept / name / "agentcom.db")) as database:
                (counts[name],) = database.execute("SELECT COUNT(*) FROM tasks").fetchone()
        self.assertEqual(counts["empty"], 60)
        self.assertGreater(counts["full"], 60)

    def test_sockets_and_pace(self) -> None:
        """Submissions over WebSocket and at an even pace are measured beside bare answers."""
        found = self.of("ws", "--agents", "4", "--open", "20", "--only", "autobahn,hub")
        self.assertGreater(found["autobahn"]["submitted_per_s"], 0)
        found = self.of("latency", "--agents", "4", "--rate", "50", "--only", "klein,hub")
        self.assertIsNone(found["klein"]["assign_ms"])
        self.assertGreater(found["hub"]["assign_ms"]["p50"], 0)

    def test_self_test(self) -> None:
        """The generator is measured alone."""
        report = self.bench("push", *SMALL, "--self-test")
        self.assertGreater(report["generator"]["push"]["generator_limit_per_s"], 0)

    def test_wrong_token(self) -> None:
        """A token that is not the hub's admin's ends it with one sentence, before any load."""
        hub = self.hub()
        arguments = ("bench", "push", *SMALL, "--hub", hub.url, "--token", "0" * 64)
        done = subprocess.run(
            [sys.executable, "-m", "agentcom.cli", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment(self.work),
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("give the hub's admin token with --token", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

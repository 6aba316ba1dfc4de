"""``agentcom bench``: what it refuses before anything starts, and how it tells what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentcom.bench import run
from agentcom.bench.servers import ServerFailed
from tests.unit.cli.fakes import CommandTestCase


def report(errors: int = 0) -> dict[str, Any]:
    """What a run of one round has found."""
    found = {
        "agents": 4,
        "lifecycles_per_s": 100.0,
        "server_us_each": 250.0,
        "errors": errors,
        "unfinished": 0,
        "error_examples": ["frame: no"] * errors,
    }
    figure = {"median": 100.0, "min": 100.0, "max": 100.0, "to": {}}
    figures = {"targets": {"hub": figure}, "goals": []}
    packages = {"system": "Linux", "processors": 2, "python": "3.11", "sqlite": "3.40"}
    return {
        "mode": "push",
        "machine": {**packages, "file_system": "ext4", "load_average": [0.0]},
        "hub": None,
        "settings": {"rounds": 1, "seconds": 3},
        "rounds": {"push": [{"hub": found}]},
        "summary": {"push": dict.fromkeys(("per s", "us each", "stall ms"), figures)},
    }


class BenchTests(CommandTestCase):
    def found(self, found: dict[str, Any]) -> None:
        self.patch(run, "run", lambda options, progress: found)

    def test_help(self) -> None:
        """Asking for help shows the modes and examples."""
        told = self.output_of("bench", "--help")
        for word in ("queue", "overload", "agentcom bench latency", "--self-test"):
            self.assertIn(word, told)

    def test_refused(self) -> None:
        """What cannot be measured is a usage error, which says what can be."""
        self.assertIn("klein", self.error_of("bench", "push", "--only", "relay", code=2))
        self.assertIn("names nothing", self.error_of("bench", "push", "--only", ",", code=2))
        self.assertIn("single", self.error_of("bench", "queue", "--load", "push", code=2))

    def test_hub(self) -> None:
        """A hub takes a token of an admin, and plain HTTP; the error says how to give them."""
        self.environment["AGENTCOM_TOKEN"] = None
        self.assertIn(
            "--token", self.error_of("bench", "push", "--hub", "http://192.0.2.1:4000", code=2)
        )
        told = self.error_of("bench", "push", "--hub", "https://hub:4000", code=2)
        self.assertIn("plain HTTP", told)

    def test_no_disk(self) -> None:
        """Where all is in memory the error names the option for a disk."""
        self.patch(run, "file_system", lambda place: "tmpfs")
        self.assertIn("--work-dir", self.error_of("bench", "push"))

    def test_failure(self) -> None:
        """What keeps the benchmark from measuring is told in words."""

        def fail(options: object, progress: object) -> None:
            raise ServerFailed("open files are limited to 64: raise that with ulimit -n 5300")

        self.patch(run, "run", fail)
        self.assertIn("ulimit", self.error_of("bench", "idle"))

    def test_table(self) -> None:
        """The tables go to standard output, the whole report to a file."""
        self.found(report())
        file = Path(self.mktemp())
        told = self.output_of("bench", "push", "--json", str(file))
        self.assertIn("hub", told)
        self.assertIn("1 round of 3 s", told)
        self.assertEqual(json.loads(file.read_text()), report())

    def test_json_alone(self) -> None:
        """With - there is JSON on standard output and nothing else."""
        self.found(report())
        self.assertEqual(json.loads(self.output_of("bench", "push", "--json", "-")), report())

    def test_lost_work(self) -> None:
        """Figures that were taken while work was lost end with an error that says so."""
        self.found(report(errors=2))
        result = self.invoke("bench", "push")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("not everything came to its end", result.output)

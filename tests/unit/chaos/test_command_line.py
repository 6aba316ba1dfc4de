"""``agentcom chaos``: its options, and how it shows a verdict.  Nothing is started."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentcom.chaos import run
from agentcom.chaos.history import AnyRecord, Finished, Recorder, Trouble
from agentcom.chaos.hubprocess import NoHub
from agentcom.chaos.plan import Plan
from tests.unit.chaos.test_judge import good
from tests.unit.cli.fakes import CommandTestCase


class CheckTests(CommandTestCase):
    """``--check``: judge what was written down."""

    def history(self, records: Sequence[AnyRecord]) -> str:
        path = Path(self.mktemp())
        with path.open("wb") as file:
            recorder = Recorder(file, lambda: 0.0)
            for record in records:
                recorder.add(record)
        return str(path)

    def test_good(self) -> None:
        """The last line is the verdict, and nothing else is wrong."""
        shown = self.output_of("chaos", "--check", self.history(good()))
        self.assertEqual(shown.splitlines()[-1], "acked 2 lost 0 double-accepted 0 stale-refused 2")
        self.assertNotIn("FAULT", shown)

    def test_faults(self) -> None:
        """Faults end it with 1, are shown up to twenty, and the history is named."""
        troubles = [Trouble(who=f"agent-{n}", what="gone") for n in range(30)]
        path = self.history([*good(), *troubles])
        result = self.invoke("chaos", "--check", path)
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stdout.count("FAULT "), 20)
        self.assertIn(f"30 faults; the history is in {path}", result.stdout)
        self.assertEqual(
            result.stdout.splitlines()[-1], "acked 2 lost 0 double-accepted 0 stale-refused 2"
        )

    def test_json(self) -> None:
        """As JSON it has all faults."""
        told = json.loads(self.output_of("chaos", "--json", "--check", self.history(good())))
        self.assertEqual((told["acked"], told["lost"], told["good"]), (2, 0, True))
        result = self.invoke("chaos", "--json", "--check", self.history([]))
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(len(json.loads(result.stdout)["faults"]), 3)

    def test_no_history(self) -> None:
        """A file that is no history is told in one sentence."""
        path = Path(self.mktemp())
        path.write_text("hello\n")
        self.assertIn("line 1 is no record", self.error_of("chaos", "--check", str(path)))


class RunTests(CommandTestCase):
    """A run, with nothing in it but records."""

    def setUp(self) -> None:
        super().setUp()
        self.plans: list[Plan] = []
        self.works: list[Path] = []
        self.records: list[AnyRecord] = [Finished()]
        self.patch(tempfile, "tempdir", str(self.home))
        self.error: Exception | None = None

        async def stub(
            reactor: Any, plan: Plan, work: Path, recorder: Recorder, say: Any, limit: Any
        ) -> None:
            self.plans.append(plan)
            self.works.append(work)
            self.limit = limit
            if self.error is not None:
                raise self.error
            for record in self.records:
                recorder.add(record)

        self.patch(run, "run", stub)

    def test_options(self) -> None:
        """What was asked for is what the plan is drawn from."""
        self.invoke("chaos", "--tasks", "7", "--agents", "3", "--kill-hub", "1", "--cut", "2",
                    "--kill-writer", "8", "--kill-agent", "4", "--stop", "5", "--seed", "6",
                    "--limit", "3m")  # fmt: skip
        size = self.plans[0].size
        self.assertEqual(
            (size.tasks, size.agents, size.kill_hub, size.cut, size.kill_agent, size.freeze),
            (7, 3, 1, 2, 4, 5),
        )
        self.assertEqual((size.kill_writer, size.seed, self.limit), (8, 6, 180.0))

    def test_any_seed(self) -> None:
        """A seed that was not given is drawn, and told."""
        result = self.invoke("chaos")
        self.assertIn(f"seed {self.plans[0].size.seed}: 200 tasks", result.stderr)

    def test_files_of_a_bad_run_stay(self) -> None:
        """When something was wrong the files stay, and it is told where."""
        result = self.invoke("chaos", "--seed", "1")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"the files of the run are in {self.works[0]}", result.stderr)
        self.assertTrue((self.works[0] / "history.jsonl").exists())

    def test_files_of_a_good_run_go(self) -> None:
        """When all was well nothing stays but what was asked for."""
        self.records = good()
        path = self.home / "history"
        shown = self.output_of("chaos", "--history", str(path))
        self.assertIn("acked 2 lost 0", shown)
        self.assertFalse(self.works[0].exists())
        self.assertTrue(path.exists())

    def test_keep(self) -> None:
        """A directory to keep must be empty, and is made where it is missing."""
        kept = Path(self.mktemp()) / "deep"
        self.invoke("chaos", "--keep", str(kept))
        self.assertTrue((kept / "history.jsonl").exists())
        told = self.error_of("chaos", "--keep", str(kept), code=2)
        self.assertIn("it is not empty", told)

    def test_cannot_be_written(self) -> None:
        """A place that cannot be written to is told in one sentence, and nothing is run."""
        nowhere = self.home / "file" / "below"
        (self.home / "file").touch()
        told = self.error_of("chaos", "--keep", str(nowhere), code=2)
        self.assertIn("Not a directory", told)
        result = self.invoke("chaos", "--history", str(nowhere))
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Error: the history cannot be written", result.stderr)
        self.assertEqual(self.plans, [])

    def test_no_hub(self) -> None:
        """A hub that does not start is told in one sentence."""
        self.error = NoHub("the hub does not start: no room")
        result = self.invoke("chaos", "--seed", "1")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Error: the hub does not start: no room", result.stderr)

"""Random worlds, thousands of them, and a hub that keeps its promises in each.

The examples are the same in each run.  ``AGENTCOM_MODEL_EXAMPLES=20000`` tries
more of them, ``AGENTCOM_MODEL_SEED=7`` others, ``AGENTCOM_MODEL_STEPS=60``
longer ones.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agentcom.core import task as core_task
from agentcom.hub import archive, ledger, limits
from agentcom.hub import queue as hub_queue
from agentcom.store import commit
from tests.model.disk import Disk
from tests.model.machine import HubMachine
from tests.model.world import tokens

EXAMPLES = int(os.environ.get("AGENTCOM_MODEL_EXAMPLES", "500"))
PHASES = [hypothesis.Phase.generate, hypothesis.Phase.shrink]
STEPS = int(os.environ.get("AGENTCOM_MODEL_STEPS", "30"))
SEED = int(os.environ.get("AGENTCOM_MODEL_SEED", "0"))


@implementer(ILogObserver)
class Complaints:
    """What a hub logged that should not happen."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event or event.get("log_level") == LogLevel.critical:
            self.texts.append(str(event.get("log_failure") or event.get("log_format")))


class ModelTestCase(SynchronousTestCase):
    """Runs one machine over many examples, and says how many."""

    def setUp(self) -> None:
        self._logged = Complaints()
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)
        # Limits are low, so that few tasks reach them.
        self.limit(core_task, MAX_REQUEUES=4)

    def limit(self, module: Any, **limits: int) -> None:
        """Set limits of a module for the time of the test."""
        case: Any = self
        for name, value in limits.items():
            case.patch(module, name, value)

    def explore(self, number: int, **fields: Any) -> None:
        """Run the examples.

        :param number: tells tests apart, that each has examples of its own.
        :param fields: of the machine.
        """
        case: Any = self
        disk = Disk(Path(case.mktemp()), tokens())
        self.addCleanup(disk.close)
        seen: Counter[str] = Counter()
        machine: Any = type(
            "Machine",
            (HubMachine,),
            {"disk": disk, "log": self._complaints, "seen": seen, **fields},
        )
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            phases=PHASES,
            print_blob=False,
        )
        began = monotonic()
        try:
            run_state_machine_as_test(
                hypothesis.seed(SEED * 100 + number)(machine), settings=settings
            )
        except BaseException as e:
            # Trial does not print them: the steps that lead to the failure.
            print("", *getattr(e, "__notes__", ()), sep="\n")
            raise
        finally:
            took = monotonic() - began
            print(f"\n{self.id()}: {took:.1f} s, {dict(sorted(seen.items()))}")
        self.assertGreaterEqual(seen["examples"], EXAMPLES)

    def _complaints(self) -> list[str]:
        logged, self._logged.texts = self._logged.texts, []
        if logged:
            case: Any = self
            case.flushLoggedErrors()
        return logged


class QuickDiskTests(ModelTestCase):
    """The disk does everything at once."""

    def test_hub(self) -> None:
        """Whatever agents and people do, the hub keeps its promises."""
        self.explore(1, moody=False)


class MoodyDiskTests(ModelTestCase):
    """The disk takes its time, and fails."""

    def test_hub(self) -> None:
        """What was answered is kept, whenever the hub dies."""
        self.explore(2)


class LittleMemoryTests(ModelTestCase):
    """Memory keeps next to nothing, and everything is done in small portions."""

    def setUp(self) -> None:
        super().setUp()
        self.limit(ledger, WARM_TASKS=1, ENDED_KEPT=1)
        self.limit(limits, AT_A_TIME=1)
        self.limit(archive, AT_A_TIME=2)
        self.limit(hub_queue, KEPT_EMPTY=1, SLACK=0)
        self.limit(commit, BATCH=2)

    def test_with_a_quick_disk(self) -> None:
        """What was parked, forgotten or put off is found again."""
        self.explore(3, moody=False)

    def test_with_a_moody_disk(self) -> None:
        """The same while reads and commits take their time."""
        self.explore(4)

"""How the models are run: a machine, over many examples that are the same in each run.

``AGENTCOM_MODEL_EXAMPLES=20000`` tries more of them, ``AGENTCOM_MODEL_SEED=7`` others,
``AGENTCOM_MODEL_STEPS=60`` longer ones.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.model.disk import Disk
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
    """Runs one machine over many examples, and says how many.

    :cvar machine: the rules; given the fields ``disk``, ``log`` and ``seen``.
    :cvar examples: how many to try.
    """

    machine: ClassVar[type]
    examples: ClassVar[int] = EXAMPLES

    def setUp(self) -> None:
        self._logged = Complaints()
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)

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
            (self.machine,),
            {"disk": disk, "log": self._complaints, "seen": seen, **fields},
        )
        settings = hypothesis.settings(
            max_examples=self.examples,
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
        self.assertGreaterEqual(seen["examples"], self.examples)

    def _complaints(self) -> list[str]:
        logged, self._logged.texts = self._logged.texts, []
        if logged:
            case: Any = self
            case.flushLoggedErrors()
        return logged

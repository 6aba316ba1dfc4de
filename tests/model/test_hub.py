"""Random worlds, thousands of them, and a hub that keeps its promises in each.

:mod:`tests.model.exploring` says how to try more of them.
"""

from __future__ import annotations

from agentcom.core import task as core_task
from agentcom.hub import archive, ledger, limits
from agentcom.hub import queue as hub_queue
from agentcom.store import commit
from tests.model.exploring import ModelTestCase
from tests.model.machine import HubMachine


class HubModelTestCase(ModelTestCase):
    """The whole hub."""

    machine = HubMachine

    def setUp(self) -> None:
        super().setUp()
        # Limits are low, so that few tasks reach them.
        self.limit(core_task, MAX_REQUEUES=4)


class QuickDiskTests(HubModelTestCase):
    """The disk does everything at once."""

    def test_hub(self) -> None:
        """Whatever agents and people do, the hub keeps its promises."""
        self.explore(1, moody=False)


class MoodyDiskTests(HubModelTestCase):
    """The disk takes its time, and fails."""

    def test_hub(self) -> None:
        """What was answered is kept, whenever the hub dies."""
        self.explore(2)


class LittleMemoryTests(HubModelTestCase):
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

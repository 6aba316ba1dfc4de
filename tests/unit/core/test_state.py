"""A task as a value: its statuses, its defaults, and the deadline that counts."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.matching import NOTHING
from agentcom.core.retry import Backoff
from agentcom.core.state import ENDED, HELD, USUAL, OnDisconnect, Priority, Status, Task, Terms


def task(**fields: object) -> Task:
    asked = {"id": "t", "number": 1, "description": "", "submitted_by": "s"}
    return msgspec.convert({**asked, "created_at": 0, "updated_at": 0, **fields}, Task)


class StateTests(SynchronousTestCase):
    """Values of ``core/state.py``."""

    def test_statuses(self) -> None:
        """The names are the contract's; a task waits, is held, or has ended, and one of these."""
        self.assertEqual(
            [status.value for status in Status],
            "queued assigned working completed dead_letter cancelled expired".split(),
        )
        for status in Status:
            kinds = [status is Status.QUEUED, status.held, status.ended]
            self.assertEqual(kinds.count(True), 1, status)
        self.assertEqual(ENDED | HELD, set(Status) - {Status.QUEUED})

    def test_priorities(self) -> None:
        """The names are the contract's, the most urgent first."""
        self.assertEqual([p.value for p in Priority], ["urgent", "high", "normal", "low"])

    def test_defaults(self) -> None:
        """What is not asked for is as the contract says."""
        one = task()
        self.assertEqual((one.status, one.priority), (Status.QUEUED, Priority.NORMAL))
        self.assertEqual((one.hold_s, one.series, one.generation), (30.0, 1, 0))
        self.assertIs(one.needs, NOTHING)
        self.assertIs(one.terms, USUAL)
        self.assertEqual(USUAL.backoff, Backoff(initial_s=1.0, factor=2.0, max_s=60.0))
        self.assertEqual(USUAL.accept_timeout_s, 60.0)
        self.assertIs(USUAL.on_disconnect, OnDisconnect.REQUEUE)
        unlimited = (USUAL.not_before, USUAL.deadline, USUAL.queue_timeout_s)
        self.assertEqual((*unlimited, USUAL.attempt_timeout_s), (None,) * 4)

    def test_usual_terms_take_no_room(self) -> None:
        """Terms are stored without what is usual."""
        self.assertEqual(msgspec.json.encode(USUAL), b"{}")
        asked = Terms(backoff=Backoff(factor=3.0), deadline=5)
        self.assertEqual(msgspec.json.encode(asked), b'{"backoff":{"factor":3.0},"deadline":5}')
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(asked), type=Terms), asked)

    def test_deadline(self) -> None:
        """The deadline counts in the first series of attempts only."""
        asked = msgspec.structs.replace(task(), terms=Terms(deadline=500))
        self.assertEqual(asked.deadline, 500)
        self.assertIsNone(msgspec.structs.replace(asked, series=2).deadline)
        self.assertIsNone(task().deadline)

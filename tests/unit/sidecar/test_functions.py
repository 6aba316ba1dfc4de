"""Functions as a workshop, on an event loop that the tests turn by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from agentcom.sidecar.assignment import Task
from agentcom.sidecar.functions import (
    MAX_RESULT,
    PATIENCE_S,
    TEXT_KEPT,
    Call,
    Function,
    Functions,
    TaskFailed,
)
from agentcom.sidecar.jobs import Work, Workshop
from agentcom.sidecar.progress import Progress
from agentcom.sidecar.runner import Outcome
from tests.unit.sidecar.loops import FRAME, LoopCase


class FunctionCase(LoopCase):
    """
    :ivar lines: what was logged, formatted.
    """

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        observe: Callable[[Any], None] = lambda event: self.lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def workshop(self, function: Function, resume: bool = False) -> Functions:
        return Functions(function, resume=resume, clock=self.clock, loop=lambda: self.loop)

    def begun(self, function: Function) -> Call:
        """A call that has come to its first wait."""
        call = self.workshop(function).start(FRAME, self.heard.ears)
        self.turn()
        return call

    def outcome(self) -> Outcome:
        (found,) = self.heard.outcomes
        return found

    def outcome_of(self, function: Function) -> Outcome:
        self.begun(function)
        return self.outcome()

    def returning(self, value: object) -> Outcome:
        """How a function ends that returns this."""

        async def run(task: Task, progress: Progress) -> object:
            return value

        self.heard.outcomes.clear()
        return self.outcome_of(run)

    def raising(self, error: BaseException) -> Outcome:
        """How a function ends that raises this."""

        async def run(task: Task, progress: Progress) -> None:
            raise error

        self.heard.outcomes.clear()
        return self.outcome_of(run)


class ReturnTests(FunctionCase):
    def test_seam(self) -> None:
        """Functions and their calls are what the desk works with."""

        async def run(task: Task, progress: Progress) -> None: ...

        workshop: Workshop = self.workshop(run)
        workshop.tidy([])
        work: Work = workshop.start(FRAME, self.heard.ears)
        self.assertEqual(self.heard.outcomes, [], "the end is never told before start returns")
        self.turn()
        work.discard()
        work.stop()
        work.kill()
        self.turn()
        self.assertEqual(self.outcome(), Outcome(result=b"null"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_task(self) -> None:
        """The function is given the whole assignment, its fencing token too."""
        given: list[Task] = []

        async def run(task: Task, progress: Progress) -> None:
            given.append(task)

        self.begun(run)
        self.assertEqual(
            given,
            [
                Task(
                    id="task-0123456789abcdef",
                    description="count",
                    metadata={"path": "."},
                    generation=3,
                    attempt=2,
                    priority="high",
                    submitted_by="ann",
                    submitted_at=1,
                    assigned_at=2,
                    deadline=None,
                    resumed=False,
                )
            ],
        )
        with self.assertRaises(AttributeError):
            given[0].generation = 4  # type: ignore[misc]  # that it cannot be is the test

    def test_values(self) -> None:
        """Any JSON value that a function returns is the result."""
        for value, data in (
            ({"ok": True}, b'{"ok": true}'),
            (None, b"null"),
            ("\N{SNOWMAN}", '"\N{SNOWMAN}"'.encode()),
            ([1, 2.5], b"[1, 2.5]"),
            ("x" * (MAX_RESULT - 2), b'"%b"' % (b"x" * (MAX_RESULT - 2))),
        ):
            self.assertEqual(self.returning(value), Outcome(result=data))

    def test_no_results(self) -> None:
        """What the hub could not take is a failure that says so and is not tried again."""
        circle: list[object] = []
        circle.append(circle)
        deep: object = 1
        for _ in range(64):
            deep = [deep]
        for value, word in (
            (object(), "object is not JSON"),
            ({1, 2}, "set is not JSON"),
            ({("a",): 1}, "keys must be"),
            (float("nan"), "Out of range"),
            (circle, "Circular"),
            (deep, "nested"),
            (2**60, "2**53"),
            ("\ud800", "surrogates"),
            ("x" * MAX_RESULT, f"at most {MAX_RESULT}"),
        ):
            outcome = self.returning(value)
            self.assertEqual(outcome.error, "the function returned what cannot be a result")
            self.assertIn(word, outcome.reason)
            self.assertIs(outcome.retryable, False)
            self.assertIsNone(outcome.result)

    def test_awaiting(self) -> None:
        """A function awaits what asyncio can await, and a Deferred as a future."""
        deferred: Deferred[int] = Deferred()

        async def run(task: Task, progress: Progress) -> int:
            await asyncio.sleep(0)
            return await deferred.asFuture(asyncio.get_running_loop())

        self.begun(run)
        self.assertEqual(self.heard.outcomes, [])
        deferred.callback(7)
        self.turn()
        self.assertEqual(self.outcome(), Outcome(result=b"7"))

    def test_progress(self) -> None:
        """What a function tells is heard before its end, to the last word."""

        async def run(task: Task, progress: Progress) -> None:
            progress(0.5, "half", output="printed\n")
            progress(1, "done")

        self.begun(run)
        self.assertEqual(self.heard.text, "printed\n")
        self.assertEqual(self.heard.notes[-1].progress, 1)
        self.assertEqual(len(self.heard.outcomes), 1)

    def test_progress_after_the_end(self) -> None:
        """What something that the function left behind tells after the end is not heard."""
        kept: list[Progress] = []

        async def run(task: Task, progress: Progress) -> None:
            kept.append(progress)

        self.begun(run)
        kept[0](1, "late", output="late")
        self.turn()
        self.assertEqual((self.heard.told, len(self.heard.outcomes)), ([], 1))


class RaiseTests(FunctionCase):
    def test_error(self) -> None:
        """An exception fails the attempt: its text is the error, its traceback the reason."""
        outcome = self.raising(ValueError("no such branch"))
        self.assertEqual(outcome.error, "ValueError: no such branch")
        self.assertTrue(outcome.reason.endswith("\nValueError: no such branch"), outcome.reason)
        self.assertIn("raise error", outcome.reason)
        self.assertNotIn("functions.py", outcome.reason.replace("test_functions.py", ""))
        self.assertIs(outcome.retryable, True)
        self.assertIn(f"task {FRAME['task_id']} failed: ValueError: no such branch", self.lines)
        self.assertIn("    raise error", self.lines)

    def test_long_texts(self) -> None:
        """Of a long traceback the end is kept, in whole lines; of a long error the beginning."""

        class Long(Exception):
            pass

        def one(depth: int) -> None:
            other(depth - 1)

        def other(depth: int) -> None:
            # Two that take turns: a traceback shows the repetitions of one only once.
            if depth <= 0:
                raise Long("x" * 500)
            one(depth - 1)

        async def run(task: Task, progress: Progress) -> None:
            one(50)

        outcome = self.outcome_of(run)
        self.assertLessEqual(len(outcome.reason), TEXT_KEPT)
        self.assertTrue(outcome.reason.endswith("x" * 500))
        self.assertTrue(outcome.reason.startswith(("  File ", "    ")), outcome.reason[:50])
        self.assertEqual(len(self.raising(Long("y" * 5_000)).error or ""), TEXT_KEPT)

    def test_without_text(self) -> None:
        """An exception without a text, or with one that fails, is told by its type."""

        class Bad(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        self.assertEqual(self.raising(KeyError()).error, "KeyError")
        self.assertEqual(self.raising(Bad()).error, "Bad: (it cannot be shown)")

    def test_task_failed(self) -> None:
        """``TaskFailed`` chooses its words, and whether another attempt makes sense."""
        self.assertEqual(
            self.raising(TaskFailed("no money", reason="the card is empty", retryable=False)),
            Outcome(error="no money", reason="the card is empty", retryable=False),
        )
        self.assertEqual(self.raising(TaskFailed("later")), Outcome(error="later"))
        self.assertEqual(self.raising(TaskFailed("")).error, "the task failed")

    def test_task_failed_from(self) -> None:
        """What a ``TaskFailed`` was raised from is its reason where it has none."""

        async def run(task: Task, progress: Progress) -> None:
            try:
                raise OSError("disk")
            except OSError as e:
                raise TaskFailed("not written") from e

        self.assertIn("OSError: disk", self.outcome_of(run).reason)

    def test_exit(self) -> None:
        """A function that would end the process fails its attempt, not the agent."""
        for error in (SystemExit(3), KeyboardInterrupt()):
            told = self.raising(error).error or ""
            self.assertTrue(told.startswith(type(error).__name__), told)

    def test_cancelled_by_itself(self) -> None:
        """A cancellation that nobody asked for is a failure like any other."""
        self.assertEqual(self.raising(asyncio.CancelledError()).error, "CancelledError")


class StopTests(FunctionCase):
    def test_stop(self) -> None:
        """To stop is to cancel: the function may clean up, and then its end is told."""
        cleaned: list[str] = []

        async def run(task: Task, progress: Progress) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append("cleaned")

        call = self.begun(run)
        call.stop()
        call.stop()
        self.assertEqual(self.heard.outcomes, [])
        self.turn()
        self.assertEqual(cleaned, ["cleaned"])
        self.assertEqual(self.outcome(), Outcome(error="cancelled"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_twice(self) -> None:
        """A second stop leaves the clean-up alone; a kill cancels it too."""
        went_on = asyncio.Event()
        cleaned: list[str] = []

        async def run(task: Task, progress: Progress) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await went_on.wait()
                cleaned.append("cleaned")

        for end, outcome in ((Call.stop, ["cleaned"]), (Call.kill, [])):
            cleaned.clear()
            went_on.clear()
            call = self.begun(run)
            call.stop()
            self.turn()
            end(call)
            self.turn()
            went_on.set()
            self.turn()
            self.assertEqual(cleaned, outcome)
        self.assertEqual(self.heard.outcomes, [Outcome(error="cancelled")] * 2)

    def test_before_it_began(self) -> None:
        """A call that is stopped at once never begins, and its end is told."""
        called: list[Task] = []

        async def run(task: Task, progress: Progress) -> None:
            called.append(task)

        self.workshop(run).start(FRAME, self.heard.ears).stop()
        self.assertEqual(self.heard.outcomes, [])
        self.turn()
        self.assertEqual(called, [])
        self.assertEqual(self.outcome(), Outcome(error="cancelled"))

    def test_deaf(self) -> None:
        """A function that goes on is named after 10 s, and runs until it ends by itself."""
        let_go = asyncio.Event()

        async def run(task: Task, progress: Progress) -> str:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    progress(output="no\n")
            return "done"

        call = self.begun(run)
        call.stop()
        self.turn()
        self.clock.advance(PATIENCE_S - 0.1)
        self.assertFalse([line for line in self.lines if "goes on" in line])
        self.clock.advance(0.1)
        self.assertEqual(len([line for line in self.lines if "goes on" in line]), 1)
        call.kill()
        self.turn()
        self.clock.advance(PATIENCE_S)
        self.assertEqual(self.heard.outcomes, [])
        let_go.set()
        self.turn()
        self.assertEqual(self.outcome(), Outcome(result=b'"done"'))
        self.assertEqual(self.heard.text, "no\nno\n")

    def test_ends_in_any_way(self) -> None:
        """However strangely it ends, its end is told: a slot that stays taken is the worst."""

        class Silly(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        async def leaves(task: Task, progress: Progress) -> None:
            raise GeneratorExit

        async def silly(task: Task, progress: Progress) -> None:
            raise Silly

        async def wrong_flag(task: Task, progress: Progress) -> None:
            raise TaskFailed("x", retryable="no")  # type: ignore[arg-type]

        async def reason_is_an_error(task: Task, progress: Progress) -> None:
            raise TaskFailed("x", reason=ValueError("why"))  # type: ignore[arg-type]

        for number, (run, error) in enumerate(
            (
                (leaves, "GeneratorExit"),
                (silly, "Silly"),
                (wrong_flag, "TypeError"),
                (reason_is_an_error, "x"),
            )
        ):
            self.begun(run)
            self.turn()
            self.assertEqual(len(self.heard.outcomes), number + 1, run.__name__)
            told = self.heard.outcomes[number]
            self.assertIn(error, told.error or "")
            self.assertIsInstance(told.retryable, bool)
        self.assertEqual(self.heard.outcomes[3].reason, "why")

    def test_awaited_deferred(self) -> None:
        """A Deferred that the function waits for is cancelled with it."""
        cancelled: list[object] = []
        deferred: Deferred[None] = Deferred(cancelled.append)

        async def run(task: Task, progress: Progress) -> None:
            await deferred.asFuture(asyncio.get_running_loop())

        call = self.begun(run)
        call.stop()
        self.turn()
        self.assertEqual(cancelled, [deferred])
        self.assertEqual(self.outcome(), Outcome(error="cancelled"))


class AdoptTests(FunctionCase):
    def test_nothing_is_left(self) -> None:
        """Of a function that an earlier process had called nothing is left."""

        async def run(task: Task, progress: Progress) -> None: ...

        self.assertIsNone(self.workshop(run).adopt(FRAME, self.heard.ears))
        self.turn()
        self.assertEqual(self.heard.outcomes, [])

    def test_resume(self) -> None:
        """One that resumes is called again for the same attempt, and told so; not before the
        hub says that it is still this agent's."""

        async def run(task: Task, progress: Progress) -> list[object]:
            return [task.resumed, task.generation]

        call = self.workshop(run, resume=True).adopt(FRAME, self.heard.ears)
        assert call is not None
        self.turn()
        self.assertEqual(self.heard.outcomes, [])
        call.go_on()
        self.turn()
        self.assertEqual(self.outcome(), Outcome(result=b"[true, 3]"))
        self.workshop(run, resume=True).start(FRAME, self.heard.ears)
        self.turn()
        self.assertEqual(self.heard.outcomes[1], Outcome(result=b"[false, 3]"))

    def test_given_away(self) -> None:
        """One whose task is somebody else's by now is never called."""
        called: list[Task] = []

        async def run(task: Task, progress: Progress) -> None:
            called.append(task)

        call = self.workshop(run, resume=True).adopt(FRAME, self.heard.ears)
        assert call is not None
        self.turn()
        call.stop()
        self.turn()
        self.assertEqual((called, self.outcome()), ([], Outcome(error="cancelled")))

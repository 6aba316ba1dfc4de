"""Final reports: truthful, and always small and clean enough for the hub."""

from __future__ import annotations

import json
import signal
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.report import crashed_report, final_report, fitting, stopped_report
from agentcom.sidecar.runner import Outcome
from agentcom.wire.codec import decode
from agentcom.wire.frames import TaskComplete, TaskFailed

KEY = ("task-1", 3)


def complete(**fields: Any) -> dict[str, Any]:
    """The result of a run that ended with 0."""
    frame = final_report(KEY, Outcome(exit_code=0, **fields))
    decode(msgspec.json.encode(frame), msgspec.json.Decoder(TaskComplete))
    result: dict[str, Any] = frame["result"]
    return result


class CompleteTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """Exit status 0 completes the task with output and data."""
        frame = final_report(KEY, Outcome(exit_code=0, output="x\n", data=b'{"a": [1]}'))
        self.assertEqual(
            frame,
            {
                "type": "task_complete",
                "task_id": "task-1",
                "generation": 3,
                "result": {
                    "exit_code": 0,
                    "output": "x\n",
                    "truncated": False,
                    "data": {"a": [1]},
                },
            },
        )

    def test_bad_data(self) -> None:
        """Data that the hub would refuse is left out, and that is told."""
        for data in (b"{", b"\xff", b"[" * 70 + b"]" * 70, b"[9007199254740993]", b'"\\ud800"',
                     b"1e400"):  # fmt: skip
            result = complete(data=data)
            self.assertIsNone(result["data"], data)
            self.assertIn("result file", result["data_error"])

    def test_problem(self) -> None:
        """A result file that could not be read is told."""
        self.assertEqual(complete(problem="it is a pipe")["data_error"], "it is a pipe")

    def test_output_that_grows(self) -> None:
        """Control characters do not swell a report past what the hub takes."""
        result = complete(output="\x01" * 200_000, data=json.dumps("y" * 100_000).encode())
        self.assertTrue(result["truncated"])
        self.assertLess(len(msgspec.json.encode(result)), 512 * 1024)

    def test_truncated(self) -> None:
        """Output that was cut before stays marked."""
        self.assertTrue(complete(truncated=True)["truncated"])


class FittingTests(SynchronousTestCase):
    def test_end_is_kept(self) -> None:
        """It is the end that is kept."""
        text, cut = fitting("a" * 100 + "end", 20)
        self.assertTrue(text.endswith("end") and cut and len(text) <= 18)

    def test_nothing_fits(self) -> None:
        """However small the limit, it ends."""
        self.assertEqual(fitting("\x01\x01", 2), ("", True))


class FailedTests(SynchronousTestCase):
    def test_exit_status(self) -> None:
        """Another status fails the task; the reason is how the output ended."""
        frame = final_report(KEY, Outcome(exit_code=3, output="a\nwhy\n\n"))
        self.assertEqual(
            (frame["type"], frame["generation"], frame["error"], frame["reason"]),
            ("task_failed", 3, "exit status 3", "a\nwhy"),
        )

    def test_result(self) -> None:
        """What a failed attempt found out is told too, with its true exit code."""
        outcome = Outcome(exit_code=3, output="why\n", data=b'{"findings": 2}')
        result = final_report(KEY, outcome)["result"]
        self.assertEqual((result["exit_code"], result["data"]), (3, {"findings": 2}))

    def test_signal(self) -> None:
        """A signal is named, as far as it has a name."""
        named = final_report(KEY, Outcome(signal=signal.SIGKILL))
        self.assertEqual(named["error"], "killed by SIGKILL")
        self.assertEqual(final_report(KEY, Outcome(signal=250))["error"], "killed by signal 250")

    def test_never_ran(self) -> None:
        """A command that never ran says why."""
        self.assertEqual(final_report(KEY, Outcome(problem="no"))["error"], "no")
        self.assertEqual(final_report(KEY, Outcome())["error"], "the command did not run")

    def test_long_reason(self) -> None:
        """The reason begins with a whole line, if there is one."""
        output = "".join(f"line {i}\n" for i in range(1000))
        reason = final_report(KEY, Outcome(exit_code=1, output=output))["reason"]
        self.assertLessEqual(len(reason), 2000)
        self.assertRegex(reason, r"\Aline \d+\n[^$]*line 999\Z")
        one_line = final_report(KEY, Outcome(exit_code=1, output="x" * 5000))["reason"]
        self.assertEqual(one_line, "x" * 2000)

    def test_stopped(self) -> None:
        """A run that the agent's end cut short is a failure of its own kind."""
        frame = stopped_report(KEY, Outcome(signal=signal.SIGTERM))
        self.assertEqual(frame["error"], "agent stopped")
        self.assertIn("while it worked", frame["reason"])


class FunctionTests(SynchronousTestCase):
    """What a function returns or raises is the whole report."""

    def test_returned(self) -> None:
        """A value is the result as it is, also if the agent stops meanwhile; null is one too."""
        for data, value in ((b'{"ok": true}', {"ok": True}), (b"null", None)):
            outcome = Outcome(result=data)
            complete = {"type": "task_complete", "task_id": "task-1", "generation": 3}
            self.assertEqual(final_report(KEY, outcome), {**complete, "result": value})
            self.assertEqual(stopped_report(KEY, outcome), {**complete, "result": value})

    def test_raised(self) -> None:
        """An error is told with its reason, and whether to try again."""
        outcome = Outcome(error="ValueError: x", reason="trace", retryable=False)
        self.assertEqual(
            final_report(KEY, outcome),
            {
                "type": "task_failed",
                "task_id": "task-1",
                "generation": 3,
                "error": "ValueError: x",
                "reason": "trace",
                "retryable": False,
            },
        )
        stopped = stopped_report(KEY, outcome)
        self.assertEqual((stopped["error"], stopped["reason"]), ("agent stopped", "trace"))

    def test_crashed(self) -> None:
        """A run of which nothing is left failed, may be tried again, and the hub takes that."""
        frame = crashed_report(KEY)
        said = decode(msgspec.json.encode(frame), msgspec.json.Decoder(TaskFailed))
        self.assertEqual((said.error, said.retryable), ("agent crashed", True))

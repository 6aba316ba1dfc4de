"""``submit --batch``: many tasks, what is sent, and what is told when it breaks off."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable
from typing import Any

import click
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from agentcom.cli import batch
from agentcom.cli.batch import Lines
from agentcom.cli.runtime import Interrupted
from tests.unit.cli.fakes import CommandTestCase

BATCH = "POST /api/tasks/batch"


def jsonl(*tasks: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(task).encode() + b"\n" for task in tasks)


class BatchTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(batch, "BATCH_MOST", 2)
        self.made = 0
        self.breaks: dict[int, Callable[[], Any]] = {}
        self.hub.answers[BATCH] = self.answer

    def answer(self, body: Any) -> Any:
        number = len(self.hub.requests)
        if number in self.breaks:
            return self.breaks[number]()
        ids = [f"task-{self.made + n}" for n in range(1, len(body["tasks"]) + 1)]
        self.made += len(ids)
        return 201, {"task_ids": ids}

    def file(self, data: bytes) -> str:
        path = self.home / "tasks.jsonl"
        path.write_bytes(data)
        return str(path)

    def sent(self) -> list[list[Any]]:
        return [body["tasks"] for _, body in self.hub.requests]

    def numbers(self, count: int) -> bytes:
        return jsonl(*({"description": f"d{n}"} for n in range(1, count + 1)))

    def test_ids(self) -> None:
        """The ids are printed in the order of the lines, over as many batches as it takes."""
        result = self.invoke("submit", "--batch", self.file(self.numbers(5)))
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(result.stdout.split(), [f"task-{n}" for n in range(1, 6)])
        self.assertEqual(result.stderr, "5 tasks submitted\n")
        self.assertEqual([len(tasks) for tasks in self.sent()], [2, 2, 1])

    def test_standard_input(self) -> None:
        """A dash reads standard input; empty lines are passed over, and the last needs no end."""
        lines = b'\n{"description": "a"}\r\n   \n{"description": "b"}'
        result = self.invoke("submit", "--batch", "-", input=lines)
        self.assertEqual(result.stdout.split(), ["task-1", "task-2"])
        self.assertEqual(self.sent(), [[{"description": "a"}, {"description": "b"}]])

    def test_json(self) -> None:
        """--json shows the hub's answers, a line each."""
        shown = self.output_of("submit", "--json", "--batch", self.file(self.numbers(3)))
        answers = [json.loads(line) for line in shown.splitlines()]
        self.assertEqual(answers[1], {"task_ids": ["task-3"]})

    def test_options_are_for_all(self) -> None:
        """Options are for the lines that do not say otherwise, and a key gets the line's number."""
        lines = jsonl(
            {"description": "a"},
            {"description": "b", "priority": "urgent", "idempotency_key": "own"},
        )
        self.output_of(
            "submit", "--batch", self.file(b"\n" + lines), "--priority", "low",
            "--idempotency-key", "k",
        )  # fmt: skip
        self.assertEqual(
            self.sent()[0],
            [
                {"description": "a", "priority": "low", "idempotency_key": "k:2"},
                {"description": "b", "priority": "urgent", "idempotency_key": "own"},
            ],
        )

    def test_bad_line(self) -> None:
        """A wrong line is named, with all that is wrong with it, before anything is sent."""
        for line, told in (
            (b"{", "line 6: the text is not JSON"),
            (b"[1]", "line 6: the JSON is not an object"),
            (b'"\xff"', "line 6: the text is not UTF-8"),
            (b"{}", "line 6: description: this field is required"),
            (b'{"description": "x", "priority": "soon", "max_attempts": 0}', "max_attempts: "),
            (b'{"description": "x", "labels": {"os": {"like": "l"}}}', "line 6: labels"),
        ):
            data = self.numbers(5) + line + b"\n" + self.numbers(1)
            told_of = self.error_of("submit", "--batch", self.file(data))
            self.assertIn(told, told_of)
            self.assertIn("nothing was submitted", told_of)
            self.assertEqual(self.hub.requests, [])

    def test_unknown_field(self) -> None:
        """A field that the hub would pass over is told, once."""
        lines = jsonl(*({"description": "x", "agent": "bot"} for _ in range(3)))
        result = self.invoke("submit", "--batch", self.file(lines))
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(result.stderr.count("the hub ignores the field 'agent'"), 1)

    def test_nothing_in_it(self) -> None:
        """A file without tasks is a failure."""
        self.assertIn("no task in it", self.error_of("submit", "--batch", self.file(b"\n")))

    def test_later_batch_is_refused(self) -> None:
        """What was taken before is told, and the hub's place in a batch as a line."""
        wrong = {"field": "tasks[1].deadline", "error": "invalid_value", "detail": "it is over"}
        self.breaks[2] = lambda: (422, {"error": "validation_failed", "errors": [wrong]})
        data = self.numbers(3) + b"\n" + self.numbers(2)
        result = self.invoke("submit", "--batch", self.file(data))
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stdout.split(), ["task-1", "task-2"])
        for told in (
            "lines 3 to 5: the hub refused it: line 5: deadline: it is over",
            "2 tasks are submitted, up to line 2;",
            "go on from there",
        ):
            self.assertIn(told, result.stderr)

    def test_hub_goes_away(self) -> None:
        """Where the answer was lost, both what is in and what may be is told."""

        def last() -> Any:
            self.hub.down = ResponseNeverReceived([Failure(ValueError())])
            return 201, {"task_ids": ["task-3", "task-4"]}

        self.breaks[2] = last
        path = self.file(self.numbers(6))
        result = self.invoke("submit", "--batch", path, "--idempotency-key", "k")
        self.assertEqual(result.exit_code, 1)
        for told in (
            "4 tasks are submitted, up to line 4, lines 5 to 6 may be;",
            "they can be sent again without harm",
        ):
            self.assertIn(told, result.stderr)

    def test_hub_is_away(self) -> None:
        """With no hub nothing is in, and nothing else is claimed."""
        self.hub.down = ConnectionRefusedError()
        told = self.error_of("submit", "--batch", self.file(self.numbers(1)))
        self.assertIn("nothing was submitted", told)

    def test_conflict(self) -> None:
        """A key that was used for something else is told with the task that has it."""
        refusal = {"error": "idempotency_conflict", "task_id": "task-9"}
        self.breaks[1] = lambda: (409, refusal)
        told = self.error_of("submit", "--batch", self.file(self.numbers(1)))
        self.assertIn("choose another key (task-9)", told)

    def test_progress(self) -> None:
        """Long ones say now and then how far they are."""
        self.patch(batch, "PROGRESS_EVERY", 4)
        result = self.invoke("submit", "--batch", self.file(self.numbers(9)))
        self.assertEqual(result.stderr, "4 so far\n8 so far\n9 tasks submitted\n")

    def test_interrupted(self) -> None:
        """Ctrl-C says how far it came."""

        def stop() -> Any:
            raise Interrupted

        self.patch(batch.Lines, "_line", _first(stop, b'{"description": "a"}\n', 3))
        self.patch(batch.Lines, "check", lambda self: None)
        result = self.invoke("submit", "--batch", "-", input=b"")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("stopped; 2 tasks are submitted, up to line 2", result.stderr)


def _first(then: Callable[[], Any], line: bytes, count: int) -> Callable[[Any], bytes]:
    """A source that has some lines and then something else."""
    left = [line] * count

    def read(lines: Any) -> bytes:
        return left.pop() if left else bytes(then())

    return read


class LinesTests(SynchronousTestCase):
    def test_size(self) -> None:
        """A batch is never larger than a hub takes, unless one task alone is."""
        self.patch(batch, "MOST_BYTES", 100)
        tasks = jsonl(*({"description": "x" * n} for n in (20, 20, 200, 20)))
        batches = Lines(io.BytesIO(tasks), {}).batches()
        self.assertEqual([one.lines for one in batches], [[1, 2], [3], [4]])

    def test_pipe(self) -> None:
        """What cannot be read again is looked at as it comes, and not before."""
        source = _Pipe(b'{"description": "a"}\n{\n')
        lines = Lines(source, {})
        lines.check()
        tasks = lines.tasks()
        self.assertEqual(next(tasks), (1, {"description": "a"}))
        with self.assertRaises(click.ClickException):
            next(tasks)

    def test_signal_while_reading(self) -> None:
        """A signal ends the wait for a line that does not come."""

        def wait() -> bytes:
            signal.raise_signal(signal.SIGTERM)
            return b""

        source = _Pipe(b"")
        self.patch(source, "readline", wait)
        before = signal.getsignal(signal.SIGTERM)
        with self.assertRaises(Interrupted):
            next(Lines(source, {}).tasks())
        self.assertIs(signal.getsignal(signal.SIGTERM), before)


class _Pipe(io.BytesIO):
    """A file that has no places."""

    def seekable(self) -> bool:
        return False

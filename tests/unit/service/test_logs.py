"""A line of the JSON log is one object, bounded, and tells no secret."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.application.service import Application, IService, Service
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from agentcom import logs
from agentcom.errors import StartError
from agentcom.tap import Options

SECRET = "5ec" + "0" * 61


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        publisher = LogPublisher(logs.observer(self.file))
        self.log = Logger("agentcom.test", observer=publisher)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]

    def line(self) -> dict[str, Any]:
        (found,) = self.lines()
        return found

    def test_event(self) -> None:
        """An event is an object with its time, its level, who says it, and its fields."""
        self.log.warn("task {task_id} of {agent_id} {ok}", task_id="t-1", agent_id="a", ok=True)
        found = self.line()
        self.assertRegex(found.pop("time"), r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
        self.assertEqual(
            found,
            {
                "level": "warn",
                "logger": "agentcom.test",
                "message": "task t-1 of a True",
                "task_id": "t-1",
                "agent_id": "a",
                "ok": True,
            },
        )

    def test_time(self) -> None:
        """The time is of the event, in UTC with milliseconds."""
        line = logs.line({"log_time": 1_700_000_000.1234, "log_format": "x"})
        self.assertEqual(json.loads(line or "")["time"], "2023-11-14T22:13:20.123Z")

    def test_failure(self) -> None:
        """A traceback is a string in the one line of its event."""
        try:
            raise ValueError("of this kind\nin two lines")
        except ValueError:
            self.log.failure("request {request_id} failed", Failure(), request_id="r-1")
        found = self.line()
        self.assertIn("Traceback", found["traceback"])
        self.assertIn("ValueError: of this kind\nin two lines", found["traceback"])
        self.assertEqual((found["level"], found["request_id"]), ("critical", "r-1"))
        self.assertNotIn("log_failure", found)

    def test_bounds(self) -> None:
        """However much an event carries, its line is bounded and still JSON."""
        fields = {f"field{n}": "y" * 100_000 for n in range(100)}
        try:
            raise ValueError("z" * 100_000 + "the end")
        except ValueError:
            self.log.failure("x" * 100_000, Failure(), **fields)
        self.assertLess(len(self.file.getvalue()), 64 * 1024)
        found = self.line()
        self.assertIn("the end", found["traceback"])
        self.assertEqual(len(found["message"]), logs.MESSAGE + 1)

    def test_one_line(self) -> None:
        """What others wrote makes no line of its own, and any text can be written."""
        self.log.info("{text}", text='a\nb\r\n\x1b[31m\ud800\u2028{"level":"info"}')
        self.assertEqual(self.file.getvalue().count("\n"), 1)
        self.assertTrue(self.line()["message"].startswith("a\nb"))
        self.file.getvalue().encode("utf-8")

    def test_secrets(self) -> None:
        """What looks like a secret is not in the line, by its name or by its place."""
        self.log.info(
            "GET /api/mailbox/a?token={0} with {header}; {cookie}".format(
                SECRET,
                header=f"Authorization: Bearer {SECRET}",
                cookie=f"agentcom_session={SECRET}",
            ),
            admin_token=SECRET,
            password=SECRET,
            Cookie=SECRET,
            url=f"/x?since=1&token={SECRET}&a=b",
            token_prefix="5ec00000",
            text=f"{{'some': '{SECRET}'}}",
        )
        self.assertNotIn(SECRET, self.file.getvalue())
        found = self.line()
        self.assertEqual(found["admin_token"], logs.HIDDEN)
        self.assertEqual(found["url"], f"/x?since=1&token={logs.HIDDEN}&a=b")
        self.assertEqual(found["token_prefix"], "5ec00000")
        try:
            raise ValueError(f"/x?token={SECRET}")
        except ValueError:
            self.log.failure("broken", Failure())
        self.assertNotIn(SECRET, self.file.getvalue())

    def test_what_cannot_be_shown(self) -> None:
        """An event that breaks when it is shown is told of, and breaks nothing."""

        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no text")

        self.log.info("fine", thing=Broken())
        self.assertIn("cannot be shown", self.line()["message"])

    def test_numbers(self) -> None:
        """Numbers are numbers, and what JSON has no word for is a text."""
        self.log.info("x", whole=2**70, part=0.5, no=float("nan"), none=None, far=float("inf"))
        found = self.line()
        self.assertEqual(
            [found[name] for name in ("whole", "part", "no", "none", "far")],
            [2**70, 0.5, "nan", None, "inf"],
        )

    def test_old_kind(self) -> None:
        """Twisted's events of the old kind are lines too."""
        line = logs.line(
            {
                "log_level": LogLevel.info,
                "log_namespace": "twisted",
                "log_format": "{log_text}",
                "log_text": "Starting factory",
                "message": ("Starting factory",),
                "system": "-",
                "time": 1.0,
                "isError": 0,
            }
        )
        found = json.loads(line or "")
        self.assertEqual(found["message"], "Starting factory")
        self.assertEqual(set(found), {"time", "level", "logger", "message"})


class OptionTests(SynchronousTestCase):
    def test_file(self) -> None:
        """The application of the service logs to twistd's ``--logfile``, the service runs in it."""
        name = self.mktemp()
        service = Service()
        application = Application("agentcom")
        logs.JsonLogged({"logfile": name}, service).setServiceParent(application)
        observer = application.getComponent(ILogObserver)
        observer({"log_format": "here \u2603", "log_time": 1.0, "log_level": LogLevel.info})
        with open(name, encoding="utf-8") as file:
            self.assertEqual(json.loads(file.read())["message"], "here \u2603")
        IService(application).startService()
        self.assertTrue(service.running)

    def test_turned_over(self) -> None:
        """A file is turned over when it is asked for, between two lines and once."""
        name = self.mktemp()
        file = logs.TurnedOver.fromFullPath(name)
        log = logs.observer(file)
        for text in ("one", "two", "three"):
            log({"log_format": text, "log_level": LogLevel.info})
            if text == "one":
                file.ask()
        found = []
        for path in (f"{name}.1", name):
            with open(path) as lines:
                found.append([json.loads(line)["message"] for line in lines])
        self.assertEqual(found, [["one"], ["two", "three"]])

    def test_requests(self) -> None:
        """``--log-requests`` is off unless it is given."""
        for arguments in ([], ["--log-requests"]):
            options = Options()
            options.parseOptions([*arguments, "--data-dir", self.mktemp()])
            assert options.config is not None
            self.assertEqual(options.config.log_requests, bool(arguments))

    def test_other_ways(self) -> None:
        """Two ways to log at once are one sentence."""
        logs.check({"nodaemon": True, "logfile": "-"})
        for twistd in ({"logger": print}, {"syslog": True}, {"nodaemon": False, "logfile": "-"}):
            self.assertRaises(StartError, logs.check, {"nodaemon": True, **twistd})

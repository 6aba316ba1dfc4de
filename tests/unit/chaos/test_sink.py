"""The fenced sink, and the command that writes to it."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
import threading
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos import command
from agentcom.chaos.history import Effect
from agentcom.chaos.sink import Fence, Sink


class FenceTests(SynchronousTestCase):
    """The highest generation of each task."""

    def test_lower_is_refused(self) -> None:
        """Once a generation was seen no lower one passes, whatever other tasks do."""
        fence = Fence()
        asked = [("a", 1), ("a", 1), ("a", 3), ("a", 2), ("b", 1), ("a", 3), ("a", 1)]
        passed = [fence.passes(*one) for one in asked]
        self.assertEqual(passed, [True, True, True, False, True, True, False])


class SinkTests(SynchronousTestCase):
    """The sink over a connection."""

    def setUp(self) -> None:
        self.records: list[Effect] = []
        self.sink = Sink(self.records.append)

    def connect(self) -> tuple[Any, StringTransport]:
        mouth, transport = self.sink.buildProtocol(None), StringTransport()
        mouth.makeConnection(transport)
        return mouth, transport

    def line(self, generation: int, **more: Any) -> bytes:
        words = {"task_id": "t", "generation": generation, "agent_id": "a", "step": "begin"}
        return json.dumps({**words, "run": 1, **more}).encode() + b"\n"

    def test_answers(self) -> None:
        """Each line is answered and recorded, refused or not."""
        mouth, transport = self.connect()
        mouth.dataReceived(self.line(2) + self.line(1, step="end"))
        self.assertEqual(transport.value(), b'{"counted":true}\n{"counted":false}\n')
        self.assertEqual([(e.generation, e.counted) for e in self.records], [(2, True), (1, False)])

    def test_one_fence(self) -> None:
        """What one connection has said holds for all."""
        for generation in (2, 1):
            mouth, transport = self.connect()
            mouth.dataReceived(self.line(generation))
        self.assertEqual(transport.value(), b'{"counted":false}\n')

    def test_nonsense(self) -> None:
        """What is no line of a command ends its connection and is not recorded."""
        for wrong in (b"hello\n", b'{"task_id":1}\n', b"\xff\n", b"x" * 9999):
            mouth, transport = self.connect()
            mouth.dataReceived(wrong)
            self.assertTrue(transport.disconnecting, wrong)
        self.assertEqual(self.records, [])

    def test_close(self) -> None:
        """When the sink goes all connections are cut, and gone ones are forgotten."""
        (gone, _), (_, transport) = self.connect(), self.connect()
        gone.connectionLost()
        self.sink.close()
        self.assertTrue(transport.disconnected)
        self.assertEqual(len(self.sink.mouths), 1)


class CommandTests(SynchronousTestCase):
    """What agents run, against a sink at the other end of a socket pair."""

    timeout = 20

    def setUp(self) -> None:
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.said: list[dict[str, Any]] = []

    def run_with(
        self, *answers: bool, fails: int = 0, deaf: bool = False, **environment: str
    ) -> int:
        """The exit code of a command whose side effects are answered so; then the sink goes."""

        def answer() -> None:
            with self.far.makefile("rb") as lines:
                for counted in answers:
                    self.said.append(json.loads(lines.readline()))
                    self.far.sendall(json.dumps({"counted": counted}).encode() + b"\n")

        # What it prints is for whoever watches the task.
        self.patch(sys, "stdout", io.StringIO())
        sink = threading.Thread(target=answer)
        sink.start()
        try:
            return command.work(
                self.near,
                {
                    "AGENTCOM_DESCRIPTION": json.dumps({"work_s": 0, "fails": fails, "deaf": deaf}),
                    "AGENTCOM_GENERATION": "2",
                    "AGENTCOM_TASK_ID": "t",
                    "AGENTCOM_AGENT_ID": "a",
                    **environment,
                },
            )
        finally:
            sink.join()

    def test_success(self) -> None:
        """It writes at its begin and at its end, and leaves a result that names the attempt."""
        path = self.mktemp()
        self.assertEqual(self.run_with(True, True, AGENTCOM_RESULT_FILE=path), 0)
        self.assertEqual([said["step"] for said in self.said], ["begin", "end"])
        self.assertEqual({said["generation"] for said in self.said}, {2})
        with open(path) as file:
            self.assertEqual(json.load(file), {"by": "a", "generation": 2})

    def test_superseded(self) -> None:
        """It fails, with no result, as soon as the sink refuses it."""
        path = self.mktemp()
        for answers in ((False,), (True, False)):
            code = self.run_with(*answers, AGENTCOM_RESULT_FILE=path)
            self.assertEqual(code, command.SUPERSEDED)
        self.assertRaises(FileNotFoundError, open, path)

    def test_fails_on_purpose(self) -> None:
        """It fails in the attempts in which the task says so."""
        self.assertEqual(self.run_with(True, fails=2), command.FAILED)
        self.assertEqual(self.run_with(True, True, fails=1), 0)

    def test_deaf(self) -> None:
        """A task can ask for a command that SIGTERM does not end."""
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        self.run_with(True, True)
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)
        self.run_with(True, True, deaf=True)
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_IGN)

    def test_sink_goes(self) -> None:
        """It ends at once when the sink is gone, whatever it was at."""
        told = {"AGENTCOM_TASK_ID": "t", "AGENTCOM_AGENT_ID": "a", "AGENTCOM_GENERATION": "1"}
        told["AGENTCOM_DESCRIPTION"] = json.dumps({"work_s": 5, "fails": 99})
        self.far.sendall(b'{"counted": true}\n')
        self.far.shutdown(socket.SHUT_WR)
        self.assertRaises(OSError, command.work, self.near, told)
        self.far.close()
        self.assertRaises(OSError, command.work, self.near, told)

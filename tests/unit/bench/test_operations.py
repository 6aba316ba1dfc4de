"""The comparison of a full hub with an empty one: its rows, its lines, and what it asks."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench import operations
from agentcom.bench.asked import OPERATIONS, Operation
from agentcom.bench.operations import line, measured, row
from agentcom.bench.sides import Agent, Line, Refused, Side, cpu_s, some_ids
from agentcom.bench.loads.crowd import split

ADMIN = "an-admin's-token"


class Served:
    """A loopback port whose one connection is answered by a function of what is read.

    :ivar heard: what came, a piece for each answer.
    """

    def __init__(self, *answers: bytes) -> None:
        self._port = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self.heard: list[bytes] = []
        self.url = "http://127.0.0.1:%d" % self._port.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        line, _ = self._port.accept()
        with line, self._port:
            for answer in self._answers:
                self.heard.append(line.recv(1 << 16))
                line.sendall(answer)

    def end(self) -> None:
        """Wait until all is said."""
        self._thread.join(10)


def ok(content: bytes) -> bytes:
    """An answer of known length."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)

"""A program of the benchmark beside the server, that does as it is told line by line."""

from __future__ import annotations

import json
import os
import select
import subprocess
from time import monotonic
from types import TracebackType
from typing import Any

from agentcom.bench.programs import ENV, program
from agentcom.bench.servers import ServerFailed

END_S = 20.0


class Helper:
    """One process: commands go to its input, answers are lines of JSON; use it with `with`.

    It ends when its input does, so it never outlives the benchmark.

    :param name: of the module, below `agentcom.bench`.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self._name = name
        self._command = program(name, *arguments)
        self._heard = b""
        self.pid = 0
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Helper:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENV},
        )
        self.pid = self._process.pid
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        if not process.stdin.closed:
            process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def say(self, command: str) -> None:
        """Tell it what to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, limit_s: float) -> dict[str, Any]:
        """Its next answer.

        :raises ServerFailed: it ended, has not answered in time, or says that it failed.
        """
        assert self._process.stdout is not None
        end = monotonic() + limit_s
        while b"\n" not in self._heard:
            left = max(0.0, end - monotonic())
            readable, _, _ = select.select([self._process.stdout], [], [], left)
            data = os.read(self._process.stdout.fileno(), 1 << 20) if readable else b""
            if not data:
                why = "ended" if readable else f"has not answered within {limit_s:g} s"
                raise ServerFailed(f"{self._name} {why}")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        if "failed" in told:
            raise ServerFailed(told["failed"])
        return told

    def last_words(self, limit_s: float = END_S) -> dict[str, Any]:
        """Tell it to end; what it says then.

        :param limit_s: longer than it may wait for what is still under way.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.hear(limit_s)

"""Start the servers of the benchmark, learn their port, and end them by their process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from agentcom.bench.programs import ENV

READY = re.compile(r"http://127\.0\.0\.1:(\d+)")
TURNS = re.compile(r"^turns: (\d+)$", re.MULTILINE)
START_S = 20.0
STOP_S = 15.0


def end_cleanly_on_sigterm() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that no server outlives the benchmark."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class ServerFailed(Exception):
    """A server did not do what it should, so that nothing can be measured; the text says what."""


class Running(Protocol):
    """A server that can be measured; used with `with`, whose end is the end of what was started.

    `pid` is unknown where it runs on another machine; `metrics` is the URL at which it tells how
    long the turns of its event loop are; `token_file` has the admin token of a hub.
    """

    url: str
    pid: int | None
    start_s: float | None
    metrics: str
    token_file: Path | None

    def __enter__(self) -> Self:
        """Have it run."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Be done with it."""

    def log(self) -> str:
        """The end of what it has printed."""


class Server:
    """One server process, from its ready line to its end; use it with `with`."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        start_limit: float = START_S,
        token_file: Path | None = None,
    ) -> None:
        self._command = command
        self._log_path = log
        self._start_limit = start_limit
        self._process: subprocess.Popen[bytes] | None = None
        self.start_s: float | None = None
        self.url = self.metrics = ""
        self.pid: int | None = None
        self.token_file = token_file

    def __enter__(self) -> Self:
        # A file and not a pipe: nobody reads while the load runs, and a full pipe would stop the
        # server.
        keep = self._log_path != Path(os.devnull)
        with open(self._log_path, "w+b") if keep else tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENV},
            )
            self.pid = self._process.pid
            try:
                self._wait_until_ready(log.fileno())
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def log(self) -> str:
        """The end of what it has printed."""
        return self._log_path.read_text(errors="replace")[-2000:]

    def _wait_until_ready(self, log: int) -> None:
        assert self._process is not None
        began = time.monotonic()
        while True:
            ended = self._process.poll() is not None
            said = os.pread(log, 1_000_000, 0).decode(errors="replace")
            if found := READY.search(said):
                self.start_s = round(time.monotonic() - began, 2)
                self.url = found.group(0)
                turns = TURNS.search(said)
                self.metrics = f"{self.url}/metrics"
                if turns is not None:
                    self.metrics = f"http://127.0.0.1:{turns[1]}/" if turns[1] != "0" else ""
                return
            if ended or time.monotonic() - began > self._start_limit:
                what = (
                    f"ended with {self._process.returncode}"
                    if ended
                    else "did not say that it listens"
                )
                raise ServerFailed(f"{' '.join(self._command)} {what}:\n{said[-2000:]}")
            time.sleep(0.02)

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

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

READY = re.compile(r"http://127\.0\.0\.1:(\d+)")
START_S = 20.0
STOP_S = 15.0


def end_cleanly_on_sigterm() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that no server outlives the benchmark."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class ServerFailed(Exception):
    """A server ended, or stayed silent, before it said where it listens."""


class Server:
    """One server process, from its ready line to its end; use it with `with`."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        env: dict[str, str] | None = None,
        start_limit: float = START_S,
    ) -> None:
        self._command = command
        self._log_path = log
        self._env = {**os.environ, **(env or {})}
        self._start_limit = start_limit
        self._process: subprocess.Popen[bytes] | None = None
        self.start_s = 0.0
        self.url = ""
        self.pid = 0

    def __enter__(self) -> Server:
        # A file and not a pipe: nobody reads while the load runs, and a full pipe would stop the
        # server.
        keep = self._log_path != Path(os.devnull)
        with open(self._log_path, "w+b") if keep else tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, env=self._env
            )
            self.pid = self._process.pid
            try:
                self.url = self._wait_until_ready(log.fileno())
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

    def _wait_until_ready(self, log: int) -> str:
        assert self._process is not None
        began = time.monotonic()
        while True:
            ended = self._process.poll() is not None
            said = os.pread(log, 1_000_000, 0).decode(errors="replace")
            if found := READY.search(said):
                self.start_s = round(time.monotonic() - began, 2)
                return found.group(0)
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

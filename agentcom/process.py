"""How a process under twistd ends: one sentence when it cannot start, exit codes, signals.

twistd itself would show a traceback, exit with the number of the signal, or
with 0 whatever went wrong.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from twisted.logger import Logger
from twisted.python import runtime

STATUS_PIPE = 98
"""Bytes of a message that twistd's parent process reads after its number."""

log = Logger()


def steady_timers(reactor: Any) -> None:
    """Let timers follow a clock that is never set.

    Twisted's follow the time of day: set back by an hour, nothing that waits
    would end for an hour.
    """
    begun = runtime.seconds() - time.monotonic()
    reactor.seconds = lambda: begun + time.monotonic()


def tell(twistd: Mapping[str, Any], sentence: str) -> None:
    """Tell whoever started the process why it ends.

    :param twistd: twistd's own options.
    """
    told = f"agentcom: {sentence}"
    pipe = twistd.get("statusPipe")
    if not twistd.get("nodaemon"):
        log.critical("{told}", told=told)
        if pipe is not None:
            # A daemon has no stderr: its waiting parent process tells this.
            os.write(pipe, b"1 " + told.encode("ascii", "backslashreplace")[:STATUS_PIPE])
    elif sys.__stderr__ is not None:
        # Not ``sys.stderr``: twistd has put its log there.
        sys.__stderr__.write(told + "\n")
        sys.__stderr__.flush()


def fail_to_start(twistd: Mapping[str, Any], sentence: str) -> NoReturn:
    """End a process whose service cannot start: one sentence, exit code 1."""
    # First the file: whoever is told may look for it at once.
    if twistd.get("pidfile"):
        Path(twistd["pidfile"]).unlink(missing_ok=True)
    tell(twistd, sentence)
    raise SystemExit(1)


def exit_with_1() -> None:
    """Let the end of the process, when it comes, tell that not all was well."""
    atexit.register(os._exit, 1)


def on_signals(reactor: Any, call: Callable[[], None]) -> None:
    """Call for each SIGTERM and SIGINT while the reactor runs, in its thread.

    Twisted's own way would stop the reactor under the work.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)

    def received(which: int, _: object) -> None:
        log.info("{name} received", name=signal.Signals(which).name)
        reactor.callFromThread(call)

    def own() -> None:
        for which in numbers:
            signal.signal(which, received)
        reactor.addSystemEventTrigger("after", "shutdown", disown)

    def disown() -> None:
        # A thread that goes on keeps the process: a signal must still end it.
        for which in numbers:
            signal.signal(which, signal.SIG_DFL)

    reactor.callWhenRunning(own)

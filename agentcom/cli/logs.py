"""The log of a long-running command, one readable line each, on standard error."""

from __future__ import annotations

import sys

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatTime,
    globalLogBeginner,
)
from zope.interface import implementer

from agentcom.cli.show import line


@implementer(ILogObserver)
class StandardError:
    """Writes time and text."""

    def __call__(self, event: LogEvent) -> None:
        at = formatTime(event["log_time"], "%H:%M:%S")
        print(f"{at} {line(formatEvent(event))}", file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Show what our own parts say, and of the libraries only what is wrong."""
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    levels.setLogLevelForNamespace("agentcom", LogLevel.info)
    observer = FilteringLogObserver(StandardError(), [levels])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)

"""The log as JSON: one object a line, for programs that collect logs.

Chosen with ``--log-json``; twistd then writes it to where its text would go.
Twisted's own events go through it too.  A line is bounded, whatever an event
carries, and what looks like a secret is cut out of it.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

from twisted.application.service import IService, MultiService
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, formatEvent
from twisted.python.logfile import LogFile

from agentcom.errors import StartError

MESSAGE = 4_000
FIELD = 1_000
TRACEBACK = 8_000
"""Characters of a line's parts at the most; of a traceback its ends stay."""

FIELDS = 32
"""Fields of an event that are shown."""

DEFAULT_FILE = "twistd.log"
"""Where a daemon writes that was told of no file, as twistd has it."""

# What Twisted puts into events for its own use, and for logs of the old kind.
_ITS_OWN = frozenset(
    {"time", "system", "message", "format", "failure", "isError", "why", "printed", "log_io"}
)
_OURS = frozenset({"time", "level", "logger", "message", "traceback"})
_SECRET_NAME = re.compile(r"token$|secret|password|passwd|cookie|authorization|csrf", re.I)
_SECRETS = re.compile(
    r"((?:[?&](?:access_)?token=)|(?:\bBearer\s+)|(?:agentcom_session=))[^\s&\"';,]+"
    # As a token looks, wherever it stands.
    r"|\b[0-9a-f]{64}\b",
    re.I,
)
HIDDEN = "[hidden]"


def line(event: LogEvent) -> str | None:
    """An event as a line of JSON; ``None`` where it says nothing.  Never raises."""
    try:
        return _line(event)
    except Exception as e:
        told = f"an event of {event.get('log_namespace')!s:.100} cannot be shown: {e!r:.200}"
        return json.dumps({"level": "error", "logger": __name__, "message": told}) + "\n"


def _line(event: LogEvent) -> str | None:
    shown: dict[str, Any] = {
        "time": _when(event.get("log_time")),
        "level": getattr(event.get("log_level"), "name", "info"),
        "logger": str(event.get("log_namespace") or event.get("log_system") or "-")[:FIELD],
        "message": _without_secrets(_cut(formatEvent(event), MESSAGE)),
    }
    for name, value in _fields(event).items():
        shown[name] = value
    failure = event.get("log_failure")
    if failure is not None:
        shown["traceback"] = _without_secrets(_ends(failure.getTraceback(), TRACEBACK))
    elif not shown["message"] and len(shown) == len(_OURS) - 1:
        return None
    # In ASCII: some would end the line at U+2028, and some outputs take nothing else.
    return json.dumps(shown) + "\n"


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event has of its own."""
    found: dict[str, Any] = {}
    for name, value in event.items():
        if name.startswith(("log_", "_")) or name in _ITS_OWN or name in _OURS:
            continue
        if len(found) == FIELDS:
            break
        name = name[:FIELD]
        if _SECRET_NAME.search(name):
            found[name] = HIDDEN
        elif value is None or isinstance(value, (bool, int)):
            found[name] = value
        elif isinstance(value, float):
            # JSON has no word for what is no number.
            found[name] = value if value - value == 0 else str(value)
        else:
            found[name] = _without_secrets(_cut(str(value), FIELD))
    return found


def _when(at: object) -> str | None:
    if not isinstance(at, (int, float)):
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _cut(text: str, most: int) -> str:
    # What cannot be encoded would break the file it is written to.
    text = text[: most + 1].encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else text[:most] + "\N{HORIZONTAL ELLIPSIS}"


def _ends(text: str, most: int) -> str:
    if len(text) > most:
        text = f"{text[: most // 2]}\n[...]\n{text[-most // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _without_secrets(text: str) -> str:
    return _SECRETS.sub(lambda found: f"{found[1] or ''}{HIDDEN}", text)


def observer(file: IO[Any]) -> FileLogObserver:
    """What writes events to a file as JSON."""
    return FileLogObserver(file, line)


def check(twistd: Mapping[str, Any]) -> None:
    """See that twistd was told of no other way to log.

    :param twistd: twistd's own options.
    :raises StartError: it was.
    """
    if twistd.get("logger") or twistd.get("syslog"):
        raise StartError("--log-json does not go with twistd's --logger and --syslog: give one")
    if not twistd.get("nodaemon") and twistd.get("logfile") == "-":
        raise StartError("a daemon cannot log to standard output: give --logfile FILE, or -n")


class TurnedOver(LogFile):
    """A file that is turned over when it is large, or at SIGUSR1, as twistd does it.

    Not in the signal itself, which may come in the middle of a line.
    """

    _asked = False

    def ask(self, *_: object) -> None:
        """Turn it over before the next line."""
        self._asked = True

    def shouldRotate(self) -> bool:
        return self._asked or bool(super().shouldRotate())  # type: ignore[no-untyped-call]  # untyped in Twisted

    def rotate(self) -> None:
        self._asked = False
        super().rotate()  # type: ignore[no-untyped-call]  # untyped in Twisted


class JsonLogged(MultiService):
    """Holds the service of an application that logs as JSON.

    twistd asks its application how to log, and an application is what the
    outermost service is put into.

    :param twistd: twistd's own options.
    """

    def __init__(self, twistd: Mapping[str, Any], service: IService) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._twistd = twistd
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # untyped in Twisted
        parent.setComponent(ILogObserver, self._observer())

    def _observer(self) -> FileLogObserver:
        name = self._twistd.get("logfile")
        if name == "-" or (self._twistd.get("nodaemon") and not name):
            return observer(sys.stdout)
        file = TurnedOver.fromFullPath(  # type: ignore[no-untyped-call]  # untyped in Twisted
            name or DEFAULT_FILE
        )
        if not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, file.ask)
        return observer(file)

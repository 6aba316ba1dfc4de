"""``twistd agentcom``: options in, one service out.

The only module of the hub that knows the reactor.  Nothing is opened here:
twistd forks after :func:`makeService`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python import runtime, usage

from agentcom import __version__, logs, process
from agentcom.config import (
    DEFAULT_LISTEN,
    LEAST_BUFFER,
    MOST_BUFFER,
    MOST_FRAME,
    SHOWN,
    Config,
    data_dir_of,
    database_of,
    duration,
    number,
    origins_of,
    public_url_of,
    shortcuts_of,
    size,
    trusted_proxies_of,
)
from agentcom.errors import StartError

EXAMPLES = """\
Examples:
  twistd -n --pidfile= agentcom
  twistd -n --pidfile= agentcom --listen tcp:4000:interface=0.0.0.0
  twistd -n --pidfile= agentcom --listen ssl:4443:privateKey=key.pem:certKey=cert.pem
  twistd -n --pidfile= agentcom --data-dir /var/lib/agentcom --retain 7d
"""

log = Logger()


class Options(usage.Options):
    """Options of ``twistd agentcom``."""

    synopsis = "[options]"
    longdesc = f"AgentCom {__version__}: a hub that hands tasks to AI agents and loses none."
    optParameters: ClassVar[list[list[str | None]]] = [
        ["data-dir", None, None, "Where the hub keeps its state [$AGENTCOM_HOME or ~/.agentcom]"],
        ["database", None, None, "URL of the database [sqlite, in the data directory]"],
        ["min-free", None, "256MiB", "Take no new work with less free disk than this"],
        ["presence-limit", None, "200", "Agents up to which all of them hear of each other"],
        ["max-queued", None, "2000000", "Tasks that may wait; some 350 bytes of memory each"],
        ["retain", None, "30d", "Forget tasks so long after their end, or: forever"],
        ["retain-messages", None, "7d", "Forget messages so long after they came, or: forever"],
        ["message-rate", None, "50", "Messages a second of one agent, or: unlimited"],
        ["mailbox-size", None, "1000", "Messages that wait for an agent, the newest"],
        ["mailbox-retain", None, "7d", "How long they wait, or: forever"],
        ["drain-limit", None, "10", "Seconds that a stop may take"],
        ["max-frame", None, "1MiB", "Largest WebSocket frame of an agent"],
        ["send-buffer", None, "8MiB", "What may wait for an agent that reads slowly"],
        ["ping-interval", None, "20", "Seconds between pings to a silent agent"],
        ["silence-limit", None, "60", "Seconds of silence that close a connection"],
        ["max-connections", None, None, "Connections in all [what open files allow]"],
        ["public-url", None, None, "What clients reach the hub by, such as https://hub.example"],
        ["max-unidentified", None, None, "WebSockets without identify [half of all, <= 10000]"],
        ["stall-log-ms", None, "0", "Log where the reactor was for longer [0: no such log]"],
        ["shortcuts", None, "all", "Ways around slow libraries: all, none, or some"],
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["open-registration", None, "Let anybody register a new agent"],
        ["log-json", None, "Log as JSON, an object a line"],
        ["log-requests", None, "Log a line for each request that is answered"],
    ]
    compData = usage.Completions(optActions={"data-dir": usage.CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self["listen"] = []
        self["trusted-proxy"] = []
        self["allow-origin"] = []
        self.config: Config | None = None

    def getUsage(self, width: int | None = None) -> str:
        """Twisted's own, and examples that it would wrap into one paragraph."""
        return f"{super().getUsage(width)}\n{EXAMPLES}"

    def opt_listen(self, endpoint: str) -> None:
        """Twisted server endpoint string; may be repeated [tcp:4000:interface=127.0.0.1]"""
        self["listen"].append(endpoint)

    def opt_trusted_proxy(self, address: str) -> None:
        """Address, network or unix, whose X-Forwarded-For and -Proto count; may be repeated"""
        self["trusted-proxy"].append(address)

    def opt_allow_origin(self, origin: str) -> None:
        """Origin of pages of others that may call from a browser; may be repeated"""
        self["allow-origin"].append(origin)

    def opt_version(self) -> None:
        """Show the version and stop."""
        print(f"AgentCom {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: all settings are options")

    def parseOptions(self, options: Any = None) -> None:
        """Parse; an error is one sentence instead of the whole help."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]  # untyped in Twisted
            self.config = self._check()
            if self["log-json"] and self.parent is not None:
                logs.check(self.parent)
        except (usage.UsageError, StartError) as e:
            sys.stderr.write(f"agentcom: {e} (see twistd agentcom --help)\n")
            raise SystemExit(2) from None

    def _check(self) -> Config:
        data_dir = data_dir_of(self["data-dir"], os.environ)
        config = Config(
            listen=tuple(map(_endpoint, self["listen"])) or (DEFAULT_LISTEN,),
            data_dir=data_dir,
            database=database_of(self["database"], data_dir),
            min_free=size("min-free", self["min-free"]),
            presence_limit=int(
                number("presence-limit", self["presence-limit"], 0, 1e6, whole=True)
            ),
            max_queued=int(number("max-queued", self["max-queued"], 1, 1e9, whole=True)),
            retain_s=self._kept("retain"),
            retain_messages_s=self._kept("retain-messages"),
            mailbox_s=self._kept("mailbox-retain"),
            mailbox_size=int(number("mailbox-size", self["mailbox-size"], 1, 1e5, whole=True)),
            message_rate=None
            if self["message-rate"] == "unlimited"
            else number("message-rate", self["message-rate"], 0.01, 1e6),
            open_registration=bool(self["open-registration"]),
            log_requests=bool(self["log-requests"]),
            shortcuts=shortcuts_of(self["shortcuts"]),
            stall_log_ms=number("stall-log-ms", self["stall-log-ms"], 0, 60_000),
            drain_s=number("drain-limit", self["drain-limit"], 0, 3600),
            max_frame=size("max-frame", self["max-frame"], LEAST_BUFFER, MOST_FRAME),
            send_buffer=size("send-buffer", self["send-buffer"], LEAST_BUFFER, MOST_BUFFER),
            ping_s=number("ping-interval", self["ping-interval"], 0.1, 3600),
            silence_s=number("silence-limit", self["silence-limit"], 0.2, 86400),
            max_connections=self._count("max-connections"),
            max_unidentified=self._count("max-unidentified"),
            public_url=public_url_of(self["public-url"]),
            trusted_proxies=trusted_proxies_of(self["trusted-proxy"]),
            allow_origins=origins_of(self["allow-origin"]),
        )
        return config

    def _kept(self, name: str) -> float | None:
        text = self[name]
        return None if text == "forever" else duration(name, text, 60, 36_500 * 86_400)

    def _count(self, name: str) -> int | None:
        text = self[name]
        return None if text is None else int(number(name, text, 1, 1e7, whole=True))


def _endpoint(text: str) -> str:
    """The text of an endpoint, if it is one.

    What it names, such as the file of a key, is looked at when it is opened.

    :raises StartError: it is none.
    """
    try:
        serverFromString(None, text)
    except (ValueError, TypeError) as e:
        why = " ".join(str(e).split())[:SHOWN]
        raise StartError(
            f"--listen {text[:SHOWN]!r} is no endpoint such as {DEFAULT_LISTEN}: {why}"
        ) from None
    except Exception:
        log.debug("the endpoint {text} cannot be judged yet", text=text)
    return text


def makeService(options: Options) -> IService:
    """The hub's root service."""
    from twisted.internet import reactor

    # Klein installs a reactor when it is imported: not before twistd chose one.
    from agentcom.service import HubService

    if options.config is None:
        raise ValueError("parse the options first")
    process.steady_timers(reactor)
    service = HubService(
        options.config, reactor, _failing(options), _give_up, process.exit_with_1, runtime.seconds
    )
    reactor.callWhenRunning(_own_signals, reactor)
    if options["log-json"]:
        return logs.JsonLogged(options.parent or {}, service)
    return service


def _failing(options: Options) -> Callable[[StartError], None]:
    """How a failure to start ends the process: one sentence, exit code 1."""
    parent: Any = options.parent or {}
    return lambda error: process.fail_to_start(parent, str(error))


def _give_up() -> None:
    """The store has failed for a minute: end at once, the next start recovers."""
    sys.stdout.flush()
    os._exit(1)


def _own_signals(reactor: Any) -> None:
    """Stop cleanly at the first signal with exit code 0, at once at the second.

    Twisted's own handlers make the exit code tell of the signal.
    """
    received: list[int] = []

    def stop(which: int, _: object) -> None:
        received.append(which)
        if len(received) > 1:
            os._exit(1)
        log.info("{name} received", name=signal.Signals(which).name)
        reactor.callFromThread(reactor.stop)

    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, stop)

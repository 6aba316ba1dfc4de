"""What an agent says on one connection, and when: identify, then pings and tasks.

Knows no Autobahn: ``protocol`` calls its four methods and gives it a
:class:`Line` to speak through.  How it ended is an :class:`Ending`, from which
``connector`` decides what comes next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agentcom.client.errors import wrong_fields
from agentcom.errors import AgentComError
from agentcom.sidecar.desk import Desk
from agentcom.wire import codec, frames

OPENING_LIMIT_S = 15.0
PING_EVERY_S = 30.0
PONG_LIMIT_S = 20.0
STABLE_AFTER_S = 10.0
MAX_RETRY_AFTER_S = 600.0
# 9999-12-31; no calendar goes further.
LAST_MOMENT_MS = 253_402_214_400_000
TOKEN_ERRORS = frozenset({"invalid_token", "token_agent_mismatch"})
FOR_GOOD = frozenset({"validation_failed", "forbidden"})
REPLACED = 4001
# The hub takes 64 KiB of somebody whom it does not know yet.
MAX_IDENTIFY = 60 * 1024

_CHECKED: dict[str, type[msgspec.Struct]] = {
    "task_assign": frames.TaskAssign,
    "task_ack": frames.TaskAck,
    "task_cancelled": frames.TaskCancelled,
    "state_report_ack": frames.StateReportAck,
}
_DECODERS = {kind: msgspec.json.Decoder(struct) for kind, struct in _CHECKED.items()}
_RETRY_AFTER = re.compile(r"retry_after_ms\W{0,5}(\d{1,12})")


class Line(Protocol):
    """A connection that a session speaks through."""

    def send(self, data: bytes) -> None:
        """Send one text frame."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye."""

    def abort(self) -> None:
        """Drop the connection."""


@dataclass(frozen=True)
class Identity:
    """Who the agent is, as ``identify`` tells it."""

    agent_id: str
    name: str | None = None
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a session ended.

    :ivar identified: whether the hub ever took the agent in.
    :ivar stable: whether it lasted, so that the next try need not wait long.
    :ivar refused: the hub's error code for the token, or for what the agent
        says of itself, if that was refused; then :attr:`problem` says more.
    :ivar retry_after_s: the hub's wish, if it had one.
    """

    code: int | None
    reason: str
    identified: bool
    stable: bool
    refused: str | None
    retry_after_s: float | None
    problem: str = ""


class Session:
    """One connection's conversation.  ``ended`` fires once with its Ending."""

    log = Logger()

    def __init__(self, identity: Identity, token: str, desk: Desk, clock: IReactorTime) -> None:
        self.ended: Deferred[Ending] = Deferred()
        self._identity = identity
        self._token = token
        self._desk = desk
        self._clock = clock
        self._line: Line | None = None
        self._identified_at: float | None = None
        self._refused: str | None = None
        self._problem = ""
        self._retry_after_s: float | None = None
        self._over = False
        self._heard_since_ping = False
        # The hub may never answer, or nobody that speaks WebSocket.
        self._timer: IDelayedCall = clock.callLater(OPENING_LIMIT_S, self._too_late)

    def connected(self, line: Line) -> None:
        """Bytes can flow, frames not yet."""
        self._line = line
        if self._over:
            line.abort()

    def opened(self) -> None:
        """The connection stands: say who we are."""
        identity = self._identity
        told = {
            "type": "identify",
            "agent_id": identity.agent_id,
            "token": self._token,
            "name": identity.name or identity.agent_id,
            "capabilities": list(identity.capabilities),
            "labels": dict(identity.labels),
            "slots": self._desk.slots,
            "presence": "none",
            "client_type": "agentcom",
            "protocol_version": 1,
        }
        # What is not mentioned is told by its report, or asked for by the hub.
        tasks = self._desk.mentions()
        while tasks and len(json.dumps({**told, "tasks": tasks})) > MAX_IDENTIFY:
            tasks = tasks[: len(tasks) // 2]
        self._send({**told, "tasks": tasks})

    def received(self, data: bytes) -> None:
        """One frame of the hub."""
        self.heard()
        try:
            frame = codec.decode_object(data)
            kind = str(frame.get("type"))
            if kind in _DECODERS:
                codec.decode(data, _DECODERS[kind])
        except AgentComError as e:
            self.log.warn("a frame of the hub could not be read: {e} {f}", e=e, f=e.fields)
            return
        if kind == "identified":
            self._identified(frame)
        elif kind == "error" and frame.get("error") in TOKEN_ERRORS:
            self._refused = str(frame["error"])
            self.hang_up("the token was refused")
        elif kind == "error" and self._identified_at is None:
            self._not_taken(frame)
        elif kind == "draining":
            self._drained(frame)
        elif kind == "resumed":
            self.log.info("this agent is not drained any more")
        elif self._identified_at is not None:
            self._desk.received(kind, frame)

    def _not_taken(self, frame: Mapping[str, Any]) -> None:
        """The hub does not take this agent as it says that it is."""
        error = str(frame.get("error"))
        self._problem = f"{error}: {wrong_fields(frame.get('errors')) or frame.get('detail') or ''}"
        self.log.error("the hub refuses this agent: {problem}", problem=self._problem)
        if error in FOR_GOOD:
            self._refused = error
            self.hang_up("identify was refused")

    def heard(self) -> None:
        """The hub gave a sign of life, a WebSocket ping for one."""
        self._heard_since_ping = True

    def writable(self, yes: bool) -> None:
        """Whether the connection takes more bytes than reports need."""
        if self._identified_at is not None and not self._over:
            self._desk.writable(yes)

    def hang_up(self, reason: str) -> None:
        """Say goodbye; the ending follows, soon or in the end by force."""
        if self._over or self._line is None:
            self.drop()
            return
        self._line.close(1000, reason)
        self._restart_timer(2.0, self.drop)

    def drop(self) -> None:
        """End at once."""
        if self._line is not None:
            self._line.abort()
        self.closed(None, "the line was dropped")

    def closed(self, code: int | None, reason: str) -> None:
        """The connection is gone."""
        if self._over:
            return
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        if self._identified_at is not None:
            self._desk.offline()
        lasted = self._identified_at is not None and (
            self._clock.seconds() - self._identified_at >= STABLE_AFTER_S
        )
        told = _RETRY_AFTER.search(reason)
        # What `identified` said is for a line that is lost, not for one that was taken over.
        usual = None if code == REPLACED else self._retry_after_s
        retry_after = _seconds(int(told[1])) if told else usual
        self.ended.callback(
            Ending(
                code,
                reason,
                self._identified_at is not None,
                lasted,
                self._refused,
                retry_after,
                self._problem,
            )
        )

    def drain(self) -> None:
        """Ask for nothing more."""
        if self._identified_at is not None and not self._over:
            self._send({"type": "drain", "reason": "the agent stops"})

    def _identified(self, frame: Mapping[str, Any]) -> None:
        self._identified_at = self._clock.seconds()
        retry_after = frame.get("retry_after_ms")
        if isinstance(retry_after, (int, float)) and not isinstance(retry_after, bool):
            self._retry_after_s = _seconds(retry_after)
        tasks = frame.get("tasks")
        verdicts = tasks if isinstance(tasks, list) else []
        self.log.info("{agent_id} is connected", agent_id=self._identity.agent_id)
        self._restart_timer(PING_EVERY_S, self._ping)
        self._desk.online(self._send, [v for v in verdicts if isinstance(v, dict)])
        if self._desk.closing:
            self.drain()

    def _drained(self, frame: Mapping[str, Any]) -> None:
        by, reason, deadline = (frame.get(name) for name in ("by", "reason", "deadline"))
        told = f"; by {by}" if isinstance(by, str) else ""
        if isinstance(deadline, int) and 0 <= deadline < LAST_MOMENT_MS:
            at = datetime.fromtimestamp(deadline / 1000, UTC)
            told += f"; what still runs at {at:%Y-%m-%d %H:%M:%S} UTC goes back to the queue"
        if isinstance(reason, str) and reason:
            told += f"; {reason}"
        # Where nothing is told, it answers our own.
        if told:
            self.log.warn("this agent is drained, and offered nothing new{told}", told=told)

    def _ping(self) -> None:
        self._heard_since_ping = False
        self._send({"type": "ping"})
        self._restart_timer(PONG_LIMIT_S, self._pong_due)

    def _pong_due(self) -> None:
        if not self._heard_since_ping:
            self._too_late()
            return
        self._restart_timer(PING_EVERY_S - PONG_LIMIT_S, self._ping)

    def _too_late(self) -> None:
        self.log.warn("the hub is silent; the line is dropped")
        self.drop()

    def _send(self, frame: Mapping[str, Any]) -> None:
        if self._line is not None and not self._over:
            # json writes NaN where msgspec writes null; neither is in a report.
            self._line.send(json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace"))

    def _restart_timer(self, seconds: float, call: Any) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, call)


def _seconds(ms: float) -> float:
    return max(0.0, min(ms / 1000, MAX_RETRY_AFTER_S))

"""What one connection may say when, and what it is answered.

Knows no Autobahn: :mod:`.protocol` brings text in and carries frames out.
One table goes from a frame's type to its method; every error becomes an
``error`` frame in one place (PROTOCOL.md section 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Raw
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.core.agent import Agent, Presence
from agentcom.core.tokens import AGENT, Token
from agentcom.errors import (
    AgentComError,
    AlreadyIdentified,
    Forbidden,
    InvalidJSON,
    InvalidToken,
    NotIdentified,
    Replaced,
    TokenAgentMismatch,
    ValidationFailed,
)
from agentcom.hub.hub import Hub
from agentcom.hub.link import Link
from agentcom.wire import frames
from agentcom.wire.codec import encode
from agentcom.wire.frames import ref_of
from agentcom.ws import channels, messaging, watching
from agentcom.ws.peers import Peers
from agentcom.ws.reading import read, with_ref
from agentcom.ws.submitting import Submissions
from agentcom.ws.watching import Watching

BAD_BEHAVIOUR = 1008
INTERNAL = 1011
OVERRUN = 1013

BAD_MESSAGES = 10
BAD_WINDOW_S = 60.0
"""So many bad messages in so many seconds close the connection."""

LOOKUPS = 1_000
"""Reports of tasks that are not in memory, waiting for the store, of one connection."""

KEPT_REPORT = 16 * 1024
"""Bytes of a ``wake_result`` or ``resource_report`` that is shown with its agent."""

ABOUT_BYTES = 16 * 1024
"""Bytes of what an agent says of itself: everybody who lists agents gets it."""

TOLD_REFUSALS = 1_000
"""Tasks of which a connection remembers that its progress was refused."""


class Line(Link, Protocol):
    """A connection as its session needs it."""

    def register(self, agent: Agent, token: Token) -> None:
        """Enter the agent map, in the place of the connection that was there."""

    def close(self, code: int, reason: str) -> None:
        """Close, once."""


class Session:
    """One connection's side of the protocol.

    :param limits: told in ``identified``.
    :ivar line: the connection.
    :ivar watching: what it follows of the events.
    :ivar peers: hears of refusals.
    :ivar replaced: a newer connection of the same agent is there; only
        reports still count on this one.
    """

    __slots__ = (
        "_bad",
        "_clock",
        "_limits",
        "_lookups",
        "_refused",
        "_submissions",
        "hub",
        "identified",
        "line",
        "peers",
        "replaced",
        "watching",
    )
    log = Logger()

    def __init__(self, hub: Hub, line: Line, clock: IReactorTime, limits: frames.Limits) -> None:
        self.hub = hub
        self.line = line
        self._clock = clock
        self._limits = limits
        # Nearly no connection needs these two, and there are thousands.
        self._bad: deque[float] | None = None
        self._refused: set[str] | None = None
        self._lookups = 0
        self._submissions = Submissions(hub, limits.max_task_bytes, line.send)
        self.identified = False
        self.replaced = False
        self.watching: Watching | None = None
        self.peers: Peers | None = None

    @property
    def behind(self) -> bool:
        """Whether the peer must wait before more is read from it."""
        return self.hub.overloaded() or self._submissions.full

    def received(self, data: bytes) -> None:
        """A text frame has come; its bytes are UTF-8."""
        try:
            frame = read(data)
            if not self.identified and type(frame) is not frames.Identify:
                raise with_ref(NotIdentified("send identify first"), frame.ref)
        except AgentComError as e:
            self._is_bad(e)
            return
        if self.replaced and not isinstance(frame, _OF_REPLACED):
            told = "a newer connection of this agent is there; this one is closed soon"
            self._tell(with_ref(Replaced(told), frame.ref), {})
            return
        try:
            if type(frame) is frames.Identify:
                self._identify(frame)
            else:
                _STEPS[type(frame)](self, frame, data)
        except AgentComError as e:
            self._refuse(frame, e)

    def received_binary(self) -> None:
        """A binary frame has come: there are none in this protocol."""
        self._is_bad(InvalidJSON("send JSON in text frames"))

    def _identify(self, frame: frames.Identify) -> None:
        line = self.line
        if self.identified and frame.agent_id != line.agent.agent_id:
            raise AlreadyIdentified(agent_id=line.agent.agent_id)
        token = self.hub.auth.verify(frame.token)
        if token is None:
            raise InvalidToken("the token is unknown, revoked or expired")
        if token.agent_id != frame.agent_id:
            raise TokenAgentMismatch("the token belongs to another agent id")
        if not token.allows(AGENT):
            raise Forbidden(AGENT)
        about = len(encode([frame.capabilities, frame.labels]))
        if about > ABOUT_BYTES:
            detail = f"capabilities and labels are at most {ABOUT_BYTES} bytes encoded"
            told = {"field": "labels", "error": "too_long", "detail": detail}
            raise with_ref(ValidationFailed([told]), frame.ref, message_type="identify")
        again = self.identified
        before = self.hub.roster.get(frame.agent_id)
        was = before.agent if before is not None else None
        agent = Agent(
            agent_id=frame.agent_id,
            name=frame.name or frame.agent_id,
            status="connected" if frame.status is None else frame.status,
            capabilities=tuple(frame.capabilities or ()),
            labels=frame.labels or {},
            slots=1 if frame.slots is None else frame.slots,
            presence=frame.presence or Presence.AUTO,
            mailbox=bool(frame.mailbox),
            connected_at=was.connected_at if was is not None else self.hub.now(),
        )
        self.identified = True
        line.register(agent, token)
        actions = self.hub.identified(line, frame.tasks or [], was, again=again)
        reply = encode(
            frames.Identified(
                agent_id=agent.agent_id,
                limits=self._limits,
                retry_after_ms=self.hub.pacing.retry_after_ms(),
                tasks=actions if frame.tasks is not None else UNSET,
                ref=ref_of(frame),
            )
        )

        def welcome() -> None:
            line.send(reply)
            self.hub.messages.messaging.begin(line)

        if actions:
            # What it is told of its tasks must be on disk.
            self.hub.ledger.answer(welcome)
        else:
            welcome()
        # Not before: older agents listen for work from `identified` on.
        self.hub.dispatch.offer(agent.agent_id)

    def _ping(self, frame: frames.Ping, _: bytes) -> None:
        self.line.send(encode(frames.Pong(timestamp=self.hub.now(), ref=ref_of(frame))))

    def _status(self, frame: frames.SetStatus, _: bytes) -> None:
        line = self.line
        line.agent = msgspec.structs.replace(line.agent, status=frame.status)
        self.hub.presence.changed(line, encode(frames.StatusUpdated(ref=ref_of(frame))))

    def _list_agents(self, frame: frames.ListAgents, _: bytes) -> None:
        agents = [self.hub.info(link) for link in self.hub.roster.values()]
        self.line.send(encode(frames.Agents(agents=agents, ref=ref_of(frame))))

    def _drain(self, frame: frames.Drain | frames.AgentRestarting, _: bytes) -> None:
        self.hub.dispatch.drain(self.line.agent.agent_id, frame.reason)
        self.line.send(encode(frames.Draining(ref=ref_of(frame))))

    def _keep(self, frame: frames.FromAgent, data: bytes) -> None:
        name = str(type(frame).__struct_config__.tag)
        if len(data) > KEPT_REPORT:
            data = b'{"note":"over %d bytes, not kept"}' % KEPT_REPORT
        self.line.newest[name] = Raw(data)

    def _report(self, frame: frames.Report, _: bytes) -> None:
        if self._lookups >= LOOKUPS:
            self.line.close(OVERRUN, "too many reports wait for an answer")
            return
        line = self.line
        looked_up = self.hub.reports.receive(line, frame, self._refuse)
        if looked_up is None:
            return
        self._lookups += 1

        def done(_: object) -> None:
            self._lookups -= 1

        looked_up.addCallback(done)

    def _submit(self, frame: frames.TaskSubmit, data: bytes) -> None:
        self._submissions.take(self.line.token, frame, len(data), self._refuse)

    def _refuse(self, frame: frames.AnyFrame, error: AgentComError) -> None:
        """A well-formed frame that is refused: told, not held against the peer."""
        if isinstance(frame, frames.TaskProgress):
            if self._refused is None:
                self._refused = set()
            if frame.task_id in self._refused:
                return
            if len(self._refused) < TOLD_REFUSALS:
                self._refused.add(frame.task_id)
        told: dict[str, object] = {"ref": frame.ref} if bytes(frame.ref) else {}
        if isinstance(frame, frames.TaskSubmit):
            told["message_type"] = "task_submit"
        self._tell(error, told)
        if isinstance(frame, frames.Identify) and self.peers is not None:
            self.peers.refused(self.line, frame.agent_id, error)
        if isinstance(error, (AlreadyIdentified, InvalidToken, ValidationFailed)):
            self._count_bad()

    def _is_bad(self, error: AgentComError) -> None:
        self._tell(error, {})
        self._count_bad()

    def _count_bad(self) -> None:
        now = self._clock.seconds()
        if self._bad is None:
            self._bad = deque(maxlen=BAD_MESSAGES)
        self._bad.append(now)
        if len(self._bad) == BAD_MESSAGES and now - self._bad[0] < BAD_WINDOW_S:
            self.line.close(BAD_BEHAVIOUR, "too many bad messages")

    def _tell(self, error: AgentComError, more: Mapping[str, object]) -> None:
        self.line.send(encode({"type": "error", **error.body(), **more}))


_OF_REPLACED = (frames.Report, frames.Ping)
"""What a replaced connection may say: what it worked on, and that it is there."""

_STEPS: dict[type, Callable[[Session, Any, bytes], None]] = {
    frames.Ping: Session._ping,
    frames.SetStatus: Session._status,
    frames.ListAgents: Session._list_agents,
    frames.TaskSubmit: Session._submit,
    frames.AgentRestarting: Session._drain,
    frames.Drain: Session._drain,
    frames.WakeResult: Session._keep,
    frames.ResourceReport: Session._keep,
    **dict.fromkeys(frames.REPORTS, Session._report),
    **channels.STEPS,
    **messaging.STEPS,
    **watching.STEPS,
}
"""What is done with each frame but ``identify``."""

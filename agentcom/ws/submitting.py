"""Tasks that one connection submits: ``task_submit`` (PROTOCOL.md section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

from agentcom.core.state import Task
from agentcom.core.tokens import SUBMIT, Token
from agentcom.errors import AgentComError, Forbidden
from agentcom.hub.hub import Hub
from agentcom.wire.codec import encode
from agentcom.wire.frames import TaskSubmit, TaskSubmitted, ref_of
from agentcom.wire.tasks import too_large

UNDER_WAY = 10_000
"""Submissions of one connection that wait for their answer; then it is not read from."""


class Submissions:
    """What one connection has submitted.

    :param max_task: bytes that a task may have, encoded.
    :param send: sends a frame.
    :ivar under_way: those that were not answered yet.
    """

    __slots__ = ("_hub", "_max_task", "_send", "under_way")

    def __init__(self, hub: Hub, max_task: int, send: Callable[[bytes], None]) -> None:
        self._hub = hub
        self._max_task = max_task
        self._send = send
        self.under_way = 0

    @property
    def full(self) -> bool:
        """Whether the peer must wait until some of them are answered."""
        return self.under_way >= UNDER_WAY

    def take(
        self,
        token: Token,
        frame: TaskSubmit,
        size: int,
        refuse: Callable[[TaskSubmit, AgentComError], None],
    ) -> None:
        """Submit a task; it is answered after the commit.

        :param token: the one that identified.
        :param size: bytes of the frame.
        :param refuse: tells that it is refused later on.
        :raises AgentComError: it is refused at once, also because there is too much to do.
        """
        if not token.allows(SUBMIT):
            raise Forbidden(SUBMIT)
        if size > self._max_task:
            raise too_large(self._max_task, "metadata")
        self._hub.load.check_frame()

        def done(task: Task) -> None:
            self.under_way -= 1
            self._send(encode(TaskSubmitted(task_id=task.id, ref=ref_of(frame))))

        def failed(error: AgentComError) -> None:
            self.under_way -= 1
            refuse(frame, error)

        self.under_way += 1
        try:
            self._hub.submissions.submit_soon(token.agent_id, frame, done, failed)
        except AgentComError:
            self.under_way -= 1
            raise

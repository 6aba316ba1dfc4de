"""Works on tasks by calling a coroutine function: the workshop of ``agentcom.agent``.

Each attempt is one ``asyncio.Task`` (:class:`Call`) in the loop on which
Twisted runs, so what the function awaits is whatever asyncio can await.
Nothing of it outlives the process: a new one can only call the function anew.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agentcom.client.errors import wrong_fields
from agentcom.errors import AgentComError
from agentcom.sidecar.assignment import Task, task_of
from agentcom.sidecar.jobs import Frame, Key
from agentcom.sidecar.progress import Progress
from agentcom.sidecar.runner import Ears, Outcome
from agentcom.wire import codec, frames

PATIENCE_S = 10.0
MAX_RESULT = 384 * 1024
"""Bytes of JSON that a result may have, as many as the result of a command."""

TEXT_KEPT = 2_000
FRAMES_SHOWN = 30

Function = Callable[[Task, Progress], Coroutine[Any, Any, Any]]
Loop = Callable[[], asyncio.AbstractEventLoop]

_CHECK = msgspec.json.Decoder(frames.TaskComplete)


class TaskFailed(Exception):
    """Raise it to fail an attempt in words of your own.

    :param error: what went wrong, in one line.
    :param reason: more of it; both are cut after 2 000 characters.
    :param retryable: ``False`` if another attempt would fail just so.
    """

    def __init__(self, error: str, *, reason: str = "", retryable: bool = True) -> None:
        if not isinstance(retryable, bool):
            raise TypeError(f"retryable must be True or False, not {retryable!r}")
        super().__init__(error)
        self.reason = str(reason)
        self.retryable = retryable


class Functions:
    """The workshop whose attempts are calls of one function.

    :param resume: call it again for what an earlier process had begun.
    :param loop: gives the event loop; asked only while it runs.
    """

    def __init__(
        self,
        function: Function,
        *,
        resume: bool,
        clock: IReactorTime,
        loop: Loop = asyncio.get_running_loop,
    ) -> None:
        self._function = function
        self._resume = resume
        self._clock = clock
        self._loop = loop

    def start(self, task: Frame, ears: Ears) -> Call:
        """Call the function for a task; ``ears.ended`` is called in any case, later."""
        call = self._call(task_of(task, resumed=False), ears)
        call.go_on()
        return call

    def adopt(self, task: Frame, ears: Ears) -> Call | None:
        """Call the function anew if it wants that; nothing of the first call is left.

        Not before :meth:`Call.go_on`: the hub may have given the task away, and
        unlike a command that still runs, this work would be paid a second time.
        """
        return self._call(task_of(task, resumed=True), ears) if self._resume else None

    def tidy(self, known: Collection[Key]) -> None:
        """Nothing: calls end with their process."""

    def _call(self, task: Task, ears: Ears) -> Call:
        return Call(self._function, task, ears, self._clock, self._loop())


class Call:
    """One call of the function, until it has ended by itself."""

    log = Logger()

    def __init__(
        self,
        function: Function,
        task: Task,
        ears: Ears,
        clock: IReactorTime,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._function = function
        self._task = task
        self._ears = ears
        self._clock = clock
        self._patience: IDelayedCall | None = None
        self._stopped = False
        self._progress = Progress(loop.call_soon_threadsafe, ears)
        self._go = asyncio.Event()
        self._running = loop.create_task(self._run(), name=f"agentcom {task.id}")
        self._running.add_done_callback(self._over)

    def go_on(self) -> None:
        """Call the function; the task is this agent's."""
        self._go.set()

    def stop(self) -> None:
        """Cancel it; once, or its clean-up would be cancelled too."""
        if not self._stopped:
            self._cancel()

    def kill(self) -> None:
        """Cancel it again, in the middle of its clean-up too.  More cannot be done."""
        self._cancel()

    def discard(self) -> None:
        """Nothing: it leaves nothing on disk."""

    def _cancel(self) -> None:
        self._stopped = True
        if self._running.cancel() and self._patience is None:
            self._patience = self._clock.callLater(PATIENCE_S, self._still_there)

    async def _run(self) -> Outcome:
        try:
            await self._go.wait()
            outcome = returned(await self._function(self._task, self._progress))
            if outcome.error is not None:
                self.log.warn(
                    "task {id}: {e}: {r}", id=self._task.id, e=outcome.error, r=outcome.reason
                )
            return outcome
        except GeneratorExit:
            raise
        except BaseException as e:
            # SystemExit too: it would end the agent with all that it works on.
            if isinstance(e, asyncio.CancelledError) and self._stopped:
                return Outcome(error="cancelled")
            outcome = failed(e)
            self.log.warn("task {id} failed: {e}", id=self._task.id, e=outcome.error)
            for line in outcome.reason.splitlines():
                self.log.warn("{line}", line=line)
            return outcome

    def _over(self, running: asyncio.Task[Outcome]) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._progress.close()
        # It is cancelled itself only where it had not begun.
        if running.cancelled():
            outcome = Outcome(error="cancelled")
        elif (escaped := running.exception()) is not None:
            # GeneratorExit, or whatever an exception's own methods raise.
            outcome = Outcome(error=type(escaped).__name__)
        else:
            outcome = running.result()
        self._ears.ended(outcome)

    def _still_there(self) -> None:
        self.log.warn(
            "task {id} was cancelled {s:.0f} s ago and goes on; its slot stays taken until it "
            "ends (let CancelledError pass, and await whatever takes long)",
            id=self._task.id,
            s=PATIENCE_S,
        )


def returned(value: object) -> Outcome:
    """The outcome of a function that returned: a failure if the hub could not take it."""
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        if len(data) > MAX_RESULT:
            problem = (
                f"it has {len(data)} bytes as JSON, at most {MAX_RESULT} are taken; keep it "
                "elsewhere and return where it is"
            )
        else:
            codec.decode(b'{"type":"task_complete","task_id":"t","result":%b}' % data, _CHECK)
            return Outcome(result=data)
    except AgentComError as e:
        problem = str(e.fields.get("detail") or wrong_fields(e.fields.get("errors")))
    except (TypeError, ValueError, RecursionError) as e:
        problem = f"{type(e).__name__}: {e}"
    # The next attempt would most likely return such a thing too.
    return Outcome(
        error="the function returned what cannot be a result",
        reason=f"{problem} (a result is any JSON value)"[:TEXT_KEPT],
        retryable=False,
    )


def failed(error: BaseException) -> Outcome:
    """The outcome of a function that raised."""
    if isinstance(error, TaskFailed):
        reason = error.reason or (_trace(error) if error.__cause__ is not None else "")
        return Outcome(
            error=_text(error)[:TEXT_KEPT] or "the task failed",
            reason=reason[:TEXT_KEPT],
            retryable=error.retryable,
        )
    told = f"{type(error).__name__}: {_text(error)}".removesuffix(": ")
    return Outcome(error=told[:TEXT_KEPT], reason=_trace(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be shown)"


def _trace(error: BaseException) -> str:
    """The end of the traceback in whole lines, as many as the hub keeps of a reason."""
    found = error.__traceback__
    # The first frame is the one that called the function.
    own = found.tb_next if found is not None else None
    text = "".join(
        traceback.format_exception(type(error), error, own, limit=-FRAMES_SHOWN)
    ).rstrip()
    if len(text) <= TEXT_KEPT:
        return text
    end = text[-TEXT_KEPT:]
    _, newline, whole = end.partition("\n")
    return whole if newline else end

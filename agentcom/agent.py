"""Write an agent in Python: a coroutine function that is called for each task.

    from agentcom.agent import Agent, Progress, Task

    agent = Agent("reviewer-1", capabilities=["python"], slots=2)

    @agent.task
    async def run(task: Task, progress: Progress) -> object:
        progress(0.5, "half way")
        return {"ok": True}

    agent.run(hub="http://127.0.0.1:4000")

These names are the public ones; the work is done in ``agentcom.sidecar``.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from twisted.internet import asyncioreactor
from twisted.internet.error import ReactorNotRestartable
from twisted.internet.interfaces import IReactorTime

from agentcom.client.urls import DEFAULT_HUB
from agentcom.process import steady_timers
from agentcom.sidecar import settings
from agentcom.sidecar.assignment import Task
from agentcom.sidecar.functions import Function, Functions, TaskFailed
from agentcom.sidecar.progress import Progress
from agentcom.sidecar.session import Identity

__all__ = ["Agent", "Progress", "Task", "TaskFailed"]

F = TypeVar("F", bound=Function)


class Agent:
    """One agent and the function that works on its tasks.

    :param agent_id: who it is; no two that run may share it.
    :param capabilities: what it can do.
    :param slots: how many tasks it works on at a time.
    :param name: shown to people; the id where there is none.
    :param labels: what it is like.
    :raises TypeError, ValueError: one of them cannot be; the text says which.
    """

    def __init__(
        self,
        agent_id: str,
        *,
        capabilities: Sequence[str] = (),
        slots: int = 1,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.slots = settings.slots_of("slots", slots)
        self.identity = Identity(
            settings.agent_id_of("agent_id", agent_id),
            None if name is None else settings.name_of("name", name),
            settings.capabilities_of("capabilities", capabilities),
            settings.labels_of("labels", labels or {}),
        )
        self._function: Function | None = None
        self._resume = False

    @overload
    def task(self, function: F, /) -> F: ...

    @overload
    def task(self, /, *, resume: bool = False) -> Callable[[F], F]: ...

    def task(self, function: F | None = None, /, *, resume: bool = False) -> F | Callable[[F], F]:
        """Take a coroutine function for the one that is called for each task.

        It is given the :class:`Task` and a :class:`Progress`.  What it returns,
        any JSON value of at most 384 KiB, is the task's result; if it raises,
        the attempt has failed.

        :param resume: call it again for attempts that it was at when the agent
            was killed, with ``task.resumed`` true.  Without it they fail.
        :raises TypeError: it is no coroutine function, or takes something else.
        :raises ValueError: the agent has one already.
        """
        if not isinstance(resume, bool):
            raise TypeError(f"resume must be True or False, not {resume!r}")

        def take(function: F) -> F:
            _check(function)
            if self._function is not None:
                raise ValueError("an agent has one @agent.task; look at task.metadata in it")
            self._function, self._resume = function, resume
            return function

        return take if function is None else take(function)

    @property
    def has_task(self) -> bool:
        """Whether a function was chosen with :meth:`task`."""
        return self._function is not None

    def functions(self, clock: IReactorTime) -> Functions:
        """Where its tasks are worked on; for whoever runs it.

        :raises ValueError: it has no function.
        """
        return Functions(self._chosen(), resume=self._resume, clock=clock)

    def run(
        self,
        hub: str | None = None,
        token: str | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        drain_limit_s: float = 0.0,
        log: bool = True,
    ) -> None:
        """Work on tasks until SIGTERM or Ctrl-C; then return.

        Works once in a process, in its main thread, for it runs the event loop.

        :param hub: its address; ``$AGENTCOM_HUB``, or this machine, without one.
        :param token: the agent's; ``$AGENTCOM_TOKEN`` without one, and on the
            hub's own machine one that it makes and keeps.
        :param data_dir: the hub's data directory; ``$AGENTCOM_HOME`` or ``~/.agentcom``.
        :param state_dir: where the agent's journal is; in the data directory
            without one.
        :param drain_limit_s: seconds that running tasks may take after the first
            signal before they are cancelled.
        :param log: write what happens to standard error.
        :raises TypeError, ValueError: an argument cannot be.
        :raises RuntimeError: no loop can be run here; the text says why.
        :raises SystemExit: the hub will not have this agent, or its state cannot
            be used; the text says why, and the exit code is 1.
        """
        url = settings.hub_of("hub", hub or os.environ.get("AGENTCOM_HUB") or DEFAULT_HUB)
        if token is not None:
            token = settings.token_of("token", token)
        drain = settings.drain_limit_of("drain_limit_s", drain_limit_s)
        self._chosen()
        _install_reactor()

        # Not before: they must find the reactor installed.
        from agentcom.cli.logs import log_to_stderr
        from agentcom.cli.runtime import Interrupted, Runtime
        from agentcom.cli.serving import ENDINGS, Post
        from agentcom.cli.settings import Settings

        home = Path(data_dir or os.environ.get("AGENTCOM_HOME") or "~/.agentcom").expanduser()
        post = Post(
            self.identity,
            self.slots,
            Settings(url, token or os.environ.get("AGENTCOM_TOKEN") or None, home),
            state_dir=None if state_dir is None else Path(state_dir).expanduser(),
            drain_limit_s=drain,
        )
        runtime = Runtime()

        async def serve(reactor: Any) -> int:
            if log:
                log_to_stderr()
            steady_timers(reactor)
            serving = post.open(reactor, lambda state_dir: self.functions(reactor))
            runtime.on_signals(reactor, serving.stop)
            await serving.run()
            return 0

        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            runtime.run(serve)
        except ENDINGS as e:
            raise SystemExit(f"agentcom: {e}") from None
        except Interrupted:
            # A signal came before it had begun.
            return
        except ReactorNotRestartable:
            raise RuntimeError("Agent.run() works once in a process") from None
        finally:
            # A thread that goes on keeps the process: a signal must still end it.
            for number, action in before.items():
                signal.signal(number, signal.SIG_DFL if action is None else action)

    def _chosen(self) -> Function:
        if self._function is None:
            raise ValueError(
                f"agent {self.identity.agent_id} has nothing to do; "
                "put @agent.task before an async def"
            )
        return self._function


def _install_reactor() -> None:
    """Have Twisted run on asyncio, whose tasks the functions are.

    :raises RuntimeError: a loop runs already, or Twisted runs on another one.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("call Agent.run() in the main thread: it listens for signals")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("call Agent.run() outside of asyncio.run(): it runs the loop itself")
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    elif not isinstance(installed, asyncioreactor.AsyncioSelectorReactor):
        raise RuntimeError(
            "Twisted runs on another reactor than asyncio's: something has imported "
            "twisted.internet.reactor before Agent.run()"
        )


def _check(function: object) -> None:
    call = getattr(function, "__call__", None)  # noqa: B004  # an object may have an async one
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
        raise TypeError(
            f"@agent.task needs a coroutine function and {function!r} is none: write async def, "
            "and in it await asyncio.to_thread(...) for what blocks"
        )
    try:
        inspect.signature(function).bind(None, None)  # type: ignore[arg-type]  # it is callable
    except TypeError:
        raise TypeError(
            f"{function!r} must take two arguments: async def run(task, progress)"
        ) from None

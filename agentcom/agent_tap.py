"""``twistd agentcom-agent``: an agent as a service, configured by a file.

Beside ``tap`` the only module that twistd's plugin names.  The file is read
when the options are; everything else is opened when the service starts, for
twistd forks in between.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService, Service
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from agentcom import __version__, process
from agentcom.cli.settings import Settings
from agentcom.client.urls import DEFAULT_HUB
from agentcom.errors import StartError
from agentcom.sidecar.jobs import Workshop
from agentcom.sidecar.session import Identity
from agentcom.sidecar.settings import AgentSettings, hub_of, read_settings

if TYPE_CHECKING:
    from agentcom.agent import Agent
    from agentcom.cli.serving import Serving

log = Logger()

EXAMPLES = """\
Examples:
  twistd -n --pidfile= agentcom-agent --config agent.toml
  twistd -n --pidfile= --reactor asyncio agentcom-agent --config agent.toml
The second is for a file with python = "module:agent".
"""


class Options(usage.Options):
    """Options of ``twistd agentcom-agent``."""

    synopsis = "--config FILE"
    longdesc = f"AgentCom {__version__}: an agent that takes tasks from a hub and works on them."
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", None, None, "TOML file with the agent's settings"],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self.settings: AgentSettings | None = None

    def getUsage(self, width: int | None = None) -> str:
        """Twisted's own, and examples that it would wrap into one paragraph."""
        return f"{super().getUsage(width)}\n{EXAMPLES}"

    def opt_version(self) -> None:
        """Show the version and stop."""
        print(f"AgentCom {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: all settings are in --config")

    def parseOptions(self, options: Any = None) -> None:
        """Parse, and read the file; an error is one sentence instead of the whole help."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]  # untyped in Twisted
            if not self["config"]:
                raise usage.UsageError("name the file with the agent's settings: --config FILE")
            self.settings = read_settings(Path(self["config"]).expanduser())
        except (usage.UsageError, StartError) as e:
            _refuse(f"{e} (see twistd agentcom-agent --help)")


def makeService(options: Options) -> IService:
    """The agent's service."""
    from twisted.internet import reactor

    if options.settings is None:
        raise ValueError("parse the options first")
    if options.settings.python is not None and not isinstance(reactor, AsyncioSelectorReactor):
        _refuse(
            "python = ... needs the reactor of asyncio: twistd --reactor asyncio agentcom-agent ..."
        )
    process.steady_timers(reactor)
    service = AgentService(options.settings, reactor, os.environ, options.parent or {})
    process.on_signals(reactor, service.stop)
    return service


def _refuse(sentence: str) -> None:
    sys.stderr.write(f"agentcom: {sentence}\n")
    raise SystemExit(2)


class AgentService(Service):
    """One agent.  Its end ends the process: with exit code 1 if it was not asked for.

    :param twistd: twistd's own options.
    """

    def __init__(
        self,
        settings: AgentSettings,
        reactor: Any,
        environ: Mapping[str, str],
        twistd: Mapping[str, Any],
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._environ = environ
        self._twistd = twistd
        self._serving: Serving | None = None
        self._ended: Deferred[None] = Deferred()

    def startService(self) -> None:
        """Open what the agent needs; what it cannot open ends the process."""
        # It imports treq and with it much that would slow down `twistd --help`.
        from agentcom.cli.serving import ENDINGS

        try:
            self._serving = self._open()
        except ENDINGS as e:
            process.fail_to_start(self._twistd, str(e))
        super().startService()  # type: ignore[no-untyped-call]  # untyped in Twisted
        self._reactor.callWhenRunning(self._run, self._serving)

    def stop(self) -> None:
        """End the agent; each further call one step less gently."""
        if self._serving is not None:
            self._serving.stop()

    def stopService(self) -> Deferred[None]:
        """Fires when the agent has ended, which this makes it do."""
        super().stopService()  # type: ignore[no-untyped-call]  # untyped in Twisted
        waiter: Deferred[None] = Deferred()
        if self._serving is None:
            waiter.callback(None)
            return waiter
        self.stop()
        self._ended.chainDeferred(waiter)
        return waiter

    def _open(self) -> Serving:
        from agentcom.cli.serving import Post

        given = self._settings
        environ = self._environ
        try:
            hub = given.hub or hub_of("$AGENTCOM_HUB", environ.get("AGENTCOM_HUB") or DEFAULT_HUB)
        except ValueError as e:
            raise StartError(str(e)) from None
        home = given.data_dir or Path(environ.get("AGENTCOM_HOME") or "~/.agentcom").expanduser()
        agent = None if given.python is None else load(*given.python, given.folder)
        identity, slots = _chosen(given, agent)
        post = Post(
            identity,
            slots,
            Settings(hub, environ.get("AGENTCOM_TOKEN") or None, home),
            given.token_file,
            given.state_dir,
            given.drain_limit_s,
        )
        return post.open(self._reactor, self._workshop(identity.agent_id, agent))

    def _workshop(self, agent_id: str, agent: Agent | None) -> Callable[[Path], Workshop]:
        from agentcom.sidecar.runner import Runner

        def made(state_dir: Path) -> Workshop:
            if agent is not None:
                return agent.functions(self._reactor)
            return Runner(
                self._settings.command or (),
                self._environ,
                agent_id=agent_id,
                state_dir=state_dir,
                spawn=self._reactor.spawnProcess,
                clock=self._reactor,
            )

        return made

    def _run(self, serving: Serving) -> None:
        Deferred.fromCoroutine(serving.run()).addErrback(self._failed).addBoth(self._over)

    def _failed(self, failure: Failure) -> None:
        from agentcom.cli.serving import ENDINGS

        if failure.check(*ENDINGS) is None:
            log.failure("while serving", failure)
        process.exit_with_1()
        process.tell(self._twistd, failure.getErrorMessage())

    def _over(self, _: None) -> None:
        self._ended.callback(None)
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            # It is stopping, for whatever reason, and waited for this.
            return


def _chosen(given: AgentSettings, agent: Agent | None) -> tuple[Identity, int]:
    """Who the agent is: what the file leaves open, its ``Agent`` says."""
    said = Identity(given.agent_id or "") if agent is None else agent.identity
    identity = Identity(
        given.agent_id or said.agent_id,
        said.name if given.name is None else given.name,
        said.capabilities if given.capabilities is None else given.capabilities,
        said.labels if given.labels is None else given.labels,
    )
    return identity, given.slots or (1 if agent is None else agent.slots)


def load(module: str, name: str, folder: Path) -> Agent:
    """The ``Agent`` that a module has under a name.

    :param folder: where the module is looked for first.
    :raises StartError: there is none, or it has nothing to do.
    """
    from agentcom.agent import Agent

    sys.path.insert(0, str(folder))
    try:
        found = getattr(import_module(module), name, None)
    except Exception as e:
        if not isinstance(e, ImportError):
            # Where it went wrong is in code that is not ours.
            log.failure("while importing {module}", module=module)
        raise StartError(f"cannot import {module}: {type(e).__name__}: {e}") from None
    if not isinstance(found, Agent):
        raise StartError(f"{module} has no agentcom.agent.Agent named {name}")
    if not found.has_task:
        raise StartError(f"{module}: put @{name}.task before the async def that is to be called")
    return found

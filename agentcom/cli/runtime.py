"""Between click, which is synchronous, and the coroutines that do the work.

:class:`Runtime` runs the reactor for as long as a coroutine takes.  A test
puts its own into click's ``obj``, so that every command runs without one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from agentcom.cli.settings import Settings
from agentcom.client.urls import HubURL

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient

Main = Callable[[Any], Coroutine[Any, Any, int]]
Told = str | Callable[[], str] | None


class Interrupted(Exception):
    """Somebody pressed Ctrl-C, or sent SIGTERM, before the work was done."""


class Runtime:
    """Runs coroutines with the real reactor."""

    def reactor(self) -> Any:
        """The reactor that runs."""
        from twisted.internet import reactor

        return reactor

    def connect(self, reactor: Any, url: HubURL, token: str | None) -> HubClient:
        """A client of the hub."""
        from agentcom.client.hub import connect

        return connect(reactor, url, token)

    def on_signals(self, reactor: Any, stop: Callable[[], None]) -> None:
        """Call ``stop`` for each SIGINT and SIGTERM from now on, instead of
        stopping the reactor under the work."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: reactor.callFromThread(stop))

    def before_stop(self, reactor: Any, call: Callable[[], None]) -> None:
        """Call before a signal stops the reactor and with it all connections."""
        reactor.addSystemEventTrigger("before", "shutdown", call)

    def run(self, main: Main) -> int:
        """The exit code that the coroutine returns.

        :raises Interrupted: a signal ended it before.
        """
        from twisted.internet.defer import Deferred
        from twisted.internet.error import ReactorNotRunning
        from twisted.python.failure import Failure

        reactor = self.reactor()
        outcome: list[int | Failure] = []

        def finish(result: int | Failure) -> None:
            outcome.append(result)
            reactor.callLater(0, stop)

        def stop() -> None:
            # A signal may have been first.
            with suppress(ReactorNotRunning):
                reactor.stop()

        def start() -> None:
            Deferred.fromCoroutine(main(reactor)).addBoth(finish)

        reactor.callWhenRunning(start)
        reactor.run()
        if not outcome:
            raise Interrupted
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        assert isinstance(result, int)
        return result


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end a call that blocks; the reactor's own way waits for its end.

    :raises Interrupted: there was one.
    """

    def interrupt(*_: object) -> None:
        raise Interrupted

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run_reactor(ctx: click.Context, main: Main, interrupted: Told = None) -> NoReturn:
    """Run a command's coroutine and exit with its code.

    :param interrupted: what to say after Ctrl-C; ``None`` means that it is
        how the command ends.
    """
    from agentcom.client.errors import ClientError

    runtime = ctx.find_object(Runtime) or Runtime()
    try:
        code = runtime.run(main)
    except ClientError as e:
        raise click.ClickException(str(e)) from None
    except Interrupted:
        if interrupted is not None:
            told = interrupted if isinstance(interrupted, str) else interrupted()
            raise click.ClickException(told) from None
        code = 0
    except (click.ClickException, OSError):
        raise
    except Exception as e:
        raise click.ClickException(
            f"agentcom itself has a fault here, please report it: {type(e).__name__}: {e}"
        ) from None
    ctx.exit(code)


def run_with_hub(
    ctx: click.Context,
    main: Callable[[HubClient], Coroutine[Any, Any, int]],
    interrupted: Told = "interrupted",
) -> NoReturn:
    """The same for a command that needs nothing but a client."""
    from agentcom.client.errors import HubError

    settings = Settings.of(ctx)
    token = settings.any_token
    runtime = ctx.find_object(Runtime) or Runtime()

    async def with_client(reactor: Any) -> int:
        try:
            hub = runtime.connect(reactor, settings.url, token)
            runtime.before_stop(reactor, hub.close)
            return await main(hub)
        except HubError as e:
            if e.code == "unauthorized" and token is None:
                raise click.ClickException(_no_token(settings)) from None
            raise

    run_reactor(ctx, with_client, interrupted)


def _no_token(settings: Settings) -> str:
    if settings.url.loopback:
        return (
            f"this needs a token and {settings.data_dir} has no admin.token that can be read; "
            "give --token, or name the hub's data directory with --data-dir"
        )
    return "this needs a token; give one with --token or $AGENTCOM_TOKEN"

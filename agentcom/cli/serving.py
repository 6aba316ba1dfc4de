"""An agent opened and run, whatever it runs: for ``agentcom.agent`` and the service.

Opening checks what can be checked without a hub, so that an agent which cannot
work ends at once with one sentence; :class:`Serving` is one that is open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from agentcom.cli.settings import Settings
from agentcom.cli.tokens import Tokens, tokens_in, tokens_of
from agentcom.client.errors import ClientError
from agentcom.client.hub import HubClient, connect
from agentcom.errors import StartError
from agentcom.sidecar.agent import Access, Sidecar
from agentcom.sidecar.connector import GiveUp
from agentcom.sidecar.jobs import Workshop
from agentcom.sidecar.session import Identity
from agentcom.sidecar.state import State, default_state_dir

ENDINGS = (StartError, GiveUp, ClientError)
"""Why an agent ends by itself; ``str()`` is one sentence that says what to do."""


@dataclass(frozen=True)
class Post:
    """Who an agent is and where it works.

    :ivar settings: the hub, a token if one was given, and the hub's data directory.
    :ivar token_file: where the token is kept; comes before the others.
    :ivar state_dir: ``None`` for the usual place in the data directory.
    :ivar drain_limit_s: seconds that running work may take after the first signal.
    """

    identity: Identity
    slots: int
    settings: Settings
    token_file: Path | None = None
    state_dir: Path | None = None
    drain_limit_s: float = 0.0

    def open(self, reactor: Any, workshop: Callable[[Path], Workshop]) -> Serving:
        """Take the agent's state directory, which no other process may have.

        :param workshop: makes one that may use the state directory.
        :raises StartError, GiveUp: there is no token, or the directory cannot be had.
        """
        agent_id = self.identity.agent_id

        def admin() -> HubClient:
            return connect(reactor, self.settings.url, self.settings.admin_token)

        if self.token_file is not None:
            tokens = tokens_in(self.token_file)
        else:
            tokens = tokens_of(self.settings, agent_id, admin)
        path = self.state_dir or default_state_dir(self.settings.data_dir, agent_id)
        state = State.open(path, agent_id)
        try:
            return Serving(self, reactor, tokens, state, workshop(state.path))
        except BaseException:
            state.close()
            raise


class Serving:
    """An agent that is open, until it has run."""

    def __init__(
        self, post: Post, reactor: Any, tokens: Tokens, state: State, workshop: Workshop
    ) -> None:
        self._post = post
        self._reactor = reactor
        self._tokens = tokens
        self._state = state
        self._workshop = workshop
        self._sidecar: Sidecar | None = None
        self._stopped = False

    async def run(self) -> None:
        """Serve until :meth:`stop`.

        :raises GiveUp, ClientError: the hub will not have this agent.
        """
        post = self._post
        try:
            # asyncio's loop counts as running only from its own first turn on.
            turn: Deferred[None] = Deferred()
            self._reactor.callLater(0, turn.callback, None)
            await turn
            if self._stopped:
                return
            access = Access(post.settings.url, self._tokens.source, self._tokens.renewable)
            self._sidecar = Sidecar(
                self._reactor,
                access,
                post.identity,
                self._workshop,
                self._state.journal,
                slots=post.slots,
                drain_limit_s=post.drain_limit_s,
            )
            await self._sidecar.run()
        finally:
            self._state.close()

    def stop(self) -> None:
        """End it; each further call one step less gently."""
        self._stopped = True
        if self._sidecar is not None:
            self._sidecar.stop()

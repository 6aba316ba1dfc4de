"""Wires one hub to its edges: the agent map, the Klein API, the site.

The service does it with a file and a reactor, :mod:`agentcom.testing` with
memory and a clock; this is all that they share.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from agentcom.config import Config, connections_of
from agentcom.core.ids import Ids
from agentcom.http.admin import AdminRoutes
from agentcom.http.agents import AgentRoutes
from agentcom.http.callers import Callers
from agentcom.http.channels import ChannelRoutes
from agentcom.http.drains import DrainRoutes
from agentcom.http.events import EventRoutes
from agentcom.http.mailbox import MailboxRoutes
from agentcom.http.messages import MessageRoutes
from agentcom.http.metrics import MetricRoutes
from agentcom.http.pages import PageRoutes
from agentcom.http.routing import Api
from agentcom.http.tasks import TaskRoutes
from agentcom.hub.hub import Hub, Settings
from agentcom.hub.link import Roster
from agentcom.hub.messages import MessageSettings
from agentcom.hub.submissions import HOLD_S
from agentcom.site import AgentComSite, make_site
from agentcom.store.interface import Store
from agentcom.wire.frames import Limits
from agentcom.ws.factory import AgentFactory

OPEN_FILES = 1_024 * 1_024
"""As good as no limit, where nothing but memory is used."""

MAX_TASK = 512 * 1024
"""Bytes of one encoded task (PROTOCOL.md section 3)."""


class Assembly:
    """One hub with everything in front of it.

    :param wall: see :class:`.hub.hub.Hub`.
    :param open_files: how many connections the process may have.
    :ivar site: serves WebSocket and HTTP on whatever it is made to listen on.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        ids: Ids,
        config: Config,
        wall: Callable[[], float] | None = None,
        open_files: int = OPEN_FILES,
    ) -> None:
        agents: Roster = {}
        settings = Settings(
            presence_limit=config.presence_limit,
            max_queued=config.max_queued,
            retain_s=config.retain_s,
            messages=MessageSettings(
                rate=config.message_rate,
                mailbox_size=config.mailbox_size,
                mailbox_s=config.mailbox_s,
                retain_s=config.retain_messages_s,
            ),
        )
        self.hub = Hub(store, clock, ids, agents, settings, wall)
        limits = Limits(
            max_frame_bytes=config.max_frame,
            max_task_bytes=MAX_TASK,
            ping_interval_s=config.ping_s,
            silence_limit_s=config.silence_s,
            send_buffer_bytes=config.send_buffer,
            hold_s=HOLD_S,
        )
        self.factory = AgentFactory(
            self.hub, agents, clock, limits, *connections_of(config, open_files)
        )
        self.streams = EventRoutes(self.hub, clock)
        self.api = Api(
            self.hub,
            [
                *TaskRoutes(self.hub, MAX_TASK).routes(),
                *AgentRoutes(self.hub, limits, self.factory.rivals.contested).routes(),
                *ChannelRoutes(self.hub).routes(),
                *DrainRoutes(self.hub).routes(),
                *MessageRoutes(self.hub).routes(),
                *MailboxRoutes(self.hub).routes(),
                *AdminRoutes(self.hub, config.open_registration).routes(),
                *self.streams.routes(),
                *MetricRoutes(self.hub, self._connections).routes(),
                *PageRoutes().routes(),
            ],
            Callers(self.hub.auth),
        )
        self.site: AgentComSite = make_site(self.api, self.factory, clock)

    def _connections(self) -> dict[str, int]:
        """Open connections by kind."""
        strangers = len(self.factory.strangers)
        return {
            "identified": len(self.factory.connections) - strangers,
            "unidentified": strangers,
            "http": self.factory.admission.http,
        }

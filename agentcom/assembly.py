"""Wires one hub to its edges: the agent map, the Klein API, the site.

The service does it with a file and a reactor, :mod:`agentcom.testing` with
memory and a clock; this is all that they share.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agentcom.audit import Audit
from agentcom.config import Config, connections_of
from agentcom.core.ids import Ids
from agentcom.diskuse import DiskUse
from agentcom.http.accesslog import AccessLog
from agentcom.http.addresses import Addresses
from agentcom.http.admin import AdminRoutes
from agentcom.http.agents import AgentRoutes
from agentcom.http.callers import Callers
from agentcom.http.channels import ChannelRoutes
from agentcom.http.documents import documented
from agentcom.http.drains import DrainRoutes
from agentcom.http.events import EventRoutes
from agentcom.http.machinemetrics import MachineNumbers
from agentcom.http.mailbox import MailboxRoutes
from agentcom.http.messages import MessageRoutes
from agentcom.http.metrics import LineNumbers, MetricRoutes
from agentcom.http.origin import Origins
from agentcom.http.overload import Overload
from agentcom.http.pages import PageRoutes
from agentcom.http.requestmetrics import RequestNumbers
from agentcom.http.routing import Api
from agentcom.http.sessions import SessionRoutes
from agentcom.http.stats import StatRoutes
from agentcom.http.tasks import TaskRoutes
from agentcom.http.throttle import Throttle
from agentcom.http.workmetrics import WorkNumbers
from agentcom.hub.failures import Failures
from agentcom.hub.hub import Hub, Settings
from agentcom.hub.link import Roster
from agentcom.hub.measures import Measures
from agentcom.hub.messages import MessageSettings
from agentcom.hub.submissions import HOLD_S
from agentcom.site import AgentComSite, make_site
from agentcom.store.interface import Store
from agentcom.wire.frames import Limits
from agentcom.ws.factory import AgentFactory
from agentcom.ws.peers import Peers

OPEN_FILES = 1_024 * 1_024
"""As good as no limit, where nothing but memory is used."""

MAX_TASK = 512 * 1024
"""Bytes of one encoded task (PROTOCOL.md section 3)."""


class Assembly:
    """One hub with everything in front of it.

    :param wall: see :class:`.hub.hub.Hub`.
    :param open_files: how many connections the process may have.
    :param audited: takes the lines of the audit log.
    :param writer_pid: of the process that writes the database, where there is one.
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
        audited: Callable[[bytes], None] = lambda _: None,
        writer_pid: int | None = None,
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
        self.measures = Measures(self.hub, clock)
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
        self.factory.shortcuts = "frames" in config.shortcuts
        self.addresses = Addresses(config.trusted_proxies, config.public_url)
        self.audit = Audit(audited, self.hub.now, clock.seconds, self.addresses.client_address)
        self.hub.revocation.listen(self.audit.ended)
        self.hub.agenda.every_tick(self.audit.tick)
        self.origins = Origins(self.addresses, config.allow_origins)
        self.failures = Failures(clock.seconds, self.hub.counts)
        self.factory.peers = Peers(self.failures, self.addresses.behind)
        self.factory.peers.listen(self.audit.identify_refused)
        throttle = Throttle(self.failures, self.addresses.client_address)
        self.streams = EventRoutes(self.hub, clock, self.factory.watchers)
        callers = Callers(self.hub.auth, throttle)
        self.overload = Overload(self.hub.load, self.hub.auth, callers)
        requests = RequestNumbers(clock.seconds)
        self.metrics = MetricRoutes(
            clock.seconds,
            LineNumbers(self.hub, self._connections, self.factory.watchers.open_streams),
            WorkNumbers(self.hub, self.measures),
            requests,
            MachineNumbers(self.hub, self.measures, DiskUse(config.database), writer_pid),
        )
        access = AccessLog(clock, self.addresses.client_address, config.log_requests)
        self.api = Api(
            self.hub,
            documented(
                [
                    *TaskRoutes(self.hub, self.measures.totals, MAX_TASK).routes(),
                    *AgentRoutes(self.hub, limits, self.factory.rivals.contested).routes(),
                    *ChannelRoutes(self.hub).routes(),
                    *DrainRoutes(self.hub).routes(),
                    *MessageRoutes(self.hub).routes(),
                    *MailboxRoutes(self.hub).routes(),
                    *AdminRoutes(self.hub, config.open_registration, self.addresses).routes(),
                    *SessionRoutes(self.hub, self.addresses, throttle).routes(),
                    *self.streams.routes(),
                    *self.metrics.routes(),
                    *StatRoutes(self.measures.series, self.hub.now).routes(),
                    *PageRoutes().routes(),
                ]
            ),
            callers,
            guards=(access.begin, requests.begun, self.origins.guard, self.overload.guard),
            listeners=(
                self.audit.answered,
                access.answered,
                requests.answered,
            ),
        )
        requests.know(self.api.routes)
        self.site: AgentComSite = make_site(
            self.api,
            self.factory,
            clock,
            self.overload,
            self.origins,
            quick="requests" in config.shortcuts,
        )

    def start(self) -> None:
        """The hub listens; what runs by a real reactor's clock begins."""
        self.hub.start()
        self.measures.lag.start()

    def stop(self) -> Deferred[None]:
        """See :meth:`.hub.hub.Hub.stop`."""
        self.measures.lag.stop()
        return self.hub.stop()

    def _connections(self) -> dict[str, int]:
        """Open connections by kind."""
        strangers = len(self.factory.strangers)
        return {
            "identified": len(self.factory.connections) - strangers,
            "unidentified": strangers,
            "http": self.factory.admission.http,
        }

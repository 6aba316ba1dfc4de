"""Everything about messages between agents, put together."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.interfaces import IReactorTime

from agentcom.core.ids import Ids
from agentcom.hub.auth import Auth
from agentcom.hub.channels import Channels
from agentcom.hub.history import History
from agentcom.hub.link import Link, Roster
from agentcom.hub.mail import Mail
from agentcom.hub.mailboxes import Mailboxes
from agentcom.hub.mailwaits import MailWaits
from agentcom.hub.messagelog import MessageLog
from agentcom.hub.messageretention import MessageRetention
from agentcom.hub.messaging import Answer, Messaging
from agentcom.hub.presence import Presence
from agentcom.hub.ratelimit import RateLimits
from agentcom.store.interface import LoadedMessages, Store


class MessageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of messages.

    :ivar rate: messages a second of one agent, ``None`` for no limit.
    :ivar mailbox_size: messages that wait for one agent.
    :ivar mailbox_s: seconds that they wait, ``None`` for ever.
    :ivar retain_s: seconds that messages are kept, ``None`` for ever.
    """

    rate: float | None = 50.0
    mailbox_size: int = 1_000
    mailbox_s: float | None = 7 * 86_400.0
    retain_s: float | None = 7 * 86_400.0


class Messages:
    """Messages, mailboxes, channels and history of one hub.

    :param now: Unix milliseconds.
    :param check_open: refuses what could not be kept.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        ids: Ids,
        roster: Roster,
        presence: Presence,
        auth: Auth,
        loaded: LoadedMessages,
        settings: MessageSettings,
        now: Callable[[], int],
        check_open: Callable[[], None],
    ) -> None:
        self._check_open = check_open
        self.log = log = MessageLog(store, ids, now, loaded.last_seq)
        self.rates = RateLimits(settings.rate, clock.seconds)
        self.mailboxes = Mailboxes(loaded, settings.mailbox_size, auth.born)
        self.waits = MailWaits(clock)
        self.messaging = Messaging(store, log, self.mailboxes, self.waits, roster, presence, auth)
        self.mail = Mail(store, self.mailboxes, self.waits, clock, auth.knows, self.messaging.reach)
        self.channels = Channels(
            store,
            log,
            self.rates,
            roster,
            presence,
            loaded,
            now,
            check_open,
        )
        self.history = History(store, self.channels.of)
        self.retention = MessageRetention(
            store, self.mailboxes, now, settings.retain_s, settings.mailbox_s
        )

    def send(
        self,
        sender: str,
        to: str | None,
        message_type: str | None,
        payload: bytes,
        reply_to: str | None,
        answer: Answer,
    ) -> None:
        """Take a message of an agent; see :meth:`.messaging.Messaging.send`.

        :raises HubStopping: the hub drains.
        :raises StoreUnavailable: the store fails, or the disk is nearly full.
        :raises RateLimited: the agent sent too many lately.
        """
        self._check_open()
        self.rates.take(sender)
        self.messaging.send(sender, to, message_type, payload, reply_to, answer)

    def identified(self, link: Link, again: bool) -> None:
        """An agent's connection is in the map.

        :param again: on this very connection.
        """
        mailbox = link.agent.mailbox
        if not again or (link.agent.agent_id in self.messaging.couriers) != mailbox:
            self.messaging.came(link, mailbox)

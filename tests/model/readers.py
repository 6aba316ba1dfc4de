"""Agents that publish to channels and read them, as the protocol's own advice has it.

A :class:`Reader` outlives its lines and the hub: it remembers what it has, and
fills its gap when it is back.  :class:`Heard` is what all of them were told.
"""

from __future__ import annotations

from typing import Any

from tests.model.lines import ModelLine
from tests.model.promises import demand

Frame = dict[str, Any]

PAGE = 2
"""Messages that are asked for at a time."""


class Heard:
    """What the hub has said of messages, to anybody."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[str, str, str, int]] = {}

    def note(self, seq: int, message: Frame) -> None:
        """A message was told under a number, which is no other's, ever."""
        told = (message["id"], message["channel"], message["from"], message["payload"]["n"])
        known = self._messages.setdefault(seq, told)
        demand(known == told, f"number {seq} is {known}, and then {told}")


class Place:
    """What a reader knows of one channel.

    :ivar wanted: whether it wants to hear it.
    :ivar sure: whether the hub has answered that it is so.
    :ivar have: the numbers of others' messages, as they were taken.
    :ivar upto: the number up to which nothing is missing.
    :ivar live: the last number that came on this line.
    :ivar aside: what came while the history is read; ``None`` when it is not.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.sure = True
        self.have: list[int] = []
        self.upto = 0
        self.live = 0
        self.aside: list[int] | None = None


class Reader:
    """One agent, over all its lines.

    :ivar said: frames that it is about to send.
    :ivar published: by ``ref`` what it published: channel and number of its own.
    :ivar answered: by ``ref`` the ``seq`` and id of those that were answered.
    """

    def __init__(self, agent_id: str, channels: tuple[str, ...], heard: Heard) -> None:
        self.agent_id = agent_id
        self.places = {name: Place() for name in channels}
        self.line: ModelLine | None = None
        self.said: list[Frame] = []
        self.published: dict[int, tuple[str, int]] = {}
        self.answered: dict[int, tuple[int, str]] = {}
        self._heard = heard

    def begin(self, line: ModelLine) -> None:
        """There is a new line."""
        self.line = line
        self.said = []
        for place in self.places.values():
            place.live = 0
            place.aside = None

    def wish(self, channel: str, wanted: bool) -> None:
        """It wants to hear a channel, or does not any more."""
        place = self.places[channel]
        place.wanted, place.sure = wanted, False
        self._ask(channel)

    def publish(self, channel: str) -> None:
        """It publishes what it has not said before."""
        number = len(self.published)
        self.published[number] = channel, number
        fields = {"channel": f"#{channel}", "payload": {"n": number}, "ref": number}
        self.said.append({"type": "channel_publish", **fields})

    def hear(self, line: ModelLine, frame: Frame) -> None:
        """A frame has come."""
        if line is not self.line:
            return
        kind = frame["type"]
        if kind == "identified":
            for channel, place in self.places.items():
                if not place.sure:
                    self._ask(channel)
                elif place.wanted:
                    self._fill(channel)
        elif kind in ("channel_subscribed", "channel_unsubscribed"):
            self._is_so(frame["channel"], kind == "channel_subscribed")
        elif kind == "channel_published":
            seq, message_id = frame["seq"], frame["id"]
            demand(frame["ref"] not in self.answered, f"answered twice: {frame}")
            self.answered[frame["ref"]] = seq, message_id
        elif kind == "channel_history":
            self._read(frame)
        elif kind == "channel_message":
            self._came(frame)
        elif kind == "error":
            demand(frame["error"] in FINE, f"{self.agent_id} is told {frame}")

    def _ask(self, channel: str) -> None:
        verb = "subscribe" if self.places[channel].wanted else "unsubscribe"
        self.said.append({"type": f"channel_{verb}", "channel": channel})

    def _is_so(self, channel: str, subscribed: bool) -> None:
        place = self.places[channel]
        place.sure = place.sure or place.wanted == subscribed
        if subscribed and place.wanted:
            self._fill(channel)

    def _fill(self, channel: str) -> None:
        place = self.places[channel]
        if place.aside is None:
            place.aside = []
            self._more(channel)

    def _more(self, channel: str) -> None:
        since = self.places[channel].upto
        asked = {"channel": channel, "since": since, "limit": PAGE}
        self.said.append({"type": "channel_history", **asked})

    def _read(self, frame: Frame) -> None:
        place = self.places[frame["channel"]]
        for entry in frame["messages"]:
            seq, message = entry["seq"], entry["message"]
            self._heard.note(seq, message)
            demand(seq > place.upto, f"the history after {place.upto} has {seq}")
            place.upto = seq
            if message["from"] != self.agent_id:
                place.have.append(seq)
        demand(frame["last_seq"] == place.upto, f"{frame} does not end at {place.upto}")
        if frame["more"]:
            demand(bool(frame["messages"]), f"there is more, and nothing in {frame}")
            self._more(frame["channel"])
            return
        aside, place.aside = place.aside or [], None
        for seq in aside:
            self._take(place, seq)

    def _came(self, frame: Frame) -> None:
        place, seq = self.places[frame["channel"]], frame["seq"]
        self._heard.note(seq, frame)
        demand(frame["from"] != self.agent_id, f"{self.agent_id} hears itself: {frame}")
        demand(seq > place.live, f"{frame} came after {place.live}")
        demand(place.wanted or not place.sure, f"{self.agent_id} does not want {frame}")
        place.live = seq
        if not place.wanted:
            return
        if place.aside is not None:
            place.aside.append(seq)
        elif place.sure:
            self._take(place, seq)

    def _take(self, place: Place, seq: int) -> None:
        if seq > place.upto:
            place.upto = seq
            place.have.append(seq)


FINE = frozenset({"channel_not_found", "store_unavailable"})
"""What a reader may be told: there are not all channels from the start, and a disk fails."""

"""One run: everything is started, disturbed by the plan, waited for, and ended.

:func:`run` writes a history and nothing else; ``judge.py`` says what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from agentcom.chaos.callers import Chronicler, Submitter, all_events, all_tasks, cancelled
from agentcom.chaos.children import Children
from agentcom.chaos.fleet import Fleet
from agentcom.chaos.history import Finished, Planned, Recorder, Shown, Trouble
from agentcom.chaos.hubprocess import TWISTD, HubProcess, NoHub
from agentcom.chaos.mischief import Mischief
from agentcom.chaos.pace import Pace
from agentcom.chaos.plan import CALLERS, Plan
from agentcom.chaos.proxy import Door
from agentcom.chaos.sink import Sink
from agentcom.client.errors import ClientError
from agentcom.client.hub import HubClient, connect
from agentcom.client.urls import HubURL

LOOK_EVERY_S = 0.25
SAY_EVERY_S = 2.0
CONNECT_LIMIT_S = 90.0
CATCH_UP_LIMIT_S = 20.0
READ_LIMIT_S = 60.0
READ_AT_ONCE = 8
EXPLAINED = 5
"""Tasks that did not end whose explanation is written down."""

Say = Callable[[str], None]


async def run(
    reactor: Any,
    plan: Plan,
    work: Path,
    recorder: Recorder,
    say: Say,
    limit_s: float | None = None,
    hub_command: Sequence[str] = TWISTD,
) -> None:
    """Run a plan.  Whatever happens, no process of it is left.

    :param work: an empty directory for all its files.
    :param say: told how it goes, a line at a time.
    :param limit_s: seconds within which all tasks must have ended.
    :param hub_command: what runs in place of ``twistd``.
    :raises NoHub: the hub does not start for the first time.
    """
    recorder.add(Planned(plan=plan))
    chaos = Run(reactor, plan, work, recorder, say, hub_command)
    try:
        await chaos.go(plan.limit_s if limit_s is None else limit_s)
    finally:
        await chaos.end()
    recorder.add(Finished())
    recorder.flush()


class Run:
    """The parts of a run, and the order in which they are used."""

    def __init__(
        self,
        reactor: Any,
        plan: Plan,
        work: Path,
        recorder: Recorder,
        say: Say,
        hub_command: Sequence[str],
    ) -> None:
        self._reactor = reactor
        self._plan = plan
        self._recorder = recorder
        self._say = say
        self._children = Children(reactor, work, self._trouble)
        self._hub = HubProcess(reactor, self._children, work, hub_command)
        self._sink = Sink(recorder.add)
        names = [CALLERS, *(member.name for member in plan.members)]
        self._doors = {name: Door(reactor, self._hub.reach) for name in names}
        self._ports: list[Any] = []
        self._fleet: Fleet | None = None
        self._client: HubClient | None = None
        self._chronicler = Chronicler(recorder.add)
        self._submitter: Submitter | None = None

    async def go(self, limit_s: float) -> None:
        """Do all of it; what could not be done is in the history."""
        fleet, client = await self._set_up()
        watching = self._in_background("watcher", client.events(self._chronicler, after="0").run())
        try:
            await self._disturbed(fleet, client).addTimeout(limit_s, self._reactor)
        except DeferredTimeout:
            await self._explain(f"not everything had ended within {limit_s:.0f} s")
        except NoHub as e:
            self._trouble("hub", str(e))
        fleet.settle()
        try:
            # What is on disk counts, not what the hub that saw it all believes.
            await self._hub.kill(0.0)
            await Deferred.fromCoroutine(self._read()).addTimeout(READ_LIMIT_S, self._reactor)
        except (NoHub, ClientError, DeferredTimeout) as e:
            self._trouble("hub", f"what it knows cannot be read: {e or 'it takes too long'}")
        for name in await fleet.stop():
            self._trouble(name, "it did not stop in good time after SIGTERM")
        client.close()
        await watching
        for wrong in (await self._hub.stop(), self._hub.damage()):
            if wrong is not None:
                self._trouble("hub", wrong)

    async def end(self) -> None:
        """End everything, however far it came."""
        if self._fleet is not None:
            self._fleet.cancel()
        if self._client is not None:
            self._client.close()
        try:
            await self._children.end_all()
        finally:
            self._sink.close()
            for door in self._doors.values():
                for line in list(door.lines):
                    line.reset()
            await DeferredList([port.stopListening() for port in self._ports])

    async def _set_up(self) -> tuple[Fleet, HubClient]:
        self._say("starting the hub")
        await self._hub.start()
        sink = await self._listen(self._sink)
        urls = {}
        for name, door in self._doors.items():
            urls[name] = f"http://127.0.0.1:{await self._listen(door)}"
        admin = self._hub.client()
        fleet = Fleet(self._reactor, self._children, f"127.0.0.1:{sink}", urls, self._recorder.add)
        self._fleet = fleet
        self._say(f"starting {len(self._plan.members)} agents")
        for member in self._plan.members:
            fleet.start(member, (await admin.create_token(member.name))["token"])
        caller = (await admin.create_token("chaos", scopes=["submit"]))["token"]
        self._client = connect(self._reactor, HubURL.parse(urls[CALLERS]), caller)
        until = self._reactor.seconds() + CONNECT_LIMIT_S
        while len((await admin.agents())["agents"]) < len(self._plan.members):
            if self._reactor.seconds() >= until:
                self._trouble("run", f"not all agents had come within {CONNECT_LIMIT_S:.0f} s")
                break
            await self._rest(LOOK_EVERY_S)
        return fleet, self._client

    async def _listen(self, factory: Factory) -> int:
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self._ports.append(port)
        number: int = port.getHost().port
        return number

    def _disturbed(self, fleet: Fleet, client: HubClient) -> Deferred[None]:
        """Submit and disturb by the plan, then wait until all is over."""

        async def go() -> None:
            pace = Pace(self._reactor, lambda: self._hub.late)
            add = self._recorder.add
            submitter = self._submitter = Submitter(self._reactor, client, pace, add)
            mischief = Mischief(self._reactor, self._hub, fleet, self._doors, pace, add)
            parts = [Deferred.fromCoroutine(submitter.run(self._plan.works))]
            parts += [Deferred.fromCoroutine(mischief.do(step)) for step in self._plan.steps]
            telling = Deferred.fromCoroutine(self._tell())
            pace.start()
            try:
                await together(parts)
                self._say("the plan is over; waiting for the tasks that have not ended")
                fleet.settle()
                while not await self._all_ended():
                    await self._rest(LOOK_EVERY_S)
            finally:
                pace.stop()
                for part in [*parts, telling]:
                    part.cancel()
                telling.addErrback(cancelled)

        return Deferred.fromCoroutine(go())

    async def _all_ended(self) -> bool:
        try:
            counts = (await self._hub.client().stats())["by_status"]
        except ClientError:
            return False
        return not any(counts.get(name) for name in ("queued", "assigned", "working"))

    async def _read(self) -> None:
        """Write down what the hub shows in the end."""
        self._say("reading what the hub knows after one more kill -9")
        hub = self._hub.client()
        tasks = await all_tasks(hub)
        last = 0

        async def read(some: Sequence[Any]) -> None:
            nonlocal last
            for task in some:
                events = await all_events(hub, task["id"])
                last = max([last, *(event["seq"] for event in events)])
                self._recorder.add(Shown(task=dict(task), events=events))

        shares = [tasks[first::READ_AT_ONCE] for first in range(READ_AT_ONCE)]
        await together([Deferred.fromCoroutine(read(share)) for share in shares])
        until = self._reactor.seconds() + CATCH_UP_LIMIT_S
        while self._chronicler.seq < last and self._reactor.seconds() < until:
            await self._rest(LOOK_EVERY_S)

    async def _explain(self, why: str) -> None:
        """Say of some tasks that have not ended why, in the hub's own words."""
        self._trouble("run", why)
        try:
            hub = self._hub.client()
            for status in ("queued", "assigned", "working"):
                for task in (await hub.tasks(status=status, limit=EXPLAINED))["tasks"]:
                    told = await hub.explain(task["id"])
                    self._trouble(task["id"], f"{told['status']}: {told['summary']}")
        except ClientError as e:
            self._trouble("hub", str(e))

    async def _tell(self) -> None:
        while True:
            await self._rest(SAY_EVERY_S)
            answered = self._submitter.answered if self._submitter else 0
            try:
                counts = (await self._hub.client().stats())["by_status"]
            except ClientError:
                counts = {}
            told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            self._say(f"{self._recorder.at_s:4.0f} s: {answered} acked; {told or 'no hub'}")

    def _in_background(self, who: str, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(work).addErrback(
            lambda failure: self._trouble(who, failure.getErrorMessage())
        )

    def _trouble(self, who: str, what: str) -> None:
        self._recorder.add(Trouble(who=who, what=what))

    def _rest(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)


async def together(parts: Sequence[Deferred[None]]) -> None:
    """Wait for all of them, or for the first that fails, whose error is raised."""
    try:
        await gatherResults(parts, consumeErrors=True)
    except FirstError as e:
        e.subFailure.raiseException()


__all__ = ["NoHub", "run"]

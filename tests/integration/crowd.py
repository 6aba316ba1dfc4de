"""Agents, pushers and a watcher that live through the death of their hub.

Each keeps a record of what the hub said yes to, which a test compares with
what the next hub on the same data directory knows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import WebSocketException

from tests.integration.clients import Agent, Http, server_sent_events
from tests.integration.processes import HubProcess

END_OF_HUB = (OSError, EOFError, WebSocketException, http.client.HTTPException)
"""What it looks like when the hub was killed."""

LAST_WORD = "that is all"
"""The status that ends the log: a watcher that has read it has read everything."""


class Work:
    """What an agent knows of one task."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.accepted = False
        self.completing = False
        self.completed = False


class Worker:
    """An agent that works through several lives of its hub.

    :ivar work: its tasks, by id.
    :ivar errors: the error frames that it was told.
    """

    def __init__(self, agent_id: str, token: str, seed: int) -> None:
        self.agent_id = agent_id
        self._token = token
        self._random = random.Random(seed)
        self.work: dict[str, Work] = {}
        self.errors: list[dict[str, Any]] = []
        self.patient = True

    def live(self, hub: HubProcess) -> None:
        """Work until the hub is gone; take up again what was left."""
        mentions = [
            {"task_id": task_id, "generation": work.generation}
            for task_id, work in self.work.items()
            if not work.completed
        ]
        agent = Agent(hub.url, self.agent_id, self._token, tasks=mentions, presence="none")
        try:
            for task_id, work in self.work.items():
                if not work.completed:
                    self._report(agent, task_id, work)
            while True:
                self._hear(agent, agent.receive(60.0))
        finally:
            agent.close()

    def _hear(self, agent: Agent, frame: dict[str, Any]) -> None:
        task_id = frame.get("task_id", "")
        match frame["type"]:
            case "task_assign":
                work = self.work.setdefault(task_id, Work(frame["generation"]))
                work.generation = frame["generation"]
                self._report(agent, task_id, work)
            case "task_ack" if frame["status"] == "accepted":
                self.work[task_id].accepted = True
            case "task_ack":
                self.work[task_id].completed = True
            case "error":
                self.errors.append(frame)
        agent.frames.clear()

    def _report(self, agent: Agent, task_id: str, work: Work) -> None:
        told: dict[str, Any] = {"task_id": task_id, "generation": work.generation}
        if not work.accepted and not work.completing:
            agent.say("task_accepted", **told)
        if self.patient and not work.completing and self._random.random() < 0.3:
            # It is still at work when the hub dies.
            agent.say("task_progress", **told, progress=0.5)
            return
        work.completing = True
        agent.say("task_complete", **told, result=self.result_of(task_id))

    def result_of(self, task_id: str) -> dict[str, str]:
        """What this agent makes of a task."""
        return {"by": self.agent_id, "of": task_id}


class Pusher:
    """Pushes tasks as fast as they are answered; asks again for those that were not.

    :ivar pushed: task ids that were answered with 200, by idempotency key.
    """

    def __init__(self, name: str, agent_ids: list[str], seed: int) -> None:
        self._name = name
        self._agents = agent_ids
        self._random = random.Random(seed)
        self._made = 0
        self.open: dict[str, str] = {}
        self.pushed: dict[str, str] = {}

    def live(self, hub: HubProcess) -> None:
        """Push until the hub is gone."""
        with hub.http() as client:
            self.repeat(client)
            while True:
                self._made += 1
                key = f"{self._name}-{self._made}"
                self.open[key] = self._random.choice(self._agents)
                self._push(client, key)

    def repeat(self, client: Http) -> None:
        """Push again, with the same key, whatever was not answered."""
        for key in list(self.open):
            self._push(client, key)

    def _push(self, client: Http, key: str) -> None:
        body = {"agent_id": self.open[key], "description": key, "idempotency_key": key}
        reply = client.request("POST", "/api/admin/push-task", body)
        if reply.status == 200:
            self.pushed[key] = reply.body["task_id"]
            del self.open[key]
        elif reply.body.get("error") != "agent_not_connected":
            raise AssertionError(f"a push was answered {reply}")


class Watcher:
    """Follows the event log from its beginning through every life of the hub.

    :ivar events: what it was told that is in the log, in the order in which
        it was told.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.gaps: list[str] = []
        self._cursor = "0"

    def live(self, hub: HubProcess) -> None:
        """Read on from the last event until the last word, or the end of the hub."""
        with hub.http() as client:
            stream = server_sent_events(client, "/api/events", **{"Last-Event-ID": self._cursor})
            for cursor, event, data in stream:
                if event == "gap":
                    self.gaps.append(data)
                if cursor is None:
                    continue
                self._cursor = cursor
                self.events.append(json.loads(data))
                if LAST_WORD in data:
                    return


class Crowd:
    """Everybody at once, one thread each, for one life of a hub."""

    def __init__(self, *members: Worker | Pusher | Watcher) -> None:
        self._members = members
        self.failures: list[BaseException] = []

    @contextlib.contextmanager
    def at(self, hub: HubProcess) -> Iterator[list[threading.Thread]]:
        """Let them loose; when the block has ended the hub must be gone, or going."""
        threads = [
            threading.Thread(target=self._live, args=(member, hub), daemon=True)
            for member in self._members
        ]
        for thread in threads:
            thread.start()
        try:
            yield threads
        finally:
            hub.kill()
            for thread in threads:
                thread.join(20.0)
                if thread.is_alive():
                    self.failures.append(AssertionError("a client did not notice the end"))

    def _live(self, member: Worker | Pusher | Watcher, hub: HubProcess) -> None:
        try:
            member.live(hub)
        except END_OF_HUB as e:
            if hub.process.poll() is None and not hub.ending:
                self.failures.append(e)
        except BaseException as e:
            self.failures.append(e)

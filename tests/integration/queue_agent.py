"""An agent in a process of its own, which may be killed at any moment.

It works on what it is given for a while, reports honestly and repeats what
was not acknowledged when its line broke; now and then it drops the line itself
and works on without it.  What it did is written down before it is told to
anybody, so that the record outlives it::

    begun task-0123456789abcdef 1
    done task-0123456789abcdef 1
    refused not_assignee

It shares no code with the hub.  Its token is in ``QUEUE_AGENT_TOKEN``.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException

from tests.integration.clients import Agent

SLOTS = 2
AGAIN_S = 0.1
"""Seconds until it connects again."""

FAILS = 0.03
REJECTS = 0.005
"""The shares of tasks that it fails, and that it rejects."""

WRITES_UP = 0.3
WRITING_S = 0.15
"""How often a result takes some time from the end of the work to the word of it."""

DROPS = 0.004
AWAY_S = 3.0
"""How often, at a frame or an end, the line breaks; and for how long at the most."""

LOST = (OSError, EOFError, WebSocketException)


class Dropped(Exception):
    """The line breaks."""


class Job:
    """One assignment.

    :ivar due: when the work on it ends, on the monotonic clock.
    :ivar report: how it ended, once it has, to be repeated until it is acknowledged.
    """

    def __init__(self, generation: int, due: float) -> None:
        self.generation = generation
        self.due = due
        self.report: dict[str, Any] | None = None


class Worker:
    """The agent, through all lives of its hub."""

    def __init__(self, agent_id: str, record: Path, seed: int, work_s: tuple[float, float]) -> None:
        self.agent_id = agent_id
        self._random = random.Random(seed)
        self._work_s = work_s
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._jobs: dict[str, Job] = {}

    def serve(self, url: str, token: str) -> None:
        """Work until the line is lost."""
        mentions = [
            {"task_id": task_id, "generation": job.generation}
            for task_id, job in self._jobs.items()
        ]
        agent = Agent(url, self.agent_id, token, slots=SLOTS, tasks=mentions, presence="none")
        try:
            for told in agent.identified["tasks"]:
                if told["action"] == "abort" and self._jobs[told["task_id"]].report is None:
                    del self._jobs[told["task_id"]]
            for job in self._jobs.values():
                if job.report is not None:
                    agent.say(**job.report)
            while True:
                self._turn(agent)
        finally:
            agent.close()

    def work_alone(self) -> None:
        """Go on for a while without a line."""
        end = time.monotonic() + self._random.uniform(0.0, AWAY_S)
        while time.monotonic() < end:
            for task_id, job in self._jobs.items():
                if job.report is None and job.due <= time.monotonic():
                    self._end(task_id, job)
            time.sleep(0.02)

    def _turn(self, agent: Agent) -> None:
        """End what is due, then listen until something else is."""
        if self._random.random() < DROPS:
            raise Dropped
        now = time.monotonic()
        for task_id, job in self._jobs.items():
            if job.report is None and job.due <= now:
                agent.say(**self._end(task_id, job))
                return
        working = [job.due - now for job in self._jobs.values() if job.report is None]
        wait = min(working, default=30.0)
        try:
            frame = agent.receive(max(0.001, wait))
        except TimeoutError:
            return
        agent.frames.clear()
        self._hear(agent, frame)

    def _hear(self, agent: Agent, frame: dict[str, Any]) -> None:
        task_id = frame.get("task_id", "")
        job = self._jobs.get(task_id)
        match frame["type"]:
            case "task_assign":
                self._assigned(agent, task_id, frame["generation"])
            case "task_ack" if frame["status"] != "accepted":
                self._jobs.pop(task_id, None)
            case "task_cancelled" if job is not None and job.generation == frame["generation"]:
                if job.report is None:
                    del self._jobs[task_id]
            case "error":
                self._note("refused", frame["error"])
                self._jobs.pop(task_id, None)

    def _assigned(self, agent: Agent, task_id: str, generation: int) -> None:
        job = self._jobs.get(task_id)
        told = {"task_id": task_id, "generation": generation}
        if job is not None and job.generation == generation:
            # It is sent again; if it has ended, that was told when the line came up.
            if job.report is None:
                agent.say("task_accepted", **told)
            return
        if self._random.random() < REJECTS:
            agent.say("task_rejected", **told, reason="not now")
            return
        self._note("begun", task_id, str(generation))
        self._jobs[task_id] = Job(
            generation, time.monotonic() + self._random.uniform(*self._work_s)
        )
        agent.say("task_accepted", **told)

    def _end(self, task_id: str, job: Job) -> dict[str, Any]:
        """The work is over: write that down, then make the report of it."""
        told = {"task_id": task_id, "generation": job.generation}
        if self._random.random() < FAILS:
            job.report = {"type": "task_failed", **told, "error": "bad luck"}
            return job.report
        self._note("done", task_id, str(job.generation))
        if self._random.random() < WRITES_UP:
            time.sleep(self._random.uniform(0.0, WRITING_S))
        result = {"by": self.agent_id, "generation": job.generation}
        job.report = {"type": "task_complete", **told, "result": result}
        return job.report

    def _note(self, *words: str) -> None:
        os.write(self._record, (" ".join(words) + "\n").encode())


def main() -> None:
    """Run for ever; whoever started it ends it."""
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--agent-id", required=True)
    options.add_argument("--record", required=True, type=Path)
    options.add_argument("--seed", required=True, type=int)
    options.add_argument("--work", required=True, nargs=2, type=float)
    given = options.parse_args()
    worker = Worker(given.agent_id, given.record, given.seed, tuple(given.work))
    while True:
        try:
            worker.serve(given.url, os.environ["QUEUE_AGENT_TOKEN"])
        except Dropped:
            worker.work_alone()
        except LOST:
            time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()

"""What a client can ask of a hub, each as something that can be done many times.

Each of these makes ready what it needs, which is not measured, and gives what is;
`asked.py` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

from agentcom.bench.sides import Agent, Side

Step = Callable[[int], object]
BATCH = 50
HELD = 20
DEAD = 5
SLOTS = 1000
SUBMITTERS = 20
NOBODY = ["nobody-has-this"]
WORD = "ops"
NOT_FOUND = "/api/tasks?search=qqqq&limit=5"


def reads(path: str, kind: str = "", share: float = 1.0) -> Callable[[Side, int], Step]:
    """GET of a path; `{}` in it is the id of a task of that status."""

    def ready(side: Side, times: int) -> Step:
        ids = cycle(side.ids.get(kind) or [""])
        return lambda n: side.ask("GET", path.format(next(ids)))

    return ready


def submitted(side: Side, **more: Any) -> str:
    """The id of a new task."""
    body = {"description": "operations", **more}
    task: str = side.told("POST", "/api/tasks", body)["task_id"]
    return task


def waiting(side: Side, times: int) -> list[str]:
    """Ids of new tasks that fit nobody."""
    return [submitted(side, capabilities=NOBODY) for _ in range(times)]


def agent(side: Side, slots: int = SLOTS) -> Agent:
    """An agent that stays for the whole run; the one with the usual slots fits the run's tasks."""
    key = f"agent-{slots}"
    found = side.kept.get(key)
    if found is None:
        able = [side.run] if slots == SLOTS else []
        found = side.kept[key] = side.agent(side.name_of(WORD), slots=slots, capabilities=able)
    return found


def held(side: Side, times: int, accepted: bool = False) -> tuple[Agent, list[dict[str, Any]]]:
    """A new agent with frames of tasks that it was given, accepted where that is asked for.

    The one before it leaves, with what it still has.
    """
    if "worker" in side.kept:
        side.kept["worker"].close()
    worker = side.kept["worker"] = side.agent(side.name_of(WORD), slots=SLOTS)
    frames = []
    for _ in range(times):
        submitted(side, agent_id=worker.agent_id)
        frames.append(worker.hear("task_assign"))
    for frame in frames if accepted else ():
        report(worker, frame, "task_accepted")
    return worker, frames


def report(worker: Agent, frame: dict[str, Any], kind: str, **more: Any) -> None:
    """Say something of a task, and wait for its acknowledgement."""
    worker.say(kind, task_id=frame["task_id"], generation=frame["generation"], **more)
    worker.hear("task_ack")


def dead(side: Side, times: int) -> list[str]:
    """Ids of new dead letters, with a last error of their own."""
    error = side.name_of("error")
    side.kept["error"] = error
    worker, frames = held(side, times, accepted=True)
    for frame in frames:
        report(worker, frame, "task_failed", error=error, retryable=False)
    found = side.told("GET", f"/api/tasks/dead-letter?last_error={error}&limit={times}")["tasks"]
    return [task["id"] for task in found]


def done(side: Side) -> tuple[Agent, list[dict[str, Any]]]:
    """The agent that stays, when it has done all that it was given, and a list for more.

    Else it would be found to take no work.
    """
    worker = agent(side)
    given: list[dict[str, Any]] = side.kept.setdefault("given", [])
    while given:
        report(worker, given.pop(), "task_complete", result={"ok": 1})
    return worker, given


def submit(side: Side, times: int) -> Step:
    return lambda n: submitted(side, capabilities=NOBODY)


def submit_with_key(side: Side, times: int) -> Step:
    return lambda n: submitted(side, capabilities=NOBODY, idempotency_key=side.name_of("key"))


def submit_batch(side: Side, times: int) -> Step:
    task = {"description": "operations", "capabilities": NOBODY}
    return lambda n: side.ask("POST", "/api/tasks/batch", {"tasks": [task] * BATCH})


def push(side: Side, times: int) -> Step:
    worker, given = done(side)

    def step(number: int) -> None:
        body = {"agent_id": worker.agent_id, "description": "operations"}
        side.ask("POST", "/api/admin/push-task", body)
        given.append(worker.hear("task_assign"))

    return step


def submit_and_assign(side: Side, times: int) -> Step:
    worker, given = done(side)

    def step(number: int) -> None:
        submitted(side, capabilities=[side.run])
        given.append(worker.hear("task_assign"))

    return step


def accept(side: Side, times: int) -> Step:
    worker, frames = held(side, times)
    return lambda n: report(worker, frames[n], "task_accepted")


def progress(side: Side, times: int) -> Step:
    worker, frames = held(side, times, accepted=True)

    def step(number: int) -> None:
        frame = frames[number]
        told = {"progress": 0.5, "output": "a line\n", "generation": frame["generation"]}
        worker.say("task_progress", task_id=frame["task_id"], **told)
        # Progress has no answer; this one comes after it was taken.
        worker.say("ping")
        worker.hear("pong")

    return step


def complete(side: Side, times: int) -> Step:
    worker, frames = held(side, times, accepted=True)
    return lambda n: report(worker, frames[n], "task_complete", result={"ok": 1})


def fail_and_back(side: Side, times: int) -> Step:
    worker, frames = held(side, times, accepted=True)
    return lambda n: report(worker, frames[n], "task_failed", error="no")


def cancel(side: Side, times: int) -> Step:
    ids = waiting(side, times)
    return lambda n: side.ask("POST", f"/api/tasks/{ids[n]}/cancel")


def cancel_old(side: Side, times: int) -> Step:
    ids = [side.ids["queued"].pop() for _ in range(times)]
    return lambda n: side.ask("POST", f"/api/tasks/{ids[n]}/cancel")


def requeue(side: Side, times: int) -> Step:
    _, frames = held(side, times, accepted=True)
    return lambda n: side.ask("POST", f"/api/tasks/{frames[n]['task_id']}/requeue")


def retry(side: Side, times: int) -> Step:
    ids = dead(side, times)
    return lambda n: side.ask("POST", f"/api/tasks/{ids[n]}/retry")


def delete(side: Side, times: int) -> Step:
    ids = dead(side, times)
    return lambda n: side.ask("DELETE", f"/api/tasks/{ids[n]}")


def errors(side: Side, times: int) -> list[dict[str, str]]:
    """Bodies that choose some new dead letters each."""
    found = []
    for _ in range(times):
        dead(side, DEAD)
        found.append({"last_error": side.kept["error"]})
    return found


def retry_many(side: Side, times: int) -> Step:
    bodies = errors(side, times)
    return lambda n: side.ask("POST", "/api/tasks/dead-letter/retry", bodies[n])


def delete_many(side: Side, times: int) -> Step:
    bodies = errors(side, times)
    return lambda n: side.ask("POST", "/api/tasks/dead-letter/delete", bodies[n])


def list_dead(side: Side, times: int) -> Step:
    dead(side, 3)
    error = side.kept["error"]
    return lambda n: side.ask("GET", f"/api/tasks/dead-letter?last_error={error}&limit=3")


def list_of_both(side: Side, times: int) -> Step:
    path = "/api/tasks?status=queued&submitted_by=submitter-7&limit=20"
    return lambda n: side.ask("GET", path)


def list_of_nothing(side: Side, times: int) -> Step:
    path = "/api/tasks?status=queued&submitted_by=nobody&limit=20"
    return lambda n: side.ask("GET", path)


def follow(side: Side, times: int) -> Step:
    cursor = side.told("GET", "/api/agents")["cursor"]
    for _ in range(HELD):
        submitted(side, capabilities=NOBODY)
    return lambda n: side.follow(f"/api/events?topics=tasks&after={cursor}", HELD)


def come_back(side: Side, times: int) -> Step:
    _, frames = held(side, HELD, accepted=True)
    tasks = [{"task_id": f["task_id"], "generation": f["generation"]} for f in frames]

    def step(number: int) -> None:
        before = side.kept["worker"]
        before.close()
        more = {"slots": SLOTS, "tasks": tasks}
        side.kept["worker"] = Agent(side.address, before.agent_id, before.token, **more)

    return step


def message(side: Side, times: int) -> Step:
    receiver = agent(side)

    def step(number: int) -> None:
        side.ask("POST", "/api/message", {"to": receiver.agent_id, "payload": {"n": number}})
        receiver.hear("message")

    return step


def message_away(side: Side, times: int) -> Step:
    name = side.name_of(WORD)
    side.agent(name).close()
    return lambda n: side.ask("POST", "/api/message", {"to": name, "payload": {"n": n}})


def publish(side: Side, times: int) -> Step:
    channel = side.name_of("channel")
    side.ask("POST", "/api/channels", {"name": channel})
    worker = agent(side)
    worker.say("channel_subscribe", channel=channel)
    worker.hear("channel_subscribed")

    def step(number: int) -> None:
        side.ask("POST", f"/api/channels/{channel}/publish", {"payload": {"n": number}})
        worker.hear("channel_message")

    return step


def create_channel(side: Side, times: int) -> Step:
    return lambda n: side.ask("POST", "/api/channels", {"name": side.name_of("channel")})


def ping(side: Side, times: int) -> Step:
    worker = agent(side)

    def step(number: int) -> None:
        worker.say("ping")
        worker.hear("pong")

    return step


def set_status(side: Side, times: int) -> Step:
    worker = agent(side)

    def step(number: int) -> None:
        worker.say("status", status=f"busy {number}")
        worker.hear("status_updated")

    return step


def submit_frame(side: Side, times: int) -> Step:
    worker = agent(side)

    def step(number: int) -> None:
        worker.say("task_submit", description="operations", capabilities=NOBODY)
        worker.hear("task_submitted")

    return step


def come_and_go(side: Side, times: int) -> Step:
    name = side.name_of(WORD)
    token = side.told("POST", "/admin/tokens", {"agent_id": name})["token"]
    return lambda n: Agent(side.address, name, token, capabilities=[WORD]).close()


def create_token(side: Side, times: int) -> Step:
    return lambda n: side.ask("POST", "/admin/tokens", {"agent_id": side.name_of(WORD)})


def revoke_token(side: Side, times: int) -> Step:
    names = [side.name_of(WORD) for _ in range(times)]
    for name in names:
        side.ask("POST", "/admin/tokens", {"agent_id": name})
    return lambda n: side.ask("DELETE", f"/admin/tokens/{names[n]}")


def drain_and_resume(side: Side, times: int) -> Step:
    path = f"/api/agents/{agent(side, 1).agent_id}"

    def step(number: int) -> None:
        side.ask("POST", f"{path}/drain")
        side.ask("POST", f"{path}/resume")

    return step


def drain_hub(side: Side, times: int) -> Step:
    def step(number: int) -> None:
        side.ask("POST", "/api/admin/drain")
        side.ask("DELETE", "/api/admin/drain")

    return step


def show_agent(side: Side, times: int) -> Step:
    return lambda n: side.ask("GET", f"/api/agents/{agent(side).agent_id}")


def mailbox(side: Side, times: int) -> Step:
    return lambda n: side.ask("GET", f"/api/mailbox/{agent(side).agent_id}")

"""Read tasks, learn why one waits, cancel one; with the routes of the queue."""

from __future__ import annotations

from agentcom.core.state import Status, Task
from agentcom.core.tokens import SUBMIT
from agentcom.errors import InvalidState, TaskNotFound
from agentcom.http.deadletters import DeadLetterRoutes
from agentcom.http.filters import CURSOR, LIMIT, STATUS, TASK_FILTERS
from agentcom.http.queue import QueueRoutes
from agentcom.http.route import Answer, Call, Route, number
from agentcom.http.shown import (
    CURSOR_MOST,
    PAGE,
    PAGE_MOST,
    cursor,
    one_of,
    task_list,
    task_object,
)
from agentcom.hub.hub import Hub
from agentcom.hub.totals import Totals
from agentcom.wire.answers.tasks import (
    Cancelled,
    EventPage,
    Explained,
    TaskCounts,
    TaskList,
    TaskShown,
)
from agentcom.wire.codec import cut
from agentcom.wire.http import CancelTask

AGENTS_EXPLAINED = 100
AGENTS_EXPLAINED_MOST = 1_000


class TaskRoutes:
    """The routes under ``/api/tasks``, and push-task.

    :param totals: how many tasks have ended.
    :param max_task: bytes that a task may have, encoded.
    """

    def __init__(self, hub: Hub, totals: Totals, max_task: int) -> None:
        self._hub = hub
        self._totals = totals
        self._queue = QueueRoutes(hub, max_task)
        self._dead_letters = DeadLetterRoutes(hub)

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            *self._queue.routes(),
            *self._dead_letters.routes(),
            Route(
                method="GET",
                path="/api/tasks",
                name="list_tasks",
                scope=SUBMIT,
                query=(STATUS, *TASK_FILTERS),
                answers={200: TaskList},
                handler=self.list,
            ),
            Route(
                method="GET",
                path="/api/tasks/stats",
                name="task_stats",
                scope=SUBMIT,
                answers={200: TaskCounts},
                handler=self.stats,
            ),
            Route(
                method="GET",
                path="/api/tasks/<task_id>",
                name="get_task",
                scope=SUBMIT,
                answers={200: TaskShown},
                refuses=(TaskNotFound,),
                handler=self.get,
            ),
            Route(
                method="GET",
                path="/api/tasks/<task_id>/events",
                name="task_events",
                scope=SUBMIT,
                query=(CURSOR, LIMIT),
                answers={200: EventPage},
                refuses=(TaskNotFound,),
                handler=self.events,
            ),
            Route(
                method="GET",
                path="/api/tasks/<task_id>/explain",
                name="explain_task",
                scope=SUBMIT,
                query=(
                    number(
                        "limit",
                        "How many agents to tell of.",
                        AGENTS_EXPLAINED,
                        1,
                        AGENTS_EXPLAINED_MOST,
                    ),
                ),
                answers={200: Explained},
                refuses=(TaskNotFound,),
                handler=self.explain,
            ),
            Route(
                method="POST",
                path="/api/tasks/<task_id>/cancel",
                name="cancel_task",
                scope=SUBMIT,
                body=CancelTask,
                body_optional=True,
                example={"reason": "not needed any more"},
                answers={200: Cancelled},
                refuses=(TaskNotFound, InvalidState),
                handler=self.cancel,
            ),
        ]

    async def list(self, call: Call) -> Answer:
        """Tasks, newest first, by page."""
        return await task_list(self._hub, call, one_of(call, "status", Status))

    async def stats(self, call: Call) -> Answer:
        """How many tasks there are, by status and by priority."""
        return Answer(200, await self._hub.overview.stats(self._totals))

    async def get(self, call: Call) -> Answer:
        """One task."""
        return Answer(200, task_object(await self._stored(call)))

    async def events(self, call: Call) -> Answer:
        """A task's events, oldest first, by page."""
        limit = call.number("limit", PAGE, 1, PAGE_MOST)
        after = call.number("cursor", 0, 0, CURSOR_MOST)
        task = await self._stored(call)
        page = await self._hub.store.task_events(task.id, after, limit)
        return Answer(200, {"events": page.events, "cursor": cursor(page.next)})

    async def explain(self, call: Call) -> Answer:
        """Why a task waits, agent by agent, or who decided what and when."""
        most = call.number("limit", AGENTS_EXPLAINED, 1, AGENTS_EXPLAINED_MOST)
        return Answer(200, await self._hub.explain.task(call.args["task_id"], most))

    async def cancel(self, call: Call) -> Answer:
        """End a task that nobody wants any more."""
        task_id = call.args["task_id"]
        await self._hub.tasks.cancel(task_id, call.caller, cut(call.body.reason))
        return Answer(200, {"status": "cancelled", "task_id": task_id})

    async def _stored(self, call: Call) -> Task:
        task_id = call.args["task_id"]
        task = await self._hub.store.task(task_id)
        if task is None:
            raise TaskNotFound(task_id=task_id)
        return task

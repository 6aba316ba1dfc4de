"""Dead letters: list them, try them again, delete them; one, or many at once."""

from __future__ import annotations

from agentcom.core.state import Status
from agentcom.core.tokens import ADMIN, SUBMIT
from agentcom.errors import InvalidState, TaskNotFound, ValidationFailed
from agentcom.http.filters import LAST_ERROR, TASK_FILTERS
from agentcom.http.route import Answer, Call, Route
from agentcom.http.shown import task_list
from agentcom.hub.hub import Hub
from agentcom.wire.answers.tasks import Deleted, DeletedAll, Requeued, RetriedAll, TaskList
from agentcom.wire.tasks import ChooseDeadLetters


class DeadLetterRoutes:
    """What can be done with tasks that failed for good."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="GET",
                path="/api/tasks/dead-letter",
                name="list_dead_letters",
                scope=SUBMIT,
                query=(*TASK_FILTERS, LAST_ERROR),
                answers={200: TaskList},
                handler=self.list,
            ),
            Route(
                method="POST",
                path="/api/tasks/dead-letter/retry",
                name="retry_dead_letters",
                scope=SUBMIT,
                body=ChooseDeadLetters,
                example={"last_error": "agent_lost"},
                answers={200: RetriedAll},
                handler=self.retry_many,
            ),
            Route(
                method="POST",
                path="/api/tasks/dead-letter/delete",
                name="delete_dead_letters",
                scope=ADMIN,
                body=ChooseDeadLetters,
                example={"last_error": "agent_lost"},
                answers={200: DeletedAll},
                handler=self.delete_many,
            ),
            Route(
                method="POST",
                path="/api/tasks/<task_id>/retry",
                name="retry_task",
                scope=SUBMIT,
                answers={200: Requeued},
                refuses=(TaskNotFound, InvalidState),
                handler=self.retry,
            ),
            Route(
                method="DELETE",
                path="/api/tasks/<task_id>",
                name="delete_task",
                scope=ADMIN,
                answers={200: Deleted},
                refuses=(TaskNotFound, InvalidState),
                handler=self.delete,
            ),
        ]

    async def list(self, call: Call) -> Answer:
        """Dead letters, newest first, by page."""
        return await task_list(
            self._hub, call, Status.DEAD_LETTER, last_error=call.query("last_error")
        )

    async def retry(self, call: Call) -> Answer:
        """A dead letter back to the queue, with a new series of attempts."""
        task = await self._hub.archive.retry(call.args["task_id"], call.caller)
        return Answer(200, {"status": "requeued", "task_id": task.id, "priority": task.priority})

    async def delete(self, call: Call) -> Answer:
        """Forget a dead letter."""
        task_id = call.args["task_id"]
        await self._hub.archive.delete(task_id, call.caller)
        return Answer(200, {"status": "deleted", "task_id": task_id})

    async def retry_many(self, call: Call) -> Answer:
        """All of these dead letters back to the queue."""
        retried, skipped = await self._hub.archive.retry_many(_chosen(call), call.caller)
        return Answer(200, {"retried": retried, "skipped": skipped})

    async def delete_many(self, call: Call) -> Answer:
        """Forget all of these dead letters."""
        deleted, skipped = await self._hub.archive.delete_many(_chosen(call), call.caller)
        return Answer(200, {"deleted": deleted, "skipped": skipped})


def _chosen(call: Call) -> ChooseDeadLetters:
    """What the body chooses; nothing at all is not taken for everything."""
    chosen: ChooseDeadLetters = call.body
    filters = (
        chosen.task_ids,
        chosen.agent_id,
        chosen.priority,
        chosen.submitted_by,
        chosen.last_error,
    )
    if not chosen.all and all(one is None for one in filters):
        detail = 'give a filter, or "all": true'
        raise ValidationFailed([{"field": "all", "error": "required", "detail": detail}])
    return chosen

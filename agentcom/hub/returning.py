"""Agents that go and come back: PROTOCOL.md section 3.2 from "Disconnect" on.

A vanished agent keeps its tasks for a while.  One that is back says what it
has; what it does not mention is sent again, and what it still works on is
kept, also when it went back to the queue meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentcom.core.changes import Recover, Requeue
from agentcom.core.fence import keeps
from agentcom.core.state import OnDisconnect, Status, Task
from agentcom.hub.agenda import Agenda
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.holdings import Holding
from agentcom.hub.interventions import Interventions
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Roster
from agentcom.wire.frames import TaskMention

QUIET_S = 2.0
"""Seconds after ``identified`` in which an agent says what it still has."""

ASK_AGAIN_S = 60.0
"""Seconds until an agent that was busy is asked about its task again."""

RECOVER_TIMEOUT_S = 3_600.0
"""Seconds of silence that fail an attempt which an agent without generations
went on with; a report, and a restart of the hub, begin them anew."""

RECOVERY_TIMEOUT = "recovery_timeout"
AGENT_LOST = "agent_lost"


class Returning:
    """Holds tasks for agents that are away, and sorts out what they have left."""

    def __init__(
        self,
        ledger: Ledger,
        dispatch: Dispatch,
        interventions: Interventions,
        roster: Roster,
        agenda: Agenda,
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._interventions = interventions
        self._holdings = dispatch.holdings
        self._roster = roster
        self._agenda = agenda
        agenda.on("hold", self._hold_over)
        agenda.on("quiet", self._quiet_over)
        agenda.on("ask_again", self._ask_again)
        agenda.on("recover", self._recovery_over)

    def restarted(self) -> None:
        """The hub listens: from here on count the holds of what was assigned before."""
        for task in self._ledger.live.values():
            if task.status.held:
                self._holdings.hold(task)
                self.watch_recovery(task)

    def connected(
        self, agent_id: str, mentions: Iterable[TaskMention], again: bool
    ) -> list[dict[str, object]]:
        """An agent has identified: it is offered nothing until it told what it has.

        :param again: on a connection that was identified before.
        :returns: for each mentioned task whether to go on with it.
        """
        holding = self._holdings.of(agent_id)
        if not again:
            self._begin(agent_id, holding)
        actions: list[dict[str, object]] = []
        for mention in mentions:
            goes_on = self.still_has(agent_id, mention.task_id, mention.generation, "identify")
            action = "continue" if goes_on else "abort"
            actions.append({"task_id": mention.task_id, "action": action})
        return actions

    def disconnected(self, agent_id: str) -> None:
        """An agent's last connection is gone: its tasks are held for it."""
        holding = self._holdings.get(agent_id)
        if holding is None:
            return
        self._agenda.cancel("quiet", agent_id)
        holding.quiet = False
        holding.left_at = self._agenda.seconds()
        for task_id in holding.held:
            self._agenda.cancel("accept", task_id)
            self._holdings.hold(self._ledger.live[task_id])
        self._holdings.forget_if_empty(agent_id)

    def give_back(self, agent_id: str, reason: str) -> None:
        """Take all of an agent's tasks back now, without hold."""
        for task_id in self._holdings.running(agent_id):
            self._ledger.change(task_id, Requeue(reason))

    def still_has(self, agent_id: str, task_id: str, generation: int | None, via: str) -> bool:
        """The agent says that it works on a task: whether it is its own.

        One that went back to the queue meanwhile, and was not assigned since,
        is taken up again: nobody else has begun, so the work is kept.
        """
        task = self._ledger.peek(task_id)
        if task is None or not self.keeps(task, agent_id, generation):
            return False
        if task.status is Status.QUEUED:
            self._ledger.change(task_id, Recover(via))
        self.heard(agent_id, task_id, began=True)
        self.watch_recovery(task)
        return True

    def keeps(self, task: Task, agent_id: str, generation: int | None) -> bool:
        """Whether it may go on with a task; past a drain's deadline with nothing queued."""
        holding = self._holdings.get(agent_id)
        overdue = holding is not None and holding.overdue and task.status is Status.QUEUED
        return not overdue and keeps(task, agent_id, generation)

    def heard(self, agent_id: str, task_id: str, began: bool = False) -> None:
        """The agent spoke of a task of its own: it need not be sent again.

        :param began: it works on the task, so a later rejection would not be
            of a repetition.
        """
        holding = self._holdings.get(agent_id)
        if holding is None:
            return
        holding.unconfirmed.discard(task_id)
        if task_id in holding.held:
            holding.held[task_id] = self._agenda.seconds()
        if began:
            self._agenda.cancel("accept", task_id)
            holding.unheard.pop(task_id, None)
        if began and holding.repeated:
            holding.repeated.discard(task_id)
            holding.busy.pop(task_id, None)
            self._agenda.cancel("ask_again", task_id)

    def rejects_repetition(self, agent_id: str, task_id: str) -> bool:
        """Whether a rejection means "busy": of a repetition, which is then asked again later."""
        holding = self._holdings.get(agent_id)
        if holding is None or task_id not in holding.repeated:
            return False
        holding.busy[task_id] = None
        holding.held[task_id] = self._agenda.seconds()
        self._agenda.cancel("accept", task_id)
        self._agenda.after("ask_again", task_id, ASK_AGAIN_S)
        return True

    def ask_again_all(self, agent_id: str) -> None:
        """Ask an agent about what it was too busy for."""
        holding = self._holdings.get(agent_id)
        if holding is not None:
            for task_id in list(holding.busy):
                self._ask_again(task_id)

    def watch_recovery(self, task: Task) -> None:
        """Something was heard of the task: if silence fails it, count anew."""
        if task.recover_due is not None:
            self._agenda.after("recover", task.id, RECOVER_TIMEOUT_S)

    def _begin(self, agent_id: str, holding: Holding) -> None:
        # What it asked for itself is over; an operator's drain is not.
        holding.draining = holding.drain is not None
        holding.asked = None
        self._agenda.cancel("probe", agent_id)
        holding.repeated.clear()
        holding.busy.clear()
        holding.unconfirmed = set(holding.held)
        for task_id in holding.held:
            self._agenda.cancel("hold", task_id)
            # The assignment may have been lost with the older line.
            self._agenda.cancel("accept", task_id)
        holding.unresponsive = holding.probing = False
        # A queued task that it had last may still be running there: it gets
        # the same chance to be named before it begins anew.
        holding.quiet = bool(holding.held or holding.lost)
        if holding.quiet:
            self._agenda.after("quiet", agent_id, QUIET_S)

    def _hold_over(self, task_id: str) -> None:
        task = self._ledger.live.get(task_id)
        if task is None or not task.status.held or task.agent_id in self._roster:
            return
        if task.terms.on_disconnect is OnDisconnect.FAIL:
            self._interventions.fail(task_id, AGENT_LOST)
        else:
            self._ledger.change(task_id, Requeue("hold_expired"))

    def _quiet_over(self, agent_id: str) -> None:
        holding = self._holdings.get(agent_id)
        if holding is None or agent_id not in self._roster:
            return
        holding.quiet = False
        for task_id in [i for i in holding.held if i in holding.unconfirmed]:
            if self._ledger.live[task_id].status is Status.ASSIGNED and holding.ignores(task_id):
                # Each comeback would begin its time to accept anew, for ever.
                self._agenda.after("accept", task_id, 0)
            else:
                self.send_again(task_id)
        holding.unconfirmed.clear()
        self._dispatch.offer(agent_id)

    def _ask_again(self, task_id: str) -> None:
        task = self._ledger.live.get(task_id)
        if task is None or task.agent_id is None or not task.status.held:
            return
        self._agenda.cancel("ask_again", task_id)
        holding = self._holdings.of(task.agent_id)
        if task_id in holding.busy:
            del holding.busy[task_id]
            self.send_again(task_id)

    def send_again(self, task_id: str) -> None:
        """Repeat an assignment to its agent, if it is here; a rejection means busy."""
        task = self._ledger.live[task_id]
        agent_id = task.agent_id or ""
        link = self._roster.get(agent_id)
        if link is None:
            return
        self._holdings.of(agent_id).repeated.add(task_id)
        if task.status is Status.ASSIGNED:
            self._agenda.after("accept", task_id, task.terms.accept_timeout_s)
        # Behind the commit: the assignment itself may not be on disk yet.
        self._ledger.answer(lambda: self._dispatch.send(task, link))

    def _recovery_over(self, task_id: str) -> None:
        task = self._ledger.live.get(task_id)
        if task is None or not task.status.held or task.recover_due is None:
            return
        self._interventions.fail(task_id, RECOVERY_TIMEOUT)

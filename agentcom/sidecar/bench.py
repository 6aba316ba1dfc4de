"""The attempts that an agent has in hand: on disk first, then at work.

Between the ``journal`` and the workshop: what begins is in the journal before,
what has ended stays there until the ``outbox`` is rid of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.sidecar.jobs import Feed, Frame, Job, Key, Send, Stage, Workshop
from agentcom.sidecar.journal import ACCEPTED, ENDED, Journal
from agentcom.sidecar.runner import Ears, Outcome

GONE = "nothing is left of task {task_id}: what the hub says of it is heeded, or it has failed"

Ended = Callable[[Job, Outcome], None]


class Bench:
    """All jobs but those whose end is only to be reported.

    :param ended: hears how a job ended that the hub wants to know of, after it
        has left the bench.
    :param freed: called whenever a job has left.
    """

    log = Logger()

    def __init__(
        self,
        journal: Journal,
        workshop: Workshop,
        clock: IReactorTime,
        ended: Ended,
        freed: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._workshop = workshop
        self._clock = clock
        self._ended = ended
        self._freed = freed
        self._jobs: dict[Key, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __contains__(self, key: Key) -> bool:
        return key in self._jobs

    def get(self, key: Key) -> Job | None:
        return self._jobs.get(key)

    @property
    def taken(self) -> int:
        """Slots that are taken."""
        return sum(job.takes_slot for job in self)

    @property
    def at_work(self) -> list[Key]:
        """What is being worked on, wanted or not."""
        return [job.key for job in self if job.work is not None]

    def take_up(self) -> list[Key]:
        """Go on with what an earlier process of this agent left.

        :return: those that have ended and are to be reported, oldest first.
        :raises JournalFailed: the journal cannot be read.
        """
        entries = self._journal.entries()
        left = [entry for entry in entries if entry.stage != ENDED]
        self._workshop.tidy([entry.key for entry in left])
        for entry in left:
            job = self._add(entry.key, entry.task, Stage.UNBEGUN)
            if entry.stage == ACCEPTED:
                continue
            job.work = self._workshop.adopt(entry.task, self._ears(job))
            job.stage = Stage.RUNNING if job.work else Stage.LOST
            job.adopted = True
            told = "task {task_id} is taken up again" if job.work else GONE
            self.log.info(told, task_id=job.key[0])
        return [entry.key for entry in entries if entry.stage == ENDED]

    def accept(self, key: Key, task: Frame) -> None:
        """Put an offered task on disk, and on the bench.

        :raises JournalFailed: it could not be written.
        """
        self._journal.accepted(key, task)
        self._add(key, task, Stage.OFFERED)

    def begin(self, job: Job, send: Send | None) -> None:
        """Work on a job.

        :raises JournalFailed: that could not be written.
        """
        self._journal.working(job.key)
        job.stage = Stage.RUNNING
        self.log.info("task {task_id} begins", task_id=job.key[0])
        job.feed.connect(send)
        job.work = self._workshop.start(job.task, self._ears(job))

    def abort(self, job: Job, why: str) -> None:
        """Nobody wants to know of it any more."""
        if job.work is None:
            self._journal.forget(job.key)
            self.remove(job)
        elif job.stage is not Stage.ABORTED:
            job.stage = Stage.ABORTED
            job.feed.connect(None)
            self.log.info("stopping task {task_id}: {why}", task_id=job.key[0], why=why)
            job.work.stop()

    def stop(self) -> None:
        """The agent stops: end what runs, which is still to be reported."""
        for job in self:
            if job.work is not None and job.stage is Stage.RUNNING:
                job.stage = Stage.STOPPED
                self.log.info("stopping task {task_id}: the agent stops", task_id=job.key[0])
                job.work.stop()

    def kill(self) -> None:
        """End what still runs without further patience."""
        for job in self:
            if job.work is not None:
                job.work.kill()

    def remove(self, job: Job) -> None:
        """It is done with, or its end is in the outbox."""
        del self._jobs[job.key]
        self._freed()

    def _add(self, key: Key, task: Frame, stage: Stage) -> Job:
        job = self._jobs[key] = Job(key, task, Feed(key, self._clock), stage)
        return job

    def _ears(self, job: Job) -> Ears:
        return Ears(job.feed.text, job.feed.note, lambda outcome: self._over(job, outcome))

    def _over(self, job: Job, outcome: Outcome) -> None:
        if job.stage is not Stage.ABORTED:
            self._ended(job, outcome)
            return
        job.feed.finish()
        self.log.info("task {task_id} is stopped", task_id=job.key[0])
        self._journal.forget(job.key)
        if job.work is not None:
            job.work.discard()
        self.remove(job)

"""What a run of the load generator counts: the one object that all its peers share.

A submission, which holds one task or a batch, is numbered; the number is written into the
descriptions of its tasks, so that whoever is assigned one can tell when it was sent without looking
anything up. A latency belongs to the window in which its submission was sent, however late it ends:
a server that stands still at the end is not flattered.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

# Fixed in width, so that a Content-Length never changes with the number.
NUMBER_WIDTH = 10
MARK = b"#" * NUMBER_WIDTH
MAX_SENT = 5_000_000
UNBOUNDED = MAX_SENT * 1000


class Tally:
    """Counters that always run, and latencies of what is sent within the measured window.

    `most_open` bounds the tasks that are under way, from their submission to the end of their
    lifecycle. `ended` is called when some of them have ended. Nobody submits unless `running`;
    lines that break are errors until `stopping`.
    """

    def __init__(self, most_open: int = UNBOUNDED) -> None:
        self.running = False
        self.stopping = False
        self.asked = 0
        self.answered = 0
        self.assigned = 0
        self.lifecycles = 0
        self.errors = 0
        self.examples: list[str] = []
        self.sent_at: list[float] = []
        self.late_s: list[float] = []
        self.answer_s: list[float] = []
        self.assign_s: list[float] = []
        self.lifecycle_s: list[float] = []
        self.ended: Callable[[], None] = lambda: None
        self._most_open = most_open
        self._first = self._last = UNBOUNDED

    def room(self, tasks: int) -> bool:
        """Whether so many tasks may be submitted now."""
        return self.running and self.asked - self.lifecycles + tasks <= self._most_open

    def number(self, tasks: int, due: float | None = None) -> int:
        """The number of a submission that is sent now, or was due to be."""
        number = len(self.sent_at)
        if number >= MAX_SENT and self.running:
            self.error(f"stopped after {MAX_SENT} submissions")
            self.running = False
        self.asked += tasks
        self.sent_at.append(perf_counter() if due is None else due)
        return number

    def window(self, is_open: bool) -> None:
        """Begin to keep latencies, or end it; each once."""
        if is_open:
            self._first = len(self.sent_at)
        else:
            self._last = len(self.sent_at)

    def within(self, number: int) -> bool:
        """Whether a submission belongs to the measured window."""
        return self._first <= number < self._last

    def keep(self, samples: list[float], number: int) -> None:
        """Add the time since a submission to some samples, if it was sent within the window."""
        if self.within(number):
            samples.append(perf_counter() - self.sent_at[number])

    def error(self, what: str) -> None:
        """Count an error, and keep the first few to show."""
        self.errors += 1
        if len(self.examples) < 5:
            self.examples.append(what[:300])

"""What somebody wants to have measured, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agentcom.bench.given import GivenHub
from agentcom.bench.servers import START_S


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run of the benchmark.

    Times are seconds. Where `connections` or `open` is `None` each load has its usual one.

    :ivar only: the targets, in order.
    :ivar loads: what is done to each of them.
    :ivar hub: URL of the hub that is measured in place of an own one.
    :ivar token: its admin's.
    :ivar given: the same hub, once it was reached.
    :ivar tasks: of history.
    :ivar limit: within which a storm must be over.
    :ivar settle: of rest, before memory is read.
    :ivar lines: connections of overload.
    :ivar times: agents that takeover kills.
    :ivar times_capacity: load of overload.
    :ivar wait_idle: for which each turn waits for a machine that does nothing else.
    """

    mode: str
    only: tuple[str, ...]
    loads: tuple[str, ...]
    rounds: int
    seconds: float
    warmup: float
    agents: int
    connections: int | None = None
    open: int | None = None
    batch_size: int = 100
    window: int = 200
    rate: float = 300.0
    tasks: int = 1_000_000
    limit: float = 60.0
    settle: float = 5.0
    lines: int = 400
    times: int = 20
    times_capacity: float = 10.0
    wait_idle: float = 0.0
    work_dir: Path | None = None
    hub: str | None = None
    token: str | None = field(default=None, repr=False)
    given: GivenHub | None = None

    @property
    def start_limit(self) -> float:
        """Seconds within which a server must be ready: to read what waits takes long."""
        return START_S + self.tasks / 10_000

    @property
    def name(self) -> str:
        """What the ids of all agents of the benchmark begin with."""
        return "bench" if self.given is None else self.given.name

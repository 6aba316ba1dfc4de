"""Small measuring tools for the benchmark: spreads of samples, CPU and memory of a process.

These and file systems are read from /proc; where that does not exist (no Linux) they are
unknown, and the report says so instead of guessing.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time, sleep

IDLE_FOR_S = 2.0
IDLE_SHARE = 0.15


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: a value that was really measured, never one between two."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Median, p99 and maximum of durations, in milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "p50": round(percentile(ordered, 0.50) * 1000, 3),
        "p99": round(percentile(ordered, 0.99) * 1000, 3),
        "max": round(ordered[-1] * 1000, 3),
    }


def threads(pid: int) -> list[Path]:
    """Where the system tells of each thread of a process; none, if it has ended."""
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """A process and those that it has started: a hub has one that writes its database.

    Of the one that measures only itself: what it has started is measured by its own number.
    """
    if pid == os.getpid():
        return [pid]
    found: list[int] = []
    for thread in threads(pid):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return [pid, *found]


def cpu_seconds(pid: int) -> float | None:
    """User and system time that a process, all its threads and its :func:`family` have used."""
    used = [_cpu_seconds(one) for one in family(pid)]
    return None if used[0] is None else sum(one for one in used if one is not None)


def _cpu_seconds(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses and may hold spaces: count from after it.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds() -> float | None:
    """Time that all processors together have worked, whoever for."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, *_ = (int(field) for field in line.split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Processors:
    """What is used of the machine from now on: by this process, by a server, by all others."""

    def __init__(self, server: int | None) -> None:
        self._server = server
        self._before = self._now()

    def used(self) -> tuple[float, float, float | None, float | None]:
        """Seconds: those that passed, then of processors: own, the server's, others'."""
        wall, own, server, all_ = (
            None if after is None or before is None else after - before
            for before, after in zip(self._before, self._now(), strict=True)
        )
        assert wall is not None and own is not None
        others = None if server is None or all_ is None else max(0.0, all_ - own - server)
        return wall, own, server, others

    def _now(self) -> tuple[float, float, float | None, float | None]:
        server = None if self._server is None else cpu_seconds(self._server)
        return perf_counter(), process_time(), server, machine_cpu_seconds()


class Shares:
    """What some processes, and all others together, use of the machine from now on.

    :param pids: by name; one that is `None` is unknown, and with it what others use.
    """

    def __init__(self, **pids: int | None) -> None:
        self._pids = pids
        self._before = self._now()

    def used(self) -> tuple[float, dict[str, float | None]]:
        """Seconds that passed; processors used meanwhile, by name, and `others`."""
        after = self._now()
        wall = after["wall"] - self._before["wall"]
        used = {name: value - self._before[name] for name, value in after.items()}
        shares = {
            name: round(used[name] / wall, 3) if name in used else None for name in self._pids
        }
        known = sum(used.get(name, 0.0) for name in self._pids)
        told = "all" in used and all(name in used for name in self._pids)
        others = round(max(0.0, used["all"] - known) / wall, 3) if told else None
        return wall, {**shares, "others": others}

    def _now(self) -> dict[str, float]:
        found = {
            name: None if pid is None else cpu_seconds(pid) for name, pid in self._pids.items()
        }
        found["all"] = machine_cpu_seconds()
        known = {name: value for name, value in found.items() if value is not None}
        return {**known, "wall": perf_counter()}


def wait_until_idle(limit: float) -> bool:
    """Wait until the machine does next to nothing for two seconds; whether it came to that."""
    end = perf_counter() + limit
    while perf_counter() < end:
        before = machine_cpu_seconds()
        sleep(IDLE_FOR_S)
        after = machine_cpu_seconds()
        if before is None or after is None or after - before < IDLE_SHARE * IDLE_FOR_S:
            return True
    return False


def resident_mib(pid: int | None) -> float | None:
    """Memory of a process and its :func:`family` that is in RAM now."""
    if pid is None:
        return None
    found = [_resident_mib(one) for one in family(pid)]
    return None if found[0] is None else round(sum(mib for mib in found if mib is not None), 1)


def _resident_mib(pid: int) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return kib[0] / 1024 if kib else None


def file_system(path: Path) -> str:
    """The type of the file system that holds a path, such as `ext4`, or `unknown`."""
    path = path.resolve()
    best, kind = -1, "unknown"
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        where, found = line.split()[1:3]
        if path.is_relative_to(where) and len(where) >= best:
            best, kind = len(where), found
    return kind


def raise_open_files() -> int:
    """Raise the soft limit on open files to the hard one, which is returned."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


SOFTNET = Path("/proc/net/softnet_stat")


class Drops:
    """What the kernel of this machine throws away from now on; who sent it waits and sends again.

    Not what a server does: a connection that finds the queue of its port full, and a packet, of
    loopback too, that finds the queue of its processor full (`net.core.netdev_max_backlog`), each
    cost a peer 200 ms or a second.
    """

    def __init__(self) -> None:
        self._before = self._now()

    def found(self) -> dict[str, int | None]:
        """`connections` and `packets` so far; `None` where the kernel does not tell."""
        return {
            name: None if after is None or before is None else after - before
            for (name, before), after in zip(
                self._before.items(), self._now().values(), strict=True
            )
        }

    def _now(self) -> dict[str, int | None]:
        return {"connections": listen_drops(), "packets": packet_drops(SOFTNET)}


def packet_drops(table: Path) -> int | None:
    """Packets that the machine dropped so far because too many waited for a processor."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1], 16) for line in lines)


def listen_drops() -> int | None:
    """Connections that the machine dropped so far because too many waited to be accepted."""
    try:
        lines = Path("/proc/net/netstat").read_text().splitlines()
    except OSError:
        return None
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    return int(dict(zip(names, values, strict=True)).get("ListenDrops", 0))

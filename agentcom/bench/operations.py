"""What each operation costs in a hub that has seen much, beside one that has seen next to nothing.

    python -m agentcom.bench.operations --tasks 1000000 --agents 10000

Two hubs run side by side: one with so many ended tasks, as many queued ones that fit nobody, and so
many idle agents; the other with a thousand of each and fifty agents, so that pages are as long.
The operations of `asked.py` take turns on them, round by round, one request after the other. What
counts is the processor time of the hub for one, less what it uses when nobody asks; the median of
the rounds.

The operations leave tasks behind, some hundreds in each round: nothing beside a million, and soon
many times what the small hub has. So that one begins anew after some rounds, from the same files,
and all operations are done on it a few times before the next round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from agentcom.bench import stalls
from agentcom.bench.asked import OPERATIONS, Operation
from agentcom.bench.helpers import Helper
from agentcom.bench.measure import family, percentile, raise_open_files
from agentcom.bench.programs import program, twistd
from agentcom.bench.servers import START_S, Server, ServerFailed, end_cleanly_on_sigterm
from agentcom.bench.sides import Refused, Side, pin, some_ids

FEW_TASKS, FEW_AGENTS = 1_000, 50
GOAL = 1.2
FILL_S = 600.0
CROWD_S = 120.0
HEAR_S = 180.0
STATUSES = ("completed", "queued")
IDS = 3_000
DATABASE = "agentcom.db"
TOKENS = "tokens.json"
IDLE = "a second without requests"
WARM = 5
ROUNDS_OF_ONE = 4
READ = 1 << 20
FORGOTTEN_S = 4.0
LOG = 16 << 20
PROCESSORS = os.sched_getaffinity(0)
LOOPBACK = "tcp:0:interface=127.0.0.1"


def hub(data: Path) -> list[str]:
    """The command for a hub."""
    # One agent sends all messages here, faster than one may.
    rate = ("--message-rate", "unlimited")
    return twistd("agentcom", "--listen", LOOPBACK, "--data-dir", str(data), *rate)


def filled(work: Path, name: str, tasks: int, agents: int) -> Path:
    """A data directory with so many tasks of each kind, and a token for each agent.

    One that is there already is taken as it is.
    """
    data = work / name
    if (data / TOKENS).exists():
        return data
    data.mkdir()
    with Server(hub(data), data / "server.log"):
        pass
    database = str(data / DATABASE)
    for command in (
        program("fill", database, "ended", str(tasks)),
        program("fill", database, "queued", str(tasks)),
        program("tokens", database, str(data / TOKENS), "crowd", str(agents)),
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=FILL_S, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"filling {name} failed:\n{done.stderr[-2000:]}")
    return data


@contextmanager
def opened(name: str, data: Path, tasks: int, agents: int) -> Iterator[Side]:
    """A hub on it, with its agents."""
    with ExitStack() as stack:
        pin(os.getpid(), PROCESSORS)
        with_log(data)
        ids = some_ids(data / DATABASE, STATUSES, IDS)
        limit = START_S + tasks / 10_000
        server = stack.enter_context(Server(hub(data), data / "server.log", limit))
        tokens = str(data / TOKENS)
        options = ["--url", server.url, "--tokens", tokens, "--limit", str(CROWD_S)]
        crowd = stack.enter_context(Helper("loads.crowd", *options))
        crowd.hear(HEAR_S)
        crowd.say(f"connect {agents}")
        told = crowd.hear(HEAR_S)
        if told["connected"] < agents:
            raise ServerFailed(f"only {told['connected']} of {agents} agents came: {told}")
        admin = (data / "admin.token").read_text().strip()
        side = Side(name, server.url, server.pid or 0, admin, ids)
        stack.callback(side.close)
        # To wake somebody on another processor costs some 40 us, on some days and not on others.
        for pid in (os.getpid(), *family(side.pid)):
            pin(pid, {min(PROCESSORS)})
        yield side


@contextmanager
def opened_anew(name: str, data: Path, tasks: int, agents: int) -> Iterator[Side]:
    """The same on a copy, which goes at the end."""
    copy = Path(tempfile.mkdtemp(prefix=f"{data.name}-", dir=data.parent))
    try:
        shutil.copytree(data, copy, dirs_exist_ok=True)
        with opened(name, copy, tasks, agents) as side:
            yield side
    finally:
        shutil.rmtree(copy)


def with_log(data: Path) -> None:
    """Have a stopped hub begin with a write-ahead log as large as it becomes.

    A file that grows costs the disk more than one that is written over, as that of a hub is that
    runs for long. SQLite takes zeros for no log and writes over them.
    """
    path = data / f"{DATABASE}-wal"
    if not path.exists():
        with open(path, "wb") as file:
            file.write(bytes(LOG))
            file.flush()
            os.fsync(file.fileno())


class InMemory:
    """Has the operating system know all of a file, as it does of one that is used for long.

    Some systems forget what was not used for seconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: float | None = None

    def see_to_it(self) -> None:
        """Read the file, if that was not done a moment ago."""
        if self._read_at is None or perf_counter() - self._read_at > FORGOTTEN_S:
            with open(self._path, "rb", buffering=0) as file:
                while file.read(READ):
                    pass
            self._read_at = perf_counter()


class Measured:
    """What was measured of one operation, by the names of the hubs."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.error: str | None = None
        self._used: dict[str, list[float]] = {}
        self._took: dict[str, list[float]] = {}

    def once(self, sides: list[Side], times: int) -> list[tuple[float, list[float]]]:
        """Do it so often on each hub: microseconds of one, and how long each took.

        :raises Refused: one of the hubs did not do it.
        """
        warm = max(1, int(WARM * self.operation.share))
        times = max(1, int(times * self.operation.share))
        found = []
        for side in sides:
            step = self.operation.ready(side, warm + times)
            # What runs after something else is slower.
            for number in range(warm):
                step(number)
            numbers = range(warm, warm + times)
            each, lasted = side.measure(step, numbers, self.operation.pause)
            if self.operation.rows is not None:
                each /= self.operation.rows(side)
            found.append((each * 1e6, lasted))
        return found

    def try_out(self, sides: list[Side]) -> None:
        """Do it a few times on each hub: what runs for the first time is slow."""
        with suppress(Refused):
            self.once(sides, WARM)

    def once_more(self, sides: list[Side], times: int) -> None:
        """Do it so often on each hub, as one round.

        A round in which one refuses it does not count: it may have too much to do for a moment.
        """
        try:
            found = self.once(sides, times)
        except Refused as e:
            self.error = str(e)
            return
        for side, (us, took) in zip(sides, found, strict=True):
            self._used.setdefault(side.name, []).append(us)
            self._took.setdefault(side.name, []).extend(took)

    def row(self) -> dict[str, Any]:
        """Its row of the table: the medians of the rounds, or why there was none."""
        if not self._used:
            return {"operation": self.operation.name, "error": self.error}
        us = {name: statistics.median(found) for name, found in self._used.items()}
        ms = {name: percentile(sorted(t), 0.5) * 1000 for name, t in self._took.items()}
        return row(self.operation.name, us, ms, self.operation.rows is not None)


def row(name: str, us: dict[str, float], ms: dict[str, float], per_row: bool) -> dict[str, Any]:
    """A row of the table, rounded."""
    return {
        "operation": name,
        "empty_us": round(us["empty"], 1),
        "full_us": round(us["full"], 1),
        "ratio": round(us["full"] / us["empty"], 2) if us["empty"] else None,
        "empty_p50_ms": round(ms["empty"], 2) if ms else None,
        "full_p50_ms": round(ms["full"], 2) if ms else None,
        "per_row": per_row,
    }


def compare(
    work: Path,
    tasks: int,
    agents: int,
    times: int = 25,
    rounds: int = 11,
    only: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure all operations on both hubs.

    :param work: where data directories are made.
    :param only: names of operations; all of them by default.
    :param times: of each operation in a round, on each hub.
    :param say: told each row of the table in the last round, as soon as it is complete.
    :returns: `rows`; `over`: the names of those over the goal; `stall_ms`: the longest turn of
        the full hub's event loop.
    """
    raise_open_files()
    rows = []
    stall: stalls.Stall | None = None
    with ExitStack() as stack:
        few = filled(work, "empty", min(tasks, FEW_TASKS), min(agents, FEW_AGENTS))
        many = filled(work, "full", tasks, agents)
        stack.callback(pin, os.getpid(), PROCESSORS)
        full = stack.enter_context(opened("full", many, tasks, agents))
        chosen = [Measured(o) for o in OPERATIONS if not only or o.name in only]
        known = InMemory(many / DATABASE)
        idle = {"full": full.rest() * 1e6}
        # All of them in each round: idle agents ping in waves that outlast a single operation.
        for first in range(1, rounds + 1, ROUNDS_OF_ONE):
            anew = opened_anew("empty", few, min(tasks, FEW_TASKS), min(agents, FEW_AGENTS))
            with anew as empty:
                if first == 1:
                    idle["empty"] = empty.rest() * 1e6
                    rows.append(row(IDLE, idle, {}, False))
                    say(line(rows[-1]))
                empty.idle = idle["empty"] / 1e6
                for one in chosen:
                    one.try_out([empty, full] if first == 1 else [empty])
                for number in range(first, min(first + ROUNDS_OF_ONE, rounds + 1)):
                    began = perf_counter()
                    for one in chosen:
                        known.see_to_it()
                        one.once_more([empty, full], times)
                        if number == rounds:
                            rows.append(one.row())
                            say(line(rows[-1]))
                    stall = stalls.longer(stall, full.stall(perf_counter() - began))
    # Who is idle pings: that much is not for nothing.
    over = [one["operation"] for one in rows[1:] if one.get("ratio") and one["ratio"] > GOAL]
    return {"rows": rows, "over": over, "stall_ms": stall}


def line(one: dict[str, Any]) -> str:
    """A row as it is printed."""
    if "error" in one:
        return f"{one['operation']:<26} {one['error']}"
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
    text = f"{one['operation']:<26}{one['empty_us']:>10.1f}{one['full_us']:>10.1f}{ratio:>7}"
    if one["empty_p50_ms"] is not None:
        text += f"{one['empty_p50_ms']:>9.2f}{one['full_p50_ms']:>9.2f}"
    return text + (" (a row)" if one["per_row"] else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a full hub with an empty one.")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="ended, and queued (1000000)")
    parser.add_argument("--agents", type=int, default=10_000, help="idle agents (10000)")
    parser.add_argument("--times", type=int, default=25, help="of each operation in a round (25)")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", action="append", default=[], help="an operation; repeatable")
    parser.add_argument("--work-dir", type=Path, help="a directory on a disk")
    parser.add_argument("--keep", type=Path, help="a directory for the databases, used again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    end_cleanly_on_sigterm()
    with ExitStack() as stack:
        work = options.keep
        if work is None:
            made = tempfile.TemporaryDirectory(prefix="agentcom-operations-", dir=options.work_dir)
            work = Path(stack.enter_context(made))
        found = compare(
            work,
            options.tasks,
            options.agents,
            options.times,
            options.rounds,
            tuple(options.only),
            lambda text: print(text, flush=True),
        )
    print(stalls.told(found["stall_ms"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    if found["over"]:
        sys.exit(f"over {GOAL}: {', '.join(found['over'])}")


if __name__ == "__main__":
    main()

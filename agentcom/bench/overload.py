"""One turn of `overload`: a hub is offered several times what it can take, for a while.

`flood.py` offers it, `holding.py` is agents that hold work, and health checks. First the capacity
is measured with the same mix of requests in a closed loop, and how long a lone push takes; then the
flood; then lone pushes tell when all is as before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

from agentcom.bench import stalls
from agentcom.bench.helpers import Helper
from agentcom.bench.measure import Shares, raise_open_files, resident_mib
from agentcom.bench.options import Options
from agentcom.bench.servers import Running
from agentcom.bench.targets import serving

READY_S = 60.0
LONE_S = 8.0
AFTER_S = 12.0
LOADED_S = 5.0
"""Seconds of lone pushes before and after, and in which the capacity is measured; less in a run
that is shorter."""

MORE_S = 60.0


class Memory:
    """What a process has in RAM, each second, while a block runs."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._end = Event()
        self.mib: list[float] = []
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.is_set():
            found = resident_mib(self._pid)
            if found is not None:
                self.mib.append(found)
            self._end.wait(1.0)


def turn(
    name: str, data: Path, loads: Sequence[str], options: Options
) -> dict[str, dict[str, Any]]:
    """Start the hub, flood it, end it; the report by mode."""
    raise_open_files()
    token = ["--admin-token-file", str(data / "admin.token")]
    lines = ["--lines", str(options.lines)]
    with (
        serving(name, data, options) as hub,
        Helper("loads.holding", "--url", hub.url, *token) as holding,
        Helper("loads.flood", "--url", hub.url, *token, *lines) as flooding,
    ):
        holding.hear(READY_S)
        flooding.hear(READY_S)
        found = overload(hub, holding, flooding, options)
    return {loads[0]: judged(found)}


def overload(hub: Running, holding: Helper, flooding: Helper, options: Options) -> dict[str, Any]:
    """The flood, and what comes before and after it."""

    def ask(command: str, seconds: float) -> dict[str, Any]:
        shares = Shares(server=hub.pid, flood=flooding.pid, holding=holding.pid)
        flooding.say(command)
        told = flooding.hear(seconds + MORE_S)
        return {**told, "cpu": shares.used()[1]}

    ask(f"capacity {options.warmup}", options.warmup)
    lone_s, after_s = min(LONE_S, options.seconds), min(AFTER_S, 2 * options.seconds)
    before = ask(f"lone {lone_s}", lone_s)
    loaded_s = min(LOADED_S, options.seconds)
    capacity = ask(f"capacity {loaded_s}", loaded_s)
    resident = resident_mib(hub.pid)
    rate = capacity["per_s"] * options.times_capacity
    holding.say("open")
    with Memory(hub.pid) as memory:
        flood = ask(f"flood {rate} {options.seconds}", options.seconds)
        holding.say("close")
        stall = stalls.ask(hub.metrics, options.seconds)
        after = ask(f"lone {after_s}", after_s)
    time.sleep(1.0)
    held = holding.last_words()
    return {
        "stall_ms": stall,
        "capacity": capacity,
        "before": before,
        "rate": round(rate),
        "flood": flood,
        "after": after,
        "held": held,
        "cpu": flood["cpu"],
        "resident_mib": {
            "before": resident,
            "most": max(memory.mib),
            "after": memory.mib[-1],
            "each_second": memory.mib,
        },
    }


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """The report, with what went wrong: much may be refused, but nothing may be lost."""
    flood, held = report["flood"], report["held"]
    statuses = flood["statuses"]
    good = sum(n for status, n in statuses.items() if status[0] == "2")
    shed = statuses.get("429", 0) + statuses.get("503", 0)
    wrong = sum(statuses.values()) - good - shed + flood["lost"] + flood["without_retry_after"]
    wrong += held["errors"] + held["health"]["errors"] + flood["agents"]["errors"]
    problems = [
        *flood["examples"],
        *held["examples"],
        *held["health"]["examples"],
        *flood["agents"]["examples"],
    ]
    seconds = flood["seconds"]
    return {
        **report,
        "good_per_s": round(good / seconds, 1),
        "refused_per_s": round(shed / seconds, 1),
        "of_capacity": round(good / seconds / report["capacity"]["per_s"], 3),
        "errors": wrong,
        "unfinished": flood["unanswered"] + held["health"]["unanswered"],
        "error_examples": problems,
    }


def said(report: dict[str, Any]) -> str:
    """A turn in a few words."""
    back = report["after"]["back_s"]
    back = "more" if back is None else f"{back:.1f}"
    return (
        f"{report['rate']}/s offered, {report['good_per_s']:.0f}/s taken, "
        f"{report['refused_per_s']:.0f}/s refused, back after {back} s"
    )

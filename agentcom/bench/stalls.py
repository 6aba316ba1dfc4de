"""The longest stall of a server: the longest turn of its event loop while it was measured.

The hub tells it in its metrics, for the last 5, 15 and 60 seconds; the other servers of the
benchmark tell the same on a port of their own (`stacks/turns.py`). It is asked for at the end of
the measured time, so the window that is read begins with it or a little before.
"""

from __future__ import annotations

import re
import urllib.request

METRIC = "agentcom_event_loop_turn_max_seconds"
WINDOWS_S = (5, 15, 60)
ASK_S = 5.0

_LINE = re.compile(rf"^{METRIC}\{{([^}}]*)\}} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="(\w+)"')

Stall = dict[str, float]
"""`wall` and `cpu` of the longest turn, in milliseconds, and the seconds that were looked back:
the most that one had a processor; what is missing to `wall` it was waiting for one."""


def stall(text: str, seconds: float) -> Stall | None:
    """What some metrics tell of the last so many seconds, `None` where they do not.

    :param seconds: that were measured; the shortest window that holds them is taken.
    """
    window = next((one for one in WINDOWS_S if one >= seconds), None)
    found: Stall = {}
    for labels, value in _LINE.findall(text):
        told = dict(_LABEL.findall(labels))
        if window is not None and told.get("window") == str(window):
            found[told.get("time", "")] = round(float(value) * 1000, 1)
    if not found.keys() >= {"wall", "cpu"}:
        return None
    return {"wall": found["wall"], "cpu": found["cpu"], "window_s": float(window or 0)}


def longer(one: Stall | None, other: Stall | None) -> Stall | None:
    """The longer one of two, by the wall; the other one where one is not known."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda found: found["wall"])


def told(found: Stall | None) -> str:
    """How it is said below a table."""
    if found is None:
        return "Longest turn of the event loop: not known"
    if not found["wall"]:
        return "Longest turn of the event loop: under 5 ms"
    return f"Longest turn of the event loop: {found['wall']} ms ({found['cpu']} of a processor)"


def ask(url: str, seconds: float) -> Stall | None:
    """Ask a server; `None` where it does not tell, or nothing is known of its address."""
    if not url:
        return None
    try:
        with urllib.request.urlopen(url, timeout=ASK_S) as answer:
            return stall(answer.read().decode("utf-8", "replace"), seconds)
    except (OSError, ValueError):
        return None

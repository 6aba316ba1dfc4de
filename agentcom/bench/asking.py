"""From what somebody asks for to what is measured: defaults of a mode, and what does not fit."""

from __future__ import annotations

from typing import Any

from agentcom.bench.options import Options
from agentcom.bench.rates import turn
from agentcom.bench.shapes import SHAPES
from agentcom.bench.targets import GIVEN, TARGETS

BESIDE = ("spine", "hub-empty", GIVEN)
"""What is compared in `history` with a hub that was given."""


BY_LOAD = [mode for mode, shape in SHAPES.items() if shape.turn is turn]
"""Modes whose load is `loads/load.py`, which can be measured alone."""


class Unfit(ValueError):
    """What was asked for cannot be measured; the text says why, and what can be."""


def asked(mode: str, **wanted: Any) -> Options:
    """The run that somebody asks for; what is `None` is the mode's usual.

    :raises Unfit: it does not fit the mode.
    """
    shape = SHAPES[mode]
    hub = wanted.get("hub")
    known = {name: value for name, value in wanted.items() if value is not None}
    usual = BESIDE if hub and mode == "history" else shape.targets
    only = tuple(known.pop("only", None) or usual)
    every = tuple(name for name in (*shape.loads, shape.once) if name)
    loads = tuple(known.pop("loads", None) or every)
    if known.pop("self_test", False):
        if shape.turn is not turn:
            raise Unfit(
                f"--self-test is of {', '.join(BY_LOAD)}: {mode} has a generator of its own"
            )
        loads = tuple(load for load in loads if load in shape.loads)
    if hub and shape.alone:
        raise Unfit(f"{mode} cannot be done to somebody's hub: {shape.alone}; leave --hub away")
    fit = [name for name in TARGETS if name in shape.fit]
    for name in only:
        if name not in fit:
            raise Unfit(f"{mode} does not measure {name}, but {', '.join(fit)}")
        if hub and TARGETS[name].past:
            raise Unfit(f"{name} is filled before, and {hub} is not: leave --hub or {name} away")
    if hub and GIVEN not in only:
        raise Unfit(f"--hub names what is measured as {GIVEN}, and that is not among --only")
    for load in loads:
        if load not in every:
            raise Unfit(f"{mode} has no load {load}, but {', '.join(every)}")
    defaults = {
        "rounds": shape.rounds,
        "seconds": shape.seconds,
        "warmup": 1.0,
        "agents": shape.agents,
    }
    return Options(mode=mode, only=only, loads=loads, **{**defaults, **known})

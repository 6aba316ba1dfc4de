"""Structured things of the wire in words: what a task asks for, what an agent is.

What has an unknown form is shown as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def needs(capabilities: object, labels: object) -> str:
    """What a task asks of its agent: ``gpu, os=linux, !slow``."""
    wanted = [_text(name) for name in capabilities] if isinstance(capabilities, list) else []
    return ", ".join([*wanted, *_labels(labels)])


def agent(info: Mapping[str, Any]) -> str:
    """An AgentInfo beside its id."""
    told = []
    if info.get("name") not in (None, "", info.get("agent_id")):
        told.append(_text(info["name"]))
    if info.get("status"):
        told.append(_text(info["status"]))
    if info.get("slots") is not None:
        told.append(f"{_text(info['slots'])} slot{'' if info['slots'] == 1 else 's'}")
    if info.get("capabilities"):
        told.append(f"can {needs(info['capabilities'], None)}")
    if info.get("labels"):
        told.append(f"labels {needs(None, info['labels'])}")
    return ", ".join(told)


def backoff(found: Mapping[str, Any]) -> str:
    """The pauses between attempts."""
    first, factor, most = (_text(found.get(key)) for key in ("initial_s", "factor", "max_s"))
    return f"{first}s, each {factor} times the last, at most {most}s"


def _labels(labels: object) -> Iterable[str]:
    if isinstance(labels, list):
        return [_rule(rule) if isinstance(rule, dict) else _text(rule) for rule in labels]
    if not isinstance(labels, dict):
        return []
    told = []
    for key, wanted in labels.items():
        tests = wanted.items() if isinstance(wanted, dict) else [("=", wanted)]
        told += [_test(key, op, value) for op, value in tests]
    return told


def _rule(rule: Mapping[str, Any]) -> str:
    """A rule as events have it."""
    op, values = rule.get("op"), rule.get("values")
    if op in ("exists", "absent"):
        return _test(rule.get("key"), "exists", op == "exists")
    if isinstance(values, list) and values:
        return _test(rule.get("key"), str(op), values if op == "in" else values[0])
    return _text(rule)


def _test(key: object, op: str, value: object) -> str:
    if op == "exists" and isinstance(value, bool):
        return f"{key}" if value else f"!{key}"
    if op == "in" and isinstance(value, list):
        return f"{key} in {','.join(map(_text, value))}"
    return f"{key}{op}{_text(value)}" if op in ("=", "!=") else f"{key} {op} {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""Tests of an agent's labels, from how people write them to how the hub reads them."""

from __future__ import annotations

import re

import click

from agentcom.cli.values import utf8

EXAMPLES = "os=linux, os!=linux, 'os in linux,mac', gpu (it has one) or '!gpu' (it has none)"

_TEST = re.compile(
    r"(?P<absent>!)?(?P<key>[^\s=!<>~,()]+)"
    r"(?:\s*(?P<op>!=|=)(?P<value>(?!=).*)|\s+in\s+(?P<among>.+))?",
    re.DOTALL,
)


def label_tests(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, object] | None:
    """The ``labels`` of ``agentcom.wire.tasks``; several tests of one label become one."""
    tests: dict[str, dict[str, object]] = {}
    for text in given:
        utf8(ctx, param, text)
        key, name, value = _test(text, ctx, param)
        of_key = tests.setdefault(key, {})
        if of_key.setdefault(name, value) != value:
            raise click.BadParameter(_twice(key, name), ctx, param)
    plain = {key: found["="] if list(found) == ["="] else found for key, found in tests.items()}
    return plain or None


def _test(text: str, ctx: click.Context, param: click.Parameter) -> tuple[str, str, object]:
    found = _TEST.fullmatch(text.strip())
    if found is None or (found["absent"] and (found["op"] or found["among"])):
        raise click.BadParameter(f"{text!r} is no test of a label like {EXAMPLES}", ctx, param)
    if found["op"]:
        return found["key"], found["op"], found["value"].strip()
    if found["among"]:
        values = [value.strip() for value in found["among"].split(",")]
        if not all(values):
            raise click.BadParameter(f"{text!r} has nothing beside a comma", ctx, param)
        return found["key"], "in", values
    return found["key"], "exists", not found["absent"]


def _twice(key: str, name: str) -> str:
    if name == "exists":
        return f"no agent can have the label {key!r} and not have it"
    if name == "=":
        return f"the label {key!r} cannot have two values; '{key} in A,B' takes either"
    return f"only one test with {name!r} can be asked of the label {key!r}"

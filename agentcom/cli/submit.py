"""``agentcom submit``: a task for the queue, or a file of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from agentcom.cli.asked import body, counts_from_now, task_options
from agentcom.cli.runtime import run_with_hub
from agentcom.cli.settings import hub_options
from agentcom.cli.shown import hand_over
from agentcom.cli.values import Seconds, utf8

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import Queued


@click.command()
@click.argument("text", required=False, callback=utf8)
@task_options
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 unless it completes.")
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="TIME",
    help="With --wait: give up waiting after it, like 2h; the task goes on.",
)
@click.option(
    "--batch",
    type=click.File("rb"),
    metavar="FILE",
    help="Many tasks: a JSON object in each line, with the fields of POST /api/tasks.  "
    "`-` reads standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Show the hub's answers, or the ended task.")
@hub_options
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    text: str | None,
    wait: bool,
    timeout: float | None,
    batch: IO[bytes] | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Put a task into the queue, for the first agent that may have it.

    It is kept until an agent is there, tried again when it fails, and a dead
    letter when it has failed too often.  `agentcom explain` says why it waits.

    With --batch the other options are for every line that does not say
    otherwise, and with --idempotency-key K each gets the key K:LINE unless it
    has its own, so that the same file can be sent again without harm.  The
    ids are printed in the order of the lines.

    \b
    Example:
      agentcom submit 'Review the branch main' --capability python --wait
      agentcom submit nightly --label os=linux --label '!slow' --not-before 8h
      agentcom submit --batch tasks.jsonl --priority low --idempotency-key monday
    """
    if batch is None and text is None:
        raise click.UsageError("Missing argument 'TEXT' (or --batch FILE)", ctx)
    if batch is not None and (text is not None or wait):
        raise click.UsageError("--batch goes with neither TEXT nor --wait", ctx)
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait", ctx)
    if asked["idempotency_key"] is not None and counts_from_now(asked):
        raise click.UsageError(
            "a time like 10m counts from now, so the same --idempotency-key would mean another "
            "task the next time; give the time itself",
            ctx,
        )

    def told(queued: Queued) -> str:
        return f"{queued['task_id']} {queued['status']} with priority {queued['priority']}"

    async def send(hub: HubClient) -> Queued:
        from agentcom.client.errors import HubUnreachable

        try:
            return await hub.submit({"description": text, **body(asked, hub.clock.seconds())})
        except HubUnreachable as e:
            if not e.may_have_arrived:
                raise
            raise click.ClickException(
                f"{e}; it may have been submitted all the same, `agentcom tasks` tells "
                "(with --idempotency-key it can be submitted again without harm)"
            ) from None

    if batch is not None:
        _submit_many(ctx, batch, asked, as_json)

    async def run(hub: HubClient) -> int:
        return await hand_over(hub, send, told, wait, timeout, as_json)

    run_with_hub(ctx, run, "stopped; what was submitted goes on")


def _submit_many(
    ctx: click.Context, file: IO[bytes], asked: Mapping[str, Any], as_json: bool
) -> NoReturn:
    from agentcom.cli.batch import Lines, Sender

    sender: Sender | None = None

    async def run(hub: HubClient) -> int:
        nonlocal sender
        sender = Sender(Lines(file, body(asked, hub.clock.seconds())), as_json)
        return await sender.run(hub)

    run_with_hub(ctx, run, lambda: f"stopped; {sender.so_far() if sender else 'nothing happened'}")

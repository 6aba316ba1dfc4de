"""Take the screenshots of docs/screenshots from a real hub under a lively demo load.

    .venv/bin/python tools/screenshots.py [--chromium PATH] [--out DIR] [--seconds N]

It starts a hub in a temporary directory, lets a dozen agents work on tasks for a
while, opens the dashboard in Chromium and ends all that it has started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"AgentCom is ready: listening on (\S+) ")

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

TEXT = ("tasks",)

AGENTS: list[tuple[str, list[str], dict[str, str], int]] = [
    ("review-1", ["review", "python"], {"zone": "eu", "model": "large"}, 2),
    ("review-2", ["review", "python"], {"zone": "us", "model": "large"}, 2),
    ("build-1", ["build", "docker"], {"zone": "eu"}, 4),
    ("build-2", ["build", "docker"], {"zone": "eu"}, 4),
    ("build-3", ["build", "docker", "gpu"], {"zone": "us", "gpu": "a100"}, 4),
    ("docs-1", ["write"], {"zone": "eu"}, 1),
    ("research-1", ["search", "write"], {"zone": "us", "model": "large"}, 3),
    ("triage", ["triage"], {"zone": "eu"}, 2),
]

WORK = [
    ("review", "Review pull request #{n}: retry what the proxy refused"),
    ("review", "Find out why test_lease_expiry fails one time in {m}"),
    ("build", "Build and push image worker:{n}"),
    ("build", "Run the integration tests of branch fix-{n} on Python 3.13"),
    ("write", "Write the release notes of 2.{m}"),
    ("search", "Which of the {m} open incidents have the same cause?"),
    ("triage", "Sort new issue #{n}"),
]

ERRORS = [
    "the registry refused the push: 503",
    "no such branch: fix-4711",
    "pytest ended with 1: 3 failed, 812 passed",
]

LINES = [
    "collecting the changes of the last 24 h",
    "checking out origin/main",
    "tests/unit ............................ 812 passed",
    "ruff: all checks passed",
    "looking at agentcom/hub/dispatch.py",
    "layer 7 of 11 is cached",
    "pushing the result",
]


class Hub:
    """A hub of its own, and what can be asked of it."""

    def __init__(self, place: Path) -> None:
        log = place / "hub.log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("twistd"),
                    *("-n", "--pidfile=", "agentcom", "--data-dir", place / "data"),
                    *("--listen", "tcp:0:interface=127.0.0.1"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=ROOT,
            )
        end = time.monotonic() + 20
        while not (found := READY.search(log.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the hub did not start:\n" + log.read_text())
            time.sleep(0.05)
        self.url = found[1]
        self.token = (place / "data" / "admin.token").read_text().strip()

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """One answer of the API."""
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {token or self.token}"}
        request = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(20)


class Fleet(threading.Thread):
    """Agents that work on whatever they are given, each in its own time."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(daemon=True)
        self.tokens: dict[str, str] = {
            name: hub.ask("POST", "/admin/tokens", {"agent_id": name})["token"]
            for name, *_ in AGENTS
        }
        self._url = hub.url.replace("http", "ws", 1) + "/ws"

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._agent(*one) for one in AGENTS))

    async def _agent(self, name: str, can: list[str], labels: dict[str, str], slots: int) -> None:
        async with connect(self._url) as line:

            async def tell(**frame: object) -> None:
                with suppress(ConnectionClosed):
                    await line.send(json.dumps(frame))

            await tell(
                type="identify",
                agent_id=name,
                token=self.tokens[name],
                capabilities=can,
                labels=labels,
                slots=slots,
                status=f"ready for {can[0]}",
            )
            running: dict[str, asyncio.Task[None]] = {}
            with suppress(ConnectionClosed):
                async for text in line:
                    frame = json.loads(text)
                    if frame["type"] == "task_assign":
                        running[frame["task_id"]] = asyncio.create_task(work(frame, tell))
                    elif frame["type"] == "task_cancelled" and frame["task_id"] in running:
                        running.pop(frame["task_id"]).cancel()


async def work(task: dict[str, Any], tell: Any) -> None:
    """One attempt: progress, output, an end."""
    about = {"task_id": task["task_id"], "generation": task["generation"]}
    meta = task["metadata"]
    await asyncio.sleep(random.uniform(0.01, 0.2))
    await tell(type="task_accepted", **about)
    steps = meta.get("steps", 5)
    for step in range(steps):
        await asyncio.sleep(meta.get("seconds", 3) / steps * random.uniform(0.6, 1.4))
        line = LINES[step % len(LINES)]
        await tell(
            type="task_progress",
            progress=(step + 1) / (steps + 1),
            message=line.split(" .")[0],
            output=f"[{step + 1:02}/{steps}] {line}\n",
            **about,
        )
    if "error" in meta:
        await tell(type="task_failed", error=meta["error"], retryable=False, **about)
    else:
        result = {"summary": "done", "checked": steps, "confidence": 0.93}
        await tell(type="task_complete", result=result, tokens_used=steps * 1311, **about)


def fill(hub: Hub, fleet: Fleet, seconds: float) -> str:
    """A while of work; gives the id of a task that goes on."""
    dice = random.Random(7)

    def submit(**fields: Any) -> str:
        return str(hub.ask("POST", "/api/tasks", fields)["task_id"])

    for error, times in zip(ERRORS, (3, 1, 2), strict=True):
        for n in range(times):
            submit(
                description=f"Build and push image worker:{640 + n}",
                needed_capabilities=["build"],
                metadata={"seconds": 0.5, "steps": 2, "error": error},
            )
    submit(description="Train the ranking model on the March data", capabilities=["gpu", "train"])
    hub.ask("POST", "/api/agents/build-2/drain", {"note": "new kernel"})
    talk(hub, fleet)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        needs, words = dice.choice(WORK)
        submit(
            description=words.format(n=dice.randint(400, 900), m=dice.randint(6, 40)),
            needed_capabilities=[needs],
            priority=dice.choice(["urgent", "high", "normal", "normal", "normal", "low"]),
            metadata={"seconds": dice.uniform(0.5, 6), "steps": dice.randint(2, 7)},
        )
        time.sleep(dice.expovariate(3.0))
    return submit(
        description="Review pull request #731: hold a task for an agent that went away\n\n"
        "Look at the hold timer above all, and at what a restart of the hub does to it.",
        needed_capabilities=["review"],
        priority="urgent",
        metadata={"seconds": 45, "steps": 30, "branch": "hold-timer", "files": 12},
    )


def talk(hub: Hub, fleet: Fleet) -> None:
    """Some messages, a thread and a channel."""
    hub.ask("POST", "/api/channels", {"name": "builds", "description": "what was built"})
    first = hub.ask(
        "POST",
        "/api/message",
        {"to": "review-2", "payload": {"text": "Can you look at hub/dispatch.py in #731?"}},
        fleet.tokens["review-1"],
    )["id"]
    for name, to, text, reply in (
        (
            "review-2",
            "review-1",
            "Yes: the offer is made twice when the agent is back early.",
            first,
        ),
        ("triage", "broadcast", "Issue #802 is the same as #731.", None),
    ):
        body = {"to": to, "payload": {"text": text}, "reply_to": reply}
        hub.ask("POST", "/api/message", body, fleet.tokens[name])
    for text in ("worker:640 is pushed", "main is green"):
        body = {"payload": {"text": text}, "type": "build"}
        hub.ask("POST", "/api/channels/builds/publish", body, fleet.tokens["build-1"])


def shoot(browser: Browser, hub: Hub, task_id: str, out: Path) -> None:
    """Every view, on a desk, in the dark and on a phone."""
    views = {
        "overview": "?span=300",
        "tasks": "tasks",
        "task": f"tasks/{task_id}",
        "agents": "agents",
        "agent": "agents/review-1",
        "dead-letters": "dead-letters",
        "messages": "messages",
    }
    shots = [("", DESKTOP, "light", list(views))]
    shots += [("-dark", DESKTOP, "dark", ["overview", "task"])]
    shots += [("-phone", PHONE, "light", ["overview", "tasks", "task"])]
    for suffix, size, scheme, names in shots:
        context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        sign_in(page, hub)
        for name in names:
            page.goto(f"{hub.url}/#/{views[name]}")
            page.wait_for_selector(".view:not([aria-busy])")
            page.wait_for_timeout(1500)
            # Pages of mere text are large as pictures, and say no more in their lower half.
            height = min(size["height"], 560) if name in TEXT and not suffix else size["height"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": height}
            page.screenshot(path=out / f"{name}{suffix}.png", clip=clip)  # type: ignore[arg-type]
        if not suffix:
            page.evaluate("document.querySelector('.who button').click()")
            page.wait_for_selector("dialog.sign-in")
            page.screenshot(path=out / "sign-in.png")
        context.close()


def sign_in(page: Page, hub: Hub) -> None:
    """As a person does it."""
    page.goto(hub.url)
    page.fill("#token", hub.token)
    page.keyboard.press("Enter")
    page.wait_for_selector(".live[data-state=on]")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--chromium", default=CHROMIUM, help="the browser")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    options.add_argument("--seconds", type=float, default=120, help="of work before them")
    given = options.parse_args()
    place = Path(tempfile.mkdtemp(prefix="agentcom-screenshots-"))
    hub = Hub(place)
    try:
        fleet = Fleet(hub)
        fleet.start()
        task_id = fill(hub, fleet, given.seconds)
        given.out.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=FLAGS)
            shoot(browser, hub, task_id, given.out)
            browser.close()
    finally:
        hub.end()
        shutil.rmtree(place)


if __name__ == "__main__":
    main()

"""A real Chromium before a real hub, for tests that look at the dashboard as people do.

A :class:`Sight` is one page and all that went wrong there: errors of the console,
what the Content-Security-Policy forbade, and requests to anybody but the hub.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.integration.agents import AgentTestCase
from tests.integration.processes import HubProcess

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESK = {"width": 1280, "height": 800}
NARROW = {"width": 360, "height": 740}

WATCH = """
window.forbidden = [];
document.addEventListener("securitypolicyviolation", (e) =>
  window.forbidden.push(e.violatedDirective + " " + e.blockedURI));
"""


def chromium() -> str | None:
    """Where the browser is; ``AGENTCOM_CHROMIUM`` goes first."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("AGENTCOM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def missing() -> str | None:
    """What is not there that these tests need."""
    if find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    if chromium() is None:
        return "no Chromium: install one, or name it in AGENTCOM_CHROMIUM"
    return None


class Sight:
    """One page in a browser of its own profile.

    :ivar asked: path of each request to the hub, in order.
    :ivar wrong: what must not have happened.
    """

    def __init__(self, browser: Any, hub: HubProcess, size: dict[str, int]) -> None:
        self.hub = hub
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self._allowed: list[str] = []
        self.context = browser.new_context(viewport=size)
        self.context.add_init_script(WATCH)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        self.page.on("dialog", lambda dialog: self._dialog(dialog))
        self.page.on("request", self._requested)

    def allow(self, *words: str) -> None:
        """Expect console errors with these words: refusals that the test provokes."""
        self._allowed += words

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            text = f"{message.text} {message.location.get('url', '')}"
            if not any(word in text for word in self._allowed):
                self.wrong.append(f"{message.type}: {text}")

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"a script of somebody else's ran: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Any) -> None:
        url = urlsplit(request.url)
        if f"{url.scheme}://{url.netloc}" != self.hub.url:
            self.wrong.append(f"asked somebody else: {request.url}")
        self.asked.append(f"{request.method} {url.path}" + (f"?{url.query}" if url.query else ""))

    def go(self, place: str) -> None:
        """To a view, and wait until it shows something."""
        self.page.goto(f"{self.hub.url}/#/{place}")
        self.page.wait_for_selector(".view:not([aria-busy])")

    def sign_in(self, token: str) -> None:
        """With the keyboard alone: the field has the focus already."""
        self.page.wait_for_selector("dialog.sign-in #token:focus")
        self.page.keyboard.type(token)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("dialog.sign-in", state="detached")
        self.page.wait_for_selector("#live[data-state=on]")

    def see(self, selector: str, text: str | None = None) -> Any:
        """Wait until an element is shown, with this text in it."""
        found = self.page.locator(selector)
        if text is not None:
            found = found.filter(has_text=text)
        found.first.wait_for(state="visible")
        return found.first

    def click(self, text: str, within: str = "body") -> None:
        """Press a button by its name."""
        self.page.locator(within).get_by_role("button", name=text, exact=True).click()

    def answer(self, words: str = "") -> None:
        """Say yes to the question that is asked, with these words."""
        self.page.wait_for_selector("dialog[open] input:focus")
        self.page.keyboard.type(words)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("dialog[open]", state="detached")

    def forbidden(self) -> list[str]:
        """What the policy has kept this page from."""
        found: list[str] = self.page.evaluate("window.forbidden")
        return found

    def wide(self) -> str:
        """What sticks out at the right of a page that should not scroll there."""
        found: str = self.page.evaluate(
            """() => {
                const wide = document.documentElement.clientWidth;
                if (document.documentElement.scrollWidth <= wide) return "";
                const out = [...document.querySelectorAll("body *")].filter(
                    (e) => e.getBoundingClientRect().right > wide + 1 && e.checkVisibility());
                const names = out.slice(0, 5).map((e) => e.tagName + "." + e.className);
                return names.join(" ") || "body";
            }"""
        )
        return found


class BrowserTestCase(AgentTestCase):
    """Starts a browser for each test that looks, and sees that nothing went wrong in it."""

    timeout = 180
    skip: ClassVar[str | None] = missing()  # type: ignore[misc]

    def look(
        self, hub: HubProcess, token: str | None = None, size: dict[str, int] | None = None
    ) -> Sight:
        """A page, signed in with the hub's admin token unless told otherwise; "" for not."""
        if not hasattr(self, "_browser"):
            from playwright.sync_api import sync_playwright

            playwright = sync_playwright().start()
            # Its event loop would be found by whatever test comes next.
            self.addCleanup(playwright.stop)
            self._browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            self.addCleanup(self._browser.close)
        sight = Sight(self._browser, hub, size or DESK)
        # That nobody is signed in yet is said by a 401.
        sight.allow("/api/session")
        sight.page.goto(hub.url)
        if token != "":
            sight.sign_in(token or hub.admin_token)
            sight.page.wait_for_selector(".view:not([aria-busy])")
        return sight

    def assert_well(self, sight: Sight) -> None:
        """No error, nothing forbidden, nobody else asked."""
        self.assertEqual(sight.wrong, [])
        self.assertEqual(sight.forbidden(), [])

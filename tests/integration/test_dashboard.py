"""The dashboard as people use it: a real Chromium, a real hub, real agents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.integration.agents import AgentProcess
from tests.integration.browser import NARROW, BrowserTestCase, Sight
from tests.integration.processes import HubProcess, until

EVIL = "<img src=x onerror=alert(1)>"

# Takes its time, so that a person sees it at work; goes on when the file is there.
# It outlives its agent, as commands do: so it has an end of its own, too.
COMMAND = """
left=1200
echo 'agentcom:progress 40 half of it'
echo 'looking at the tests'
echo '<img src=x onerror=alert(2)>'
while [ ! -e {go} ] && [ $left -gt 0 ]; do left=$((left - 1)); sleep 0.05; done
echo 'all of it'
case "$AGENTCOM_DESCRIPTION" in *fail*) exit 3;; esac
"""

VIEWS = ("", "tasks", "agents", "agents/bot", "messages", "channels", "dead-letters", "new")


class DashboardTests(BrowserTestCase):
    def bot(self, hub: HubProcess, agent_id: str = "bot") -> tuple[AgentProcess, Path]:
        """A sidecar that works on one task at a time, and the file that lets it end."""
        go = self.work / f"{agent_id}.go"
        self.addCleanup(go.touch)
        command = COMMAND.format(go=go)
        script = self.work / f"{agent_id}.sh"
        script.write_text(f"read -r AGENTCOM_DESCRIPTION\n{command}")
        agent = self.agent_process(
            sys.executable,
            *("-m", "agentcom.cli", "agent", "--agent-id", agent_id),
            *("--exec", f"sh {script}", "--state-dir", str(self.work / f"{agent_id}-state")),
            **self.local(hub),
        )
        return agent, go

    def connected(self, hub: HubProcess, agent_id: str = "bot") -> None:
        http = self.http(hub)
        until(
            lambda: agent_id in [a["agent_id"] for a in http.ok("GET", "/api/agents")["agents"]],
            f"connected: {agent_id}",
        )

    def status(self, sight: Sight, word: str) -> None:
        sight.see(".lead .badge", word)

    def test_work(self) -> None:
        """Signed in by keyboard, one sees a pushed task run to its end, cancels one, and
        retries one that failed; the token is nowhere but in the hub."""
        hub = self.hub()
        http = self.http(hub)
        _, go = self.bot(hub)
        self.connected(hub)
        sight = self.look(hub, token="")
        page = sight.page
        sight.sign_in(hub.admin_token)
        sight.see("#who", "admin")
        self.assertEqual(
            page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"), "[{},{}]"
        )
        self.assertEqual(page.evaluate("document.cookie"), "")
        self.assertNotIn(hub.admin_token, page.content() + page.url)
        self.assertFalse([path for path in sight.asked if hub.admin_token in path])

        sight.go("tasks")
        pushed = http.push("bot", "count the beans")
        sight.see("tbody a.what", "count the beans").click()
        self.status(sight, "working")
        sight.see(".lead .bar", "40 %")
        sight.see(".output", "looking at the tests")
        self.assertNotIn("all of it", page.inner_text(".output"))
        go.touch()
        self.status(sight, "completed")
        sight.see(".output", "all of it")
        sight.see(".timeline", "Completed by")
        self.assertEqual(http.task(pushed)["status"], "completed")
        titles = page.locator(".timeline li b").all_inner_texts()
        self.assertEqual(
            [titles[0], titles[1], titles[2], titles[-1]],
            ["Pushed", "Given to", "Begun by", "Completed by"],
        )

        go.unlink()
        sight.go("new")
        page.get_by_label("What is to be done").fill("count them again")
        sight.click("Submit", "main")
        self.status(sight, "working")
        sight.click("Cancel", "main")
        sight.answer("enough beans")
        self.status(sight, "cancelled")
        sight.see(".timeline", "by admin: enough beans")

        failed = self.submit(http, description="fail, please", max_attempts=1)
        go.touch()
        self.ended(http, failed)
        go.unlink()
        sight.see("#nav a[data-name=dead-letters] .number", "1").click()
        sight.see("tbody .trouble", "exit status 3")
        page.get_by_label(f"Choose {failed}").check()
        sight.click("Retry chosen (1)")
        sight.see(".empty", "nothing has failed for good")
        until(lambda: http.task(failed)["status"] == "working", "working again")
        self.assertEqual(http.task(failed)["series"], 2)
        self.assert_well(sight)
        self.assertNotIn(hub.admin_token, page.content() + page.url)
        self.assert_clean_log(hub)

    def test_agent_away(self) -> None:
        """The page of a task says within moments that its agent is away, until when the
        task is kept, and that the agent is back."""
        hub = self.hub()
        agent, go = self.bot(hub)
        self.connected(hub)
        task_id = self.http(hub).push("bot", "count the beans")
        sight = self.look(hub)
        sight.go(f"tasks/{task_id}")
        sight.see(".output", "looking at the tests")
        sight.see("main .panel p", "works on it")
        agent.kill()
        # Sooner than the page looks by itself.
        away = sight.page.locator("main .panel p", has_text="is away. It is kept for bot for")
        away.wait_for(timeout=8_000)
        left = sight.page.inner_text("main time[data-left]")
        until(lambda: sight.page.inner_text("main time[data-left]") != left, "counted down")
        go.touch()
        self.bot(hub)
        self.status(sight, "completed")
        self.assert_well(sight)

    def test_forms(self) -> None:
        """Enter sends a form, and Ctrl+Enter does in a field of several lines; what nobody
        can do is named, and so is what is missing."""
        hub = self.hub()
        http = self.http(hub)
        self.agent(hub, "bot")
        sight = self.look(hub)
        page = sight.page
        sight.go("channels")
        page.locator("summary").click()
        page.get_by_label("Name").fill("builds")
        page.keyboard.press("Enter")
        sight.see("tbody a.what", "#builds")
        sight.go("messages")
        page.locator("summary").click()
        page.get_by_label("Text").fill("hello, all")
        page.keyboard.press("Control+Enter")
        sight.see(".said", "hello, all")
        sight.go("new")
        page.get_by_label("Capabilities").fill("fpga")
        page.get_by_label("What is to be done").fill("burn it in")
        page.keyboard.press("Control+Enter")
        self.status(sight, "queued")
        sight.see("main .panel p", "it lacks the capability fpga")
        for number in range(3):
            self.submit(http, description=f"later {number}", capabilities=["asic"])
        sight.go("")
        # It is looked for now and then, and among those that have waited for a while.
        alone = page.locator(".attention a", has_text="No agent fits: burn it in")
        alone.wait_for(timeout=40_000)
        sight.see(".attention a", "3 tasks fit no agent, the oldest: later 0")
        sight.see("footer a", "The HTTP API").click()
        page.wait_for_url("**/docs/api")

    def test_words_of_others(self) -> None:
        """What agents, submitters and messages say is shown as they said it, and does nothing."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.agent(
            hub, "bot", name=EVIL, status=EVIL, capabilities=[EVIL], labels={"x": EVIL}
        )
        self.submit(http, description=EVIL, metadata={EVIL: EVIL})
        got = agent.next("task_assign")
        about = {"task_id": got["task_id"], "generation": got["generation"]}
        agent.say("task_accepted", **about)
        agent.say("task_progress", progress=0.5, message=EVIL, output=EVIL + "\n", **about)
        agent.say("task_failed", error=EVIL, reason=EVIL, retryable=False, **about)
        agent.next("task_ack", status="failed")
        agent.say("message", to="admin", payload={"text": EVIL}, message_type=EVIL)
        agent.next("message_sent")
        http.ok("POST", "/api/channels", {"name": "x", "description": EVIL})
        http.ok("POST", "/api/channels/x/publish", {"payload": {EVIL: EVIL}, "type": EVIL})
        sight = self.look(hub)
        for view in (*VIEWS, f"tasks/{got['task_id']}", "channels/x"):
            sight.go(view)
            sight.page.wait_for_timeout(300)
            self.assertEqual(sight.page.locator("main img").count(), 0, view)
            if view not in ("", "channels", "new"):
                self.assertIn(EVIL, sight.page.inner_text("main"), view)
        self.assert_well(sight)

    def test_narrow(self) -> None:
        """On a phone of 360 points no view is wider than the screen."""
        hub = self.hub()
        http = self.http(hub)
        self.agent(hub, "bot", name="n" * 200, status="s" * 200, capabilities=["c" * 100])
        long = self.submit(http, description="w" * 300, metadata={"k" * 90: "v" * 900})
        self.submit(http, description="x", agent_id="nobody-" + "n" * 100)
        channel = {"name": "c" * 64, "description": "d" * 300}
        http.ok("POST", "/api/channels", channel)
        http.ok("POST", "/api/message", {"payload": {"text": "m" * 500}})
        sight = self.look(hub, size=NARROW)
        for view in (*VIEWS, f"tasks/{long}"):
            sight.go(view)
            sight.page.wait_for_timeout(300)
            self.assertEqual(sight.wide(), "", view)
        self.assert_well(sight)

    def test_session_over(self) -> None:
        """When the token is revoked, one signs in over the page and goes on where one was."""
        hub = self.hub()
        http = self.http(hub)
        task_id = self.submit(http, description="wait for it")
        sight = self.look(hub, hub.token("ann", "submit"))
        sight.allow("401")
        sight.go(f"tasks/{task_id}")
        http.ok("DELETE", "/admin/tokens/ann")
        sight.see("dialog.sign-in", "Your session is over")
        sight.page.keyboard.press("Escape")
        sight.see("dialog.sign-in")
        sight.sign_in(hub.token("ann", "submit"))
        self.assertTrue(sight.page.url.endswith(f"#/tasks/{task_id}"))
        http.ok("POST", f"/api/tasks/{task_id}/cancel")
        self.status(sight, "cancelled")
        sight.click("Sign out")
        sight.see("dialog.sign-in")
        self.assertEqual(sight.page.inner_text("main").strip(), "")
        sight.page.reload()
        sight.see("dialog.sign-in")
        self.assert_well(sight)

    def test_lesser_tokens(self) -> None:
        """What a token may not do is shown with the reason, and refused kindly."""
        hub = self.hub()
        task_id = self.submit(self.http(hub), description="wait for it")
        sight = self.look(hub, hub.token("ann", "submit"))
        sight.go("agents")
        drain = sight.see("main button", "Drain the hub")
        self.assertEqual(drain.get_attribute("aria-disabled"), "true")
        self.assertEqual(drain.get_attribute("title"), "Your token lacks the scope admin.")
        asked = len(sight.asked)
        # It is told apart as disabled, and can be pressed all the same, to hear why.
        drain.click(force=True)
        sight.see(".notice", "Your token lacks the scope admin.")
        self.assertFalse([a for a in sight.asked[asked:] if not a.startswith("GET")])
        sight.allow("403")
        sight.go("messages")
        sight.see(".failed", "Your token lacks the scope agent.")
        self.assert_well(sight)

        other = self.look(hub, "")
        other.allow("403", "401")
        other.page.wait_for_selector("#token:focus")
        other.page.keyboard.type("0" * 64)
        other.page.keyboard.press("Enter")
        other.see("[role=alert]", "does not know this token")
        self.assertEqual(other.page.input_value("#token"), "")
        agent_only = hub.token("bob", "agent")
        other.page.keyboard.type(agent_only)
        other.page.keyboard.press("Enter")
        other.see(".failed", "Your token lacks the scope submit.")
        other.page.goto(f"{hub.url}/#/tasks/{task_id}")
        other.see(".failed", "Your token lacks the scope submit.")
        self.assert_well(other)

    def test_hub_restarted(self) -> None:
        """A dashboard outlives the hub: it says so, and shows what is true afterwards."""
        hub = self.hub()
        first = self.submit(self.http(hub), description="before")
        sight = self.look(hub)
        sight.allow("ERR_", "503")
        sight.go("tasks")
        sight.see("tbody a.what", "before")
        for number, end in enumerate((HubProcess.kill, HubProcess.stop)):
            end(hub)
            sight.see("#live[data-state=wait]")
            hub = self.hub("--listen", f"tcp:{hub.port}:interface=127.0.0.1")
            sight.see("#live[data-state=on]", "live")
            self.submit(self.http(hub), description=f"after {number}")
            sight.see("tbody a.what", f"after {number}")
        self.http(hub).ok("POST", f"/api/tasks/{first}/cancel")
        sight.see("tbody .badge", "cancelled")
        self.assert_well(sight)

    def test_storm(self) -> None:
        """Thousands of events make a few requests, and the page shows what became true."""
        hub = self.hub()
        http = self.http(hub)
        sight = self.look(hub)
        sight.go("tasks")
        before = len(sight.asked)
        tasks = [{"description": f"one of many {n}"} for n in range(1000)]
        for _ in range(3):
            http.ok("POST", "/api/tasks/batch", {"tasks": tasks})
        last = self.submit(http, description="the last of all")
        sight.see("tbody a.what", "the last of all")
        asked = [path for path in sight.asked[before:] if "/api/tasks" in path]
        self.assertLess(len(asked), 30)
        self.assertLessEqual(sight.page.locator("tbody tr").count(), 50)
        sight.page.goto(f"{hub.url}/#/tasks/{last}")
        self.status(sight, "queued")
        self.assert_well(sight)

    def test_operators(self) -> None:
        """An operator drains an agent and gives it work again, takes a task from it, drains
        the hub and ends that; each is asked before it is done."""
        hub = self.hub()
        http = self.http(hub)
        agent = self.agent(hub, "bot")
        task_id = http.push("bot", "take your time")
        agent.next("task_assign")
        agent.say("task_accepted", task_id=task_id)
        sight = self.look(hub)
        page = sight.page
        sight.go("agents/bot")
        sight.see("main", "Is it there?")
        sight.click("Drain", "main")
        sight.see("dialog", "Drain bot?")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        self.assertEqual(http.ok("GET", "/api/agents/bot/drain")["status"], "serving")
        sight.click("Drain", "main")
        sight.answer("new kernel")
        sight.see("main", "admin drains it: new kernel")
        self.assertEqual(http.ok("GET", "/api/agents/bot/drain")["note"], "new kernel")
        sight.see("td a.id", task_id).click()
        sight.click("Requeue", "main")
        sight.answer()
        self.status(sight, "queued")
        sight.see("main", "Why it waits")
        agent.next("task_cancelled")
        # Not ready, says the hub while it is drained.
        sight.allow("503")
        sight.go("agents")
        sight.click("Resume", "main")
        until(lambda: http.ok("GET", "/api/agents/bot/drain")["status"] == "serving", "resumed")
        sight.click("Drain the hub", "main")
        sight.answer()
        sight.see("main", "The hub is drained")
        sight.go("")
        sight.see(".attention", "The hub is drained")
        page.get_by_role("link", name="The hub is drained").click()
        sight.click("Give work again", "main")
        sight.click("Give work again", "dialog")
        until(lambda: http.ok("GET", "/api/admin/drain")["status"] == "serving", "serving")
        self.assert_well(sight)

    def test_found_again(self) -> None:
        """Filters and search are in the address, so that a link and the way back keep them."""
        hub = self.hub()
        http = self.http(hub)
        for name in ("apples", "pears"):
            self.submit(http, description=f"count the {name}")
        http.ok("POST", f"/api/tasks/{self.submit(http, description='plums')}/cancel")
        sight = self.look(hub)
        page = sight.page
        page.keyboard.press("/")
        self.assertEqual(page.evaluate("document.activeElement.id"), "search-text")
        page.keyboard.type("APPLES")
        page.keyboard.press("Enter")
        sight.see("tbody a.what", "count the apples")
        until(lambda: page.locator("tbody tr").count() == 1, "one row")
        self.assertTrue(page.url.endswith("#/tasks?search=APPLES"))
        page.get_by_role("link", name="Clear").click()
        until(lambda: page.locator("tbody tr").count() == 3, "three rows")
        page.get_by_label("Status").select_option("cancelled")
        until(lambda: page.locator("tbody tr").count() == 1, "one row")
        self.assertRegex(page.url, re.escape("#/tasks?status=cancelled") + "$")
        page.go_back()
        until(lambda: page.locator("tbody tr").count() == 3, "three rows")
        self.assertEqual(page.get_by_label("Status").input_value(), "")
        page.go_forward()
        until(lambda: page.locator("tbody tr").count() == 1, "one row")
        self.assertEqual(page.get_by_label("Status").input_value(), "cancelled")
        other = self.look(hub)
        other.go("tasks?status=cancelled")
        other.see("tbody a.what", "plums")
        self.assertEqual(other.page.locator("tbody tr").count(), 1)
        self.assert_well(sight)
        self.assert_well(other)

"""``agentcom.agent``: what an author writes, and what is refused at once."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import agentcom.agent
from agentcom.agent import Agent, Progress, Task
from agentcom.sidecar.functions import Functions
from agentcom.sidecar.session import Identity

# What a caller without a type checker may give.
ANY_AGENT: Any = Agent


async def run(task: Task, progress: Progress) -> None:
    """Does nothing."""


class DeclareTests(SynchronousTestCase):
    def test_exports(self) -> None:
        """The public names are these."""
        self.assertEqual(agentcom.agent.__all__, ["Agent", "Progress", "Task", "TaskFailed"])

    def test_identity(self) -> None:
        """What is said of an agent is what the hub will be told."""
        agent = Agent("a", capabilities=["x"], slots=2, name="A", labels={"os": "linux"})
        self.assertEqual(agent.identity, Identity("a", "A", ("x",), {"os": "linux"}))
        self.assertEqual((agent.slots, Agent("a").slots), (2, 1))
        self.assertEqual(Agent("a").identity, Identity("a"))

    def test_wrong_arguments(self) -> None:
        """An agent that could not be is refused where it is made, by the name of the argument."""
        for error, name, arguments in (
            (ValueError, "agent_id", {"agent_id": ""}),
            (ValueError, "agent_id", {"agent_id": "admin"}),
            (TypeError, "agent_id", {"agent_id": 7}),
            (ValueError, "slots", {"slots": 0}),
            (TypeError, "slots", {"slots": "2"}),
            (TypeError, "slots", {"slots": True}),
            (TypeError, "capabilities", {"capabilities": "python"}),
            (TypeError, "capabilities", {"capabilities": [1]}),
            (TypeError, "labels", {"labels": ["x"]}),
            (TypeError, "labels", {"labels": {"os": 1}}),
            (TypeError, "name", {"name": 1}),
        ):
            with self.assertRaises(error) as caught:
                ANY_AGENT(**{"agent_id": "a", **arguments})
            self.assertIn(name, str(caught.exception))

    def test_task(self) -> None:
        """Both forms of the decorator leave the function as it is."""
        for decorate in (lambda a: a.task, lambda a: a.task(), lambda a: a.task(resume=True)):
            agent = Agent("a")
            self.assertFalse(agent.has_task)
            self.assertIs(decorate(agent)(run), run)
            self.assertTrue(agent.has_task)
            self.assertIsInstance(agent.functions(Clock()), Functions)

    def test_other_coroutine_functions(self) -> None:
        """A method, a partial and an object with an async call are taken too."""

        class Worker:
            async def work(self, task: Task, progress: Progress) -> None: ...

            async def __call__(self, task: Task, progress: Progress) -> None: ...

        async def more(model: str, task: Task, progress: Progress) -> None: ...

        for function in (Worker().work, Worker(), functools.partial(more, "m")):
            Agent("a").task(function)

    def test_plain_function(self) -> None:
        """A plain function would hold up everything; what to write instead is said."""

        def plain(task: Task, progress: Progress) -> None: ...

        async def generator(task: Task, progress: Progress) -> Any:
            yield 1

        for function in (plain, generator, None.__class__, 7):
            task: Any = Agent("a").task
            with self.assertRaises(TypeError) as caught:
                task(function)
            self.assertIn("asyncio.to_thread", str(caught.exception))

    def test_wrong_parameters(self) -> None:
        """A function that could not be called is refused before any task comes."""

        async def one(task: Task) -> None: ...

        async def three(task: Task, progress: Progress, model: str) -> None: ...

        async def keyword(*, task: Task, progress: Progress) -> None: ...

        for function in (one, three, keyword):
            task: Any = Agent("a").task
            with self.assertRaises(TypeError) as caught:
                task(function)
            self.assertIn("two arguments", str(caught.exception))

    def test_one_function(self) -> None:
        """An agent has one function; the second is refused and the first stays."""
        agent = Agent("a")
        agent.task(run)
        self.assertRaises(ValueError, agent.task, run)
        task: Any = Agent("b").task
        self.assertRaises(TypeError, task, resume="yes")


class RunTests(SynchronousTestCase):
    """``run`` where it cannot: the tests' own process has another reactor."""

    def setUp(self) -> None:
        self.agent = Agent("a")
        self.agent.task(run)

    def test_without_function(self) -> None:
        """An agent with nothing to do says so before anything is opened."""
        with self.assertRaises(ValueError) as caught:
            Agent("a").run()
        self.assertIn("@agent.task", str(caught.exception))

    def test_wrong_arguments(self) -> None:
        """What cannot be an address, a token or a time is refused by its name."""
        run: Any = self.agent.run
        for error, name, arguments in (
            (ValueError, "hub", {"hub": "ftp://x"}),
            (TypeError, "hub", {"hub": 7}),
            (ValueError, "token", {"token": ""}),
            (TypeError, "token", {"token": 7}),
            (TypeError, "drain_limit_s", {"drain_limit_s": "30s"}),
            (ValueError, "drain_limit_s", {"drain_limit_s": -1}),
        ):
            with self.assertRaises(error) as caught:
                run(**arguments)
            self.assertIn(name, str(caught.exception))

    def test_other_reactor(self) -> None:
        """On another reactor than asyncio's it refuses instead of hanging."""
        with self.assertRaises(RuntimeError) as caught:
            self.agent.run()
        self.assertIn("another reactor", str(caught.exception))

    def test_in_a_loop(self) -> None:
        """Inside of asyncio.run it refuses: there cannot be two loops."""

        async def main() -> None:
            self.agent.run()

        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        with self.assertRaises(RuntimeError) as caught:
            loop.run_until_complete(main())
        self.assertIn("outside of asyncio.run()", str(caught.exception))

    def test_in_a_thread(self) -> None:
        """In a thread it refuses: no signal would reach it."""
        caught: list[str] = []

        def call() -> None:
            try:
                self.agent.run()
            except RuntimeError as e:
                caught.append(str(e))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        self.assertIn("main thread", caught[0])

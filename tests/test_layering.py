"""The checkout keeps the rules of tests/layering.py, and each of them can fail.

``LayeringTests`` runs the rules over the checkout; ``RuleTests`` shows each of them a few
lines that break it, and a few that do not.
"""

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import layering
from tests.layering import Module, Rule

ROOT = Path(__file__).resolve().parent.parent


class LayeringTests(SynchronousTestCase):
    """The checkout keeps the rules."""

    def test_the_modules_are_found(self) -> None:
        """The rules look at the real package: with nothing to read, all of them would hold."""
        names = {module.name for module in layering.modules_below(ROOT)}
        wanted = {"agentcom", "agentcom.tap", "twisted.plugins.agentcom_plugin"}
        self.assertEqual(wanted - names, set())
        for room in "core wire store hub ws http client sidecar cli chaos bench".split():
            self.assertTrue(any(layering.within(name, f"agentcom.{room}") for name in names), room)

    def test_no_init_beside_the_plugin(self) -> None:
        """Nothing of ours hides Twisted's package."""
        self.assertEqual(list(layering.plugin_directories_are_bare(ROOT)), [])

    def test_every_test_module_runs(self) -> None:
        """Trial reaches every test module."""
        self.assertEqual(list(layering.tests_are_reachable(ROOT)), [])

    def test_every_async_test_is_awaited(self) -> None:
        """No test passes by never being awaited."""
        self.assertEqual(list(layering.async_tests_are_awaited(ROOT)), [])


def _checkout_keeps(rule: Rule) -> Callable[[LayeringTests], None]:
    def test(self: LayeringTests) -> None:
        problems = [problem for module in layering.modules_below(ROOT) for problem in rule(module)]
        self.assertEqual(problems, [], "\n" + "\n".join(problems))

    test.__doc__ = rule.__doc__
    return test


# A method each, so that a report names the rule.
for _rule in layering.RULES:
    setattr(LayeringTests, f"test_{_rule.__name__}", _checkout_keeps(_rule))


class RuleTests(SynchronousTestCase):
    """Each rule finds what it is there to find, and lets pass what it should."""

    def assert_breaks(self, rule: Rule, name: str, source: str) -> None:
        self.assertNotEqual(list(rule(Module(name, source))), [], f"{name}: {source}")

    def assert_keeps(self, rule: Rule, name: str, source: str, is_package: bool = False) -> None:
        self.assertEqual(list(rule(Module(name, source, is_package))), [], f"{name}: {source}")

    def test_pure_rooms(self) -> None:
        """I/O, the clock and the rest of the package are found in core and wire, however
        imported."""
        for source in (
            "import twisted",
            "from twisted.python import log",
            "import sqlite3",
            "def f():\n    import time",
            "from zope.interface import implementer as i",
            "from ..hub import dispatch",
            "from agentcom import store",
            "import importlib\nimportlib.import_module('autobahn.websocket')",
            "try:\n    import klein\nexcept ImportError:\n    klein = None",
        ):
            self.assert_breaks(layering.pure_rooms_are_pure, "agentcom.core.task", source)
            self.assert_breaks(layering.pure_rooms_are_pure, "agentcom.wire.frames", source)
        self.assert_keeps(
            layering.pure_rooms_are_pure, "agentcom.core.task", "import msgspec, secrets"
        )
        self.assert_keeps(
            layering.pure_rooms_are_pure, "agentcom.wire.http", "from ..core import task"
        )
        self.assert_keeps(layering.pure_rooms_are_pure, "agentcom.wire.http", "from .http import x")
        self.assert_keeps(layering.pure_rooms_are_pure, "agentcom.hub.dispatch", "import twisted")

    def test_hub(self) -> None:
        """The hub is caught at reaching past the store's interface or to an edge."""
        rule = layering.hub_knows_only_the_store_interface
        for source in (
            "from agentcom.store.sqlite import Store",
            "from agentcom.store import sqlite",
            "import agentcom.ws.protocol",
            "from ..http import tasks",
            "if TYPE_CHECKING:\n    from agentcom.store import sqlite",
        ):
            self.assert_breaks(rule, "agentcom.hub.dispatch", source)
        self.assert_keeps(rule, "agentcom.hub.dispatch", "from ..store.interface import Store")
        self.assert_keeps(rule, "agentcom.hub.dispatch", "from agentcom.store import interface")

    def test_edges(self) -> None:
        """ws and http are caught at knowing each other or an implementation of the store."""
        self.assert_breaks(
            layering.edges_are_apart, "agentcom.ws.factory", "import agentcom.http.errors"
        )
        self.assert_breaks(
            layering.edges_are_apart, "agentcom.http.tasks", "from ..ws import session"
        )
        self.assert_breaks(
            layering.edges_are_apart, "agentcom.http.tasks", "from ..store import sqlite"
        )
        self.assert_keeps(
            layering.edges_are_apart, "agentcom.http.tasks", "from ..hub.hub import Hub"
        )
        self.assert_keeps(
            layering.edges_are_apart, "agentcom.ws.a", "from ..store.interface import Store"
        )

    def test_client_side(self) -> None:
        """The client's side is caught at knowing the hub's, or something above itself."""
        rule = layering.client_side_is_apart
        self.assert_breaks(rule, "agentcom.client.hub", "from agentcom.hub import hub")
        self.assert_breaks(rule, "agentcom.client.hub", "from agentcom.sidecar import runner")
        self.assert_breaks(rule, "agentcom.sidecar.runner", "from ..cli import main")
        self.assert_breaks(rule, "agentcom.cli.tasks", "from agentcom import config")
        self.assert_breaks(rule, "agentcom.cli.tasks", "from agentcom.store import sqlite")
        self.assert_breaks(rule, layering.LOCAL_COMMAND, "from agentcom.hub import hub")
        self.assert_keeps(rule, layering.LOCAL_COMMAND, "from agentcom.store import sqlite")
        self.assert_keeps(rule, layering.LOCAL_COMMAND, "from agentcom.datadir import DataDir")
        self.assert_keeps(rule, "agentcom.cli.tasks", "from ..sidecar import runner")
        self.assert_keeps(rule, "agentcom.cli", "from .main import main", is_package=True)
        self.assert_keeps(rule, "agentcom.cli.main", "from agentcom import __version__")
        for name in ("agentcom.agent", "agentcom.agent_tap"):
            self.assert_breaks(rule, name, "from agentcom import tap")
            self.assert_breaks(rule, name, "from agentcom.hub import hub")
            self.assert_keeps(rule, name, "from agentcom.cli import serving")
            self.assert_keeps(rule, name, "from agentcom import process")

    def test_bench(self) -> None:
        """The benchmark is caught at knowing the hub, and others at knowing the benchmark."""
        rule = layering.bench_is_apart
        self.assert_breaks(rule, "agentcom.bench.run", "from agentcom.hub import hub")
        self.assert_breaks(rule, "agentcom.bench.run", "from agentcom import config")
        self.assert_breaks(rule, "agentcom.bench.run", "from agentcom.bench.stacks import spine")
        self.assert_breaks(rule, "agentcom.bench.stacks.spine", "from agentcom.hub import queue")
        self.assert_breaks(rule, "agentcom.service", "from agentcom.bench import stalls")
        self.assert_breaks(rule, "agentcom.cli.chaos", "def f():\n    from agentcom import bench")
        self.assert_keeps(rule, "agentcom.bench.fill", "from agentcom.store import rows")
        self.assert_keeps(rule, "agentcom.bench.loads.load", "from agentcom.bench import stalls")
        self.assert_keeps(
            rule, "agentcom.bench.stacks.quick", "from agentcom.shortcuts import requests"
        )
        self.assert_keeps(rule, layering.BENCH_COMMAND, "from agentcom.bench.run import run")
        self.assert_keeps(
            layering.client_side_is_apart, layering.BENCH_COMMAND, "from agentcom.bench import run"
        )

    def test_reactor(self) -> None:
        """The global reactor is found wherever it may not be."""
        source = "from twisted.internet import reactor"
        inside = f"def main():\n    {source}"
        for name in ("agentcom.hub.dispatch", "agentcom.ws.factory", "agentcom.store.pool"):
            self.assert_breaks(layering.reactor_is_passed, name, source)
            self.assert_breaks(layering.reactor_is_passed, name, inside)
        self.assert_breaks(layering.reactor_is_passed, "agentcom.agent", inside)
        self.assert_breaks(layering.reactor_is_passed, "agentcom.bench.run", inside)
        for name in (*layering.TAPS, "agentcom.cli.agent", "agentcom.bench.stacks.spine"):
            self.assert_breaks(layering.reactor_is_passed, name, source)
            self.assert_breaks(layering.reactor_is_passed, name, f"class A:\n    {source}")
            self.assert_keeps(layering.reactor_is_passed, name, inside)
            self.assert_keeps(layering.reactor_is_passed, name, f"async {inside}")

    def test_klein(self) -> None:
        """Klein at module level is found outside http."""
        for source in ("import klein", "from klein import Klein", "class A:\n    import klein"):
            self.assert_breaks(layering.klein_stays_in_http, "agentcom.testing", source)
            self.assert_keeps(layering.klein_stays_in_http, "agentcom.http.tasks", source)
        self.assert_breaks(layering.klein_stays_in_http, "agentcom.bench.run", "import klein")
        self.assert_keeps(
            layering.klein_stays_in_http, "agentcom.bench.stacks.floor", "from klein import Klein"
        )
        late = "def f():\n    import klein"
        typed = "if TYPE_CHECKING:\n    from klein import Klein"
        self.assert_keeps(layering.klein_stays_in_http, "agentcom.testing", late)
        self.assert_keeps(layering.klein_stays_in_http, "agentcom.testing", typed)
        self.assert_breaks(
            layering.klein_stays_in_http, "agentcom.a", f"{typed}\nelse:\n    import klein"
        )

    def test_time(self) -> None:
        """A look at the machine's clock is found under every name, called or handed on."""
        for source in (
            "import time\ntime.time()",
            "import time\ntime.sleep(1)",
            "import time as t\nt.time()",
            "from time import time",
            "from datetime import datetime\ndatetime.now(UTC)",
            "import datetime as d\nd.datetime.now(d.UTC)",
            "import datetime\ndatetime.datetime.utcnow()",
            "import time\nclock = time.time",
        ):
            self.assert_breaks(layering.time_is_passed, "agentcom.hub.sweep", source)
        self.assert_keeps(
            layering.time_is_passed, "agentcom.bench.run", "import time\ntime.sleep(1)"
        )
        for source in (
            "self._clock.seconds()",
            "import time\ntime.monotonic()",
            "task.time.sleep",
            "from datetime import datetime\ndatetime.fromtimestamp(now, UTC)",
        ):
            self.assert_keeps(layering.time_is_passed, "agentcom.hub.sweep", source)

    def test_sizes(self) -> None:
        """One line too many is found, the last allowed one is not."""
        longest = "x = 1\n" * layering.MAX_MODULE_LINES
        self.assert_keeps(layering.modules_are_short, "agentcom.a", longest)
        self.assert_breaks(layering.modules_are_short, "agentcom.a", longest + "x = 1\n")
        largest = "class A:\n" + "    x = 1\n" * (layering.MAX_CLASS_LINES - 1)
        self.assert_keeps(layering.classes_are_short, "agentcom.a", largest)
        self.assert_breaks(layering.classes_are_short, "agentcom.a", largest + "    x = 1\n")

    def test_root_package(self) -> None:
        """The package itself is caught at importing anything that costs."""
        for source in ("import twisted", "from .hub import hub", "from agentcom.http import x"):
            self.assertNotEqual(
                list(layering.root_package_is_light(Module("agentcom", source, is_package=True))),
                [],
            )
        source = "from importlib.metadata import version"
        self.assert_keeps(layering.root_package_is_light, "agentcom", source, is_package=True)

    def test_plugin(self) -> None:
        """The plugin file is caught at importing the project or more of Twisted."""
        name = "twisted.plugins.agentcom_plugin"
        for source in ("import agentcom", "from twisted.internet import defer"):
            self.assert_breaks(layering.plugin_is_light, name, source)
        source = "from twisted.application.service import ServiceMaker"
        self.assert_keeps(layering.plugin_is_light, name, source)

    def test_relative_imports_of_a_package(self) -> None:
        """``from . import x`` means the package itself in an __init__.py, its parent elsewhere."""
        source = "from . import x\nfrom .. import y"
        package = Module("agentcom.hub", source, is_package=True)
        plain = Module("agentcom.hub.dispatch", source)
        self.assertEqual([i.target for i in package.imports], ["agentcom.hub.x", "agentcom.y"])
        self.assertEqual([i.target for i in plain.imports], ["agentcom.hub.x", "agentcom.y"])

    def test_files(self) -> None:
        """A stray __init__.py and a test module that trial cannot reach are found."""
        root = Path(self.mktemp())
        (root / "twisted" / "plugins").mkdir(parents=True)
        (root / "tests" / "unit").mkdir(parents=True)
        (root / "tests" / "__init__.py").touch()
        (root / "tests" / "unit" / "test_a.py").touch()
        self.assertEqual(list(layering.plugin_directories_are_bare(root)), [])
        self.assertEqual(len(list(layering.tests_are_reachable(root))), 1)
        (root / "tests" / "unit" / "__init__.py").touch()
        (root / "twisted" / "plugins" / "__init__.py").touch()
        self.assertEqual(len(list(layering.plugin_directories_are_bare(root))), 1)
        self.assertEqual(list(layering.tests_are_reachable(root)), [])

    def test_async_tests(self) -> None:
        """An async test of a SynchronousTestCase is found, also when it comes from a mixin."""
        root = Path(self.mktemp())
        (root / "tests").mkdir(parents=True)
        mixin = "class Contract:\n    async def test_a(self): ...\n"
        module = root / "tests" / "test_a.py"
        module.write_text(mixin + "class A(Contract, unittest.TestCase): ...\n")
        self.assertEqual(list(layering.async_tests_are_awaited(root)), [])
        for source in (
            mixin + "class A(Contract, unittest.SynchronousTestCase): ...\n",
            mixin.replace("Contract", "A(SynchronousTestCase)"),
        ):
            module.write_text(source)
            self.assertEqual(len(list(layering.async_tests_are_awaited(root))), 1)

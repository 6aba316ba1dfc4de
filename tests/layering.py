"""Who may import whom, how large things may grow, and who may ask for the time.

Every rule is a function from one parsed module to the sentences that say what is wrong
with it.  Nothing is imported to find this out: the sources are read.  test_layering.py
runs the rules and proves that each can fail.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MAX_MODULE_LINES = 400
MAX_CLASS_LINES = 200

# What the pure rooms may not touch: the network libraries, anything that does I/O or waits,
# and the clock. ``datetime`` stays allowed for reading and writing dates; the time is an
# argument there.
IMPURE = (
    "twisted autobahn klein treq zope txaio werkzeug "
    "sqlite3 sqlalchemy alembic click rich prometheus_client "
    "asyncio http io multiprocessing os pathlib queue requests select selectors shutil "
    "signal socket ssl subprocess tempfile threading time urllib websockets"
).split()

# What the two sides of the wire share; ``__version__`` lives in the package itself.
SHARED = ["agentcom.core", "agentcom.wire", "agentcom.errors", "agentcom.__version__"]

AGENT_PARTS = [
    *SHARED,
    "agentcom.client",
    "agentcom.sidecar",
    "agentcom.cli",
    "agentcom.process",
]

ALLOWED_ON_THE_CLIENT_SIDE = {
    "agentcom.client": [*SHARED, "agentcom.client"],
    "agentcom.sidecar": [*SHARED, "agentcom.client", "agentcom.sidecar"],
    # Hub and agents are processes to it: it imports nothing of either.
    "agentcom.chaos": [*SHARED, "agentcom.client", "agentcom.chaos"],
    "agentcom.cli": [
        *SHARED,
        "agentcom.client",
        "agentcom.sidecar",
        "agentcom.chaos",
        "agentcom.cli",
        "agentcom.process",
    ],
    # The two ways in which others run an agent, above the three rooms.
    "agentcom.agent": [*AGENT_PARTS, "agentcom.agent"],
    "agentcom.agent_tap": [*AGENT_PARTS, "agentcom.agent"],
}

# A program that measures: it starts servers, which it imports nothing of, it waits and looks at
# the machine's clock.  Of the hub's own modules it has those that make what a database is filled
# with, and its servers those shortcuts whose worth they show.
BENCH = "agentcom.bench"
BENCH_SERVERS = "agentcom.bench.stacks"
ALLOWED_TO_BENCH = [*SHARED, "agentcom.bench", "agentcom.store"]
ALLOWED_TO_BENCH_SERVERS = [
    "agentcom.core",
    "agentcom.bench",
    "agentcom.shortcuts",
    "agentcom.ws.shortcuts",
    "agentcom.hub.turnlength",
]
BENCH_COMMAND = "agentcom.cli.bench"

# What twistd's plugin names, beside the commands the only ones that see the reactor.
TAPS = ("agentcom.tap", "agentcom.agent_tap")

# It makes an admin token on the machine itself, where no hub answers.
LOCAL_COMMAND = "agentcom.cli.local"
ALLOWED_TO_LOCAL_COMMAND = ["agentcom.store", "agentcom.datadir"]

CLOCKS = [
    "time.time",
    "time.time_ns",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
]


@dataclass(frozen=True)
class Import:
    """One imported name, absolute: ``from agentcom.store import interface`` is
    ``agentcom.store.interface``."""

    target: str
    line: int
    at_module_level: bool


@dataclass(frozen=True)
class Module:
    """One source file, seen from the dotted name that others import it by."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self, self.tree.body, at_module_level=True))

    def at(self, line: int, problem: str) -> str:
        return f"{self.name}:{line}: {problem}"


Rule = Callable[[Module], Iterable[str]]


def within(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of these packages or inside one of them."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def _imports(module: Module, body: Iterable[ast.AST], at_module_level: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.stmt | ast.expr):
            for target in _targets(module, node):
                yield Import(target, node.lineno, at_module_level)
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _imports(module, node.body, at_module_level=False)
            yield from _imports(module, node.orelse, at_module_level)
        else:
            runs_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            inside = at_module_level and not runs_later
            yield from _imports(module, ast.iter_child_nodes(node), inside)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _targets(module: Module, node: ast.stmt | ast.expr) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=base, names=names, level=level):
            origin = _origin(module, base, level)
            return [f"{origin}.{alias.name}" for alias in names]
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            if ast.unparse(function) in {"__import__", "import_module", "importlib.import_module"}:
                return [name]
    return []


def _origin(module: Module, base: str | None, level: int) -> str:
    if level == 0:
        return base or ""
    above = level - 1 if module.is_package else level
    parts = module.name.split(".")
    return ".".join([*parts[: len(parts) - above], *([base] if base else [])])


def pure_rooms_are_pure(module: Module) -> Iterator[str]:
    """core and wire know no network, no disk and no clock, and of us only each other."""
    if not within(module.name, "agentcom.core", "agentcom.wire"):
        return
    for found in module.imports:
        ours = within(found.target, "agentcom")
        if within(found.target, *IMPURE) or (ours and not within(found.target, *SHARED)):
            yield module.at(found.line, f"must stay pure, imports {found.target}")


def hub_knows_only_the_store_interface(module: Module) -> Iterator[str]:
    """The hub knows the store by its interface, and no edge."""
    if not within(module.name, "agentcom.hub"):
        return
    for found in module.imports:
        if within(found.target, "agentcom.store.interface"):
            continue
        if within(found.target, "agentcom.store", "agentcom.ws", "agentcom.http", "agentcom.tap"):
            yield module.at(found.line, f"the hub may not know {found.target}")


def edges_are_apart(module: Module) -> Iterator[str]:
    """ws and http know neither each other nor an implementation of the store."""
    other = {"agentcom.ws": "agentcom.http", "agentcom.http": "agentcom.ws"}
    for edge, forbidden in other.items():
        if not within(module.name, edge):
            continue
        for found in module.imports:
            if within(found.target, "agentcom.store.interface"):
                continue
            if within(found.target, forbidden, "agentcom.store", "agentcom.tap"):
                yield module.at(found.line, f"{edge} may not know {found.target}")


def client_side_is_apart(module: Module) -> Iterator[str]:
    """client, sidecar and cli meet the hub in core and wire only, and use each other downward."""
    for room, allowed in ALLOWED_ON_THE_CLIENT_SIDE.items():
        if not within(module.name, room):
            continue
        if module.name == LOCAL_COMMAND:
            allowed = [*allowed, *ALLOWED_TO_LOCAL_COMMAND]
        if module.name == BENCH_COMMAND:
            allowed = [*allowed, BENCH]
        for found in module.imports:
            if within(found.target, "agentcom") and not within(found.target, *allowed):
                yield module.at(found.line, f"{room} may not know {found.target}")


def bench_is_apart(module: Module) -> Iterator[str]:
    """The benchmark knows the hub as a process, and nobody knows the benchmark but its command."""
    inside = within(module.name, BENCH)
    servers = within(module.name, BENCH_SERVERS)
    allowed = ALLOWED_TO_BENCH_SERVERS if servers else ALLOWED_TO_BENCH
    for found in module.imports:
        if inside and within(found.target, "agentcom") and not within(found.target, *allowed):
            yield module.at(found.line, f"the benchmark may not know {found.target}")
        if inside and not servers and within(found.target, BENCH_SERVERS):
            yield module.at(found.line, f"{found.target} is a process of its own")
        if not inside and module.name != BENCH_COMMAND and within(found.target, BENCH):
            yield module.at(found.line, f"nobody but its command may know {found.target}")


def reactor_is_passed(module: Module) -> Iterator[str]:
    """Only taps, commands and the benchmark's servers import the reactor, inside a function."""
    may = module.name in TAPS or within(module.name, "agentcom.cli", BENCH_SERVERS)
    for found in module.imports:
        if within(found.target, "twisted.internet.reactor") and (not may or found.at_module_level):
            yield module.at(found.line, "the reactor is an argument, not an import")


def klein_stays_in_http(module: Module) -> Iterator[str]:
    """Importing Klein installs the default reactor: outside http only inside a function."""
    if within(module.name, "agentcom.http", BENCH_SERVERS):
        return
    for found in module.imports:
        if within(found.target, "klein") and found.at_module_level:
            yield module.at(found.line, "klein installs a reactor, import it in agentcom.http")


def time_is_passed(module: Module) -> Iterator[str]:
    """Nobody asks the machine for the time: it is an argument or an injected clock's."""
    if within(module.name, BENCH):
        return
    names = _local_names(module)
    for found in module.imports:
        if found.target in CLOCKS:
            yield module.at(found.line, f"imports {found.target}; take the time as an argument")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            used = f"{names.get(first, first)}.{rest}"
            if used in CLOCKS:
                yield module.at(node.lineno, f"uses {used}; take the time as an argument")


def _local_names(module: Module) -> dict[str, str]:
    """What the names that imports bind in this module stand for."""
    names = {}
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                names.update({a.asname: a.name for a in aliases if a.asname})
            case ast.ImportFrom(module=base, names=aliases, level=level):
                origin = _origin(module, base, level)
                names.update({a.asname or a.name: f"{origin}.{a.name}" for a in aliases})
    return names


def modules_are_short(module: Module) -> Iterator[str]:
    """A module that needs more lines holds two ideas."""
    lines = len(module.source.splitlines())
    if lines > MAX_MODULE_LINES:
        yield module.at(1, f"{lines} lines, at most {MAX_MODULE_LINES}")


def classes_are_short(module: Module) -> Iterator[str]:
    """A class that needs more lines is two objects."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_CLASS_LINES:
                yield module.at(node.lineno, f"class {node.name}: {lines} > {MAX_CLASS_LINES}")


def root_package_is_light(module: Module) -> Iterator[str]:
    """The package itself is imported by everything, so it imports next to nothing."""
    if module.name != "agentcom":
        return
    for found in module.imports:
        if not within(found.target, "__future__", "typing", "importlib.metadata"):
            yield module.at(found.line, f"the package itself may not import {found.target}")


def plugin_is_light(module: Module) -> Iterator[str]:
    """twistd loads the plugin file on every run, whatever it was asked for."""
    if not within(module.name, "twisted.plugins"):
        return
    for found in module.imports:
        if not within(found.target, "twisted.application.service"):
            yield module.at(found.line, f"a plugin file may not import {found.target}")


RULES: list[Rule] = [
    pure_rooms_are_pure,
    hub_knows_only_the_store_interface,
    edges_are_apart,
    client_side_is_apart,
    bench_is_apart,
    reactor_is_passed,
    klein_stays_in_http,
    time_is_passed,
    modules_are_short,
    classes_are_short,
    root_package_is_light,
    plugin_is_light,
]


def plugin_directories_are_bare(root: Path) -> Iterator[str]:
    """An __init__.py under twisted/ would hide Twisted itself."""
    for path in sorted((root / "twisted").rglob("__init__.py")):
        yield f"{path.relative_to(root)}: remove it, it hides Twisted's own package"


def tests_are_reachable(root: Path) -> Iterator[str]:
    """Trial silently passes over a test module in a directory without __init__.py."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        for folder in path.parents:
            if folder == root:
                break
            if not (folder / "__init__.py").exists():
                yield f"{path.relative_to(root)}: {folder.relative_to(root)} has no __init__.py"


def async_tests_are_awaited(root: Path) -> Iterator[str]:
    """A SynchronousTestCase never awaits an ``async def`` test: it passes without running."""
    bases: dict[str, list[str]] = {}
    async_tests: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                async_tests[node.name] = [
                    f"{path.relative_to(root)}:{item.lineno}: {item.name}"
                    for item in node.body
                    if isinstance(item, ast.AsyncFunctionDef) and item.name.startswith("test")
                ]
    for name in bases:
        ancestors = _ancestors(name, bases)
        if "SynchronousTestCase" in ancestors:
            for ancestor in [name, *ancestors]:
                for test in async_tests.get(ancestor, []):
                    yield f"{test} is never awaited: {name} is a SynchronousTestCase"


def _ancestors(name: str, bases: dict[str, list[str]]) -> list[str]:
    found: list[str] = []
    waiting = list(bases[name])
    while waiting:
        base = waiting.pop()
        if base not in found:
            found.append(base)
            waiting.extend(bases.get(base, []))
    return found


def modules_below(root: Path) -> list[Module]:
    """Every source file of the package, and the plugin."""
    found = []
    for top in ("agentcom", "twisted"):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found

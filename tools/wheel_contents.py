"""Check that a wheel holds what the checkout holds: every file of the package, the plugin.

Comparing the whole tree finds a forgotten kind of file (a migration, a style sheet) without
a list of kinds that would have to be kept; run by check-wheel.sh.
"""

import sys
import zipfile
from pathlib import Path, PurePosixPath

PLUGIN = "twisted/plugins/agentcom_plugin.py"
MIGRATIONS = PurePosixPath("agentcom/store/migrations")
DASHBOARD = PurePosixPath("agentcom/http/dashboard")


def expected_files(root: Path) -> set[str]:
    """The files of the package in the checkout, what Python or an editor left aside."""
    return {
        path.relative_to(root).as_posix()
        for path in (root / "agentcom").rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix not in {".pyc", ".pyo", ".swp"}
        and not path.name.endswith("~")
    }


def problems(contained: set[str], expected: set[str]) -> list[str]:
    """What is wrong with a wheel of these files, as sentences."""
    found = [f"missing: {name}" for name in sorted(expected | {PLUGIN}) if name not in contained]
    paths = [PurePosixPath(name) for name in contained]
    if not any(MIGRATIONS in path.parents and path.suffix == ".py" for path in paths):
        found.append(f"no migration under {MIGRATIONS}")
    if not any(DASHBOARD in path.parents and path.suffix == ".html" for path in paths):
        found.append(f"no page under {DASHBOARD}")
    for path in paths:
        foreign = path.parts[0] == "twisted" and str(path) != PLUGIN
        if foreign or path.parts[0] in {"tests", "bench", "docs", "tools", "examples"}:
            found.append(f"does not belong into the wheel: {path}")
    return found


def main(wheel: str, root: str) -> int:
    with zipfile.ZipFile(wheel) as archive:
        contained = {name for name in archive.namelist() if not name.endswith("/")}
    found = problems(contained, expected_files(Path(root)))
    for problem in found:
        print(f"wheel_contents: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

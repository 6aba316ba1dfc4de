"""The figures for people: plain text, as wide as it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from agentcom.bench.report import Extent, Figure, Round, at

Cell = Callable[[list[Round], str], str]
UNKNOWN = "-"


class Column(NamedTuple):
    """One column of a table: its title, and the cell of a target."""

    title: str
    cell: Cell


def middle(*path: str, digits: int = 2) -> Cell:
    """A cell with the median over the rounds of one figure, a dash where there is none."""

    def cell(rounds: list[Round], name: str) -> str:
        found = [at(done[name], *path) for done in rounds]
        known = [value for value in found if value is not None]
        return f"{median(known):.{digits}f}" if known else UNKNOWN

    return cell


def together(*cells: Cell) -> Cell:
    """Some figures in one cell."""

    def cell(rounds: list[Round], name: str) -> str:
        found = [part(rounds, name) for part in cells]
        return UNKNOWN if set(found) == {UNKNOWN} else " / ".join(found)

    return cell


def spread_of(*path: str, digits: int = 2, which: Sequence[str] = ("p50", "p99")) -> Cell:
    """Percentiles of one latency, milliseconds."""
    return together(*(middle(*path, one, digits=digits) for one in which))


def spread_at(*path: str) -> Cell:
    """Median, p99 and maximum of one latency, whole milliseconds."""
    return spread_of(*path, digits=0, which=("p50", "p99", "max"))


def lost(rounds: list[Round], name: str) -> str:
    """Errors, and what never came to its end."""
    return str(sum(done[name]["errors"] + done[name]["unfinished"] for done in rounds))


def main_table(
    summary: dict[str, Any], figures: Sequence[Figure], floors: Sequence[str], names: Iterable[str]
) -> str:
    """Each figure with its ratios to what it is compared with, beside it."""
    names = list(names)
    shown = [floor for floor in floors if floor in names]
    titles, cells = ["target"], [[name] for name in names]
    for figure in figures:
        found = summary[figure.name]["targets"]
        titles.append(figure.name)
        for row, name in zip(cells, names, strict=True):
            row.append(_extent(found[name], figure.digits))
        for floor in shown if figure.compared else ():
            titles.append(f"/{floor}")
            for row, name in zip(cells, names, strict=True):
                row.append(_ratio(found[name], floor, name))
    return aligned([titles, *cells])


def more_table(rounds: list[Round], columns: Sequence[Column]) -> str:
    """What else is known of each target."""
    rows = [["target", *(column.title for column in columns)]]
    rows += [[name, *(column.cell(rounds, name) for column in columns)] for name in rounds[0]]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first one to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if first == 0 else cell.rjust(width)
            for first, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def goals_told(summary: dict[str, Any]) -> str:
    """What was to be reached, and whether it was."""
    return "\n".join(
        f"{found['of']} {name}: {found['median']:g} ({found['min']:g}..{found['max']:g}), "
        f"goal {found['goal']}: {'reached' if found['reached'] else 'MISSED'}"
        for name, figure in summary.items()
        for found in figure["goals"]
    )


def machine_told(machine: dict[str, Any]) -> str:
    """Where the figures were taken."""
    return (
        f"{machine['system']}, {machine['processors']} processors, Python {machine['python']}, "
        f"SQLite {machine['sqlite']} on {machine['file_system']}; "
        f"load average at the start {machine['load_average'][0]}"
    )


def _extent(found: Extent | None, digits: int) -> str:
    if found is None:
        return UNKNOWN
    middle, low, high = (f"{found[key]:.{digits}f}" for key in ("median", "min", "max"))
    return middle if low == high else f"{middle} ({low}..{high})"


def _ratio(found: dict[str, Any] | None, floor: str, name: str) -> str:
    if floor == name:
        return "1"
    ratio = found["to"].get(floor) if found is not None else None
    return f"{ratio['median']:.2f}" if ratio is not None else UNKNOWN

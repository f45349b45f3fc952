"""The first lines of the report: where nested wins, where it does not, by how much, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.paper.experiments import name_of
from benchmarks.paper.markdown import difference
from benchmarks.paper.result import Result
from benchmarks.paper.tables.attacks import ROWS_BROKEN
from benchmarks.paper.tables.budgets import DATASETS
from benchmarks.paper.tables.comparison import COMPARISONS
from benchmarks.paper.tables.specifications import specifications
from benchmarks.paper.verdict import differences, interval

PARTS = {"clean": "clean", "distortion_4": "distortion 4"}
HOW = (
    "Nested minus baseline in points of accuracy, with the 95 % t-interval of the differences paired over seeds, "
    "uncorrected for the number of comparisons; bold: sure, as the interval leaves out 0."
)
ONE_ROW_EACH = {*specifications("levels.yaml"), "table4"}
"""Tables with a row for nested and one for each baseline, be it for every attack."""
Table = Mapping[str, Mapping[str, Sequence[float]]]
"""Differences of every seed by row and column."""


def answer(results: Mapping[str, Result]) -> str:
    """Return the answer in Markdown, read off the results there are."""
    parts = [HOW]
    for name, result in results.items():
        if name in DATASETS:
            parts += _answer(f"Few fine labels, {name_of(DATASETS[name])}, finest level", result, _of_budgets(result))
        elif name in COMPARISONS:
            dataset, _ = COMPARISONS[name]
            parts += _answer(f"As many rows at each level, {name_of(dataset)}", result, _of_comparison(result))
        elif name in ONE_ROW_EACH:
            parts += _answer(result.title, result, _of_rows(result))
    return "\n\n".join(parts)


def _answer(title: str, result: Result, found: Table) -> list[str]:
    """Return a sentence and the table behind it."""
    columns = list(next(iter(found.values())))
    lines = ["| against | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for baseline, row in found.items():
        lines.append(f"| {baseline} | " + " | ".join(difference(row[column]) for column in columns) + " |")
    n = len(result.seeds)
    seeds = f"{n} seeds" if n > 1 else "1 seed, so nothing is sure"
    return [f"**{title}** ({seeds}): {_counted(found)}", "\n".join(lines)]


def _counted(found: Table) -> str:
    """Return how often nested is ahead or behind for sure, and where."""
    intervals = {f"{name}: {column}": interval(cell) for name, row in found.items() for column, cell in row.items()}
    ahead, behind = (
        _listed([c for c, (middle, half) in intervals.items() if sign * middle > half]) for sign in (1, -1)
    )
    return f"of {len(intervals)} cells surely ahead in {ahead}, surely behind in {behind}."


def _listed(cells: Sequence[str]) -> str:
    return f"{len(cells)} ({'; '.join(cells)})" if cells else "0"


def _of_budgets(result: Result) -> Table:
    """Return the differences of each baseline, by number of fine labels and kind of rows."""
    curves: Any = result.values
    first = next(iter(curves["nested"].values()))[0]
    parts = {part: called for part, called in PARTS.items() if part in first}
    table: dict[str, dict[str, list[float]]] = {}
    for method in [name for name in curves if name != "nested"]:
        for part, called in parts.items():
            row = table.setdefault(f"{method.replace('_', ' ')}, {called}", {})
            for n, seeds in curves["nested"].items():
                pairs = zip(seeds, curves[method][n], strict=True)
                row[f"{int(n):,}"] = [
                    100 * (ours[part]["accuracy"] - theirs[part]["accuracy"]) for ours, theirs in pairs
                ]
    return table


def _of_comparison(result: Result) -> Table:
    """Return the differences of each baseline as it was trained, by level and kind of rows."""
    table: dict[str, dict[str, Sequence[float]]] = {}
    for row in result.rows:
        level, baseline = row.label.split(": ")
        if level != "middle" and "calibrated" not in baseline:
            for column, cell in zip(result.columns, row.cells, strict=True):
                if cell is not None:
                    table.setdefault(baseline, {})[f"{level}, {column.lower()}"] = cell.accuracy
    return table


def _of_rows(result: Result) -> Table:
    """Return the differences of each row to the nested one of the same attack, if any, by column of accuracies."""
    rows = {
        row.label.lower(): {
            column: cell.accuracy
            for column, cell in zip(result.columns, row.cells, strict=True)
            if cell is not None and column != ROWS_BROKEN
        }
        for row in result.rows
    }
    table: dict[str, dict[str, Sequence[float]]] = {}
    for label, baseline in rows.items():
        *attack, method = label.split(", ")
        if method != "nested":
            nested = rows[", ".join([*attack, "nested"])]
            table[label] = {column: differences(nested[column], theirs) for column, theirs in baseline.items()}
    return table

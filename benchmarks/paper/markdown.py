"""A result as a Markdown table."""

import statistics
from collections.abc import Sequence

from benchmarks.paper.result import Cell, Result
from benchmarks.paper.verdict import interval, verdict


def table(result: Result) -> str:
    """Return the table: ours, in parentheses the paper's, and the verdict."""
    differences = result.name.startswith("comparison")
    lines = ["| | " + " | ".join(result.columns) + " |", "|---|" + "---|" * len(result.columns)]
    for row in result.rows:
        cells = ["-" if c is None else _difference(c) if differences else _figures(c, result) for c in row.cells]
        lines.append(f"| {row.label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean(values: Sequence[float]) -> str:
    """Return the mean, with the standard deviation where there are several values."""
    whole = all(float(value).is_integer() and value > 100 for value in values)
    if whole:
        return f"{statistics.mean(values):,.0f}"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _figures(cell: Cell, result: Result) -> str:
    ours = " / ".join(mean(values) for values in (cell.accuracy, cell.confidence) if values)
    if not cell.paper:
        return ours
    paper = "/".join(f"{figure:,.0f}" if figure > 100 else f"{figure:.1f}" for figure in cell.paper)
    return f"{ours} (paper {paper}: {verdict(cell, result.least_spread)})"


def _difference(cell: Cell) -> str:
    return " / ".join(difference(values) for values in (cell.accuracy, cell.confidence))


def difference(values: Sequence[float]) -> str:
    """Return a mean of paired differences with its 95 % interval, in bold where that leaves out 0."""
    middle, half = interval(values)
    text = f"{middle:+.1f}" + (f" ± {half:.1f}" if len(values) > 1 else "")
    return f"**{text}**" if abs(middle) > half else text

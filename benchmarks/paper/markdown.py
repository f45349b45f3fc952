"""Format a result as a Markdown table."""

import statistics
from collections.abc import Sequence

from benchmarks.paper.result import Cell, Result
from benchmarks.paper.significance import confidence_interval, judge


def format_table(result: Result) -> str:
    """Return the table: our values, and in parentheses the paper's with the verdict on ours."""
    compares = result.name.startswith("comparison")  # its cells are differences
    rows = [
        [row.label, *("-" if c is None else _difference(c) if compares else _values(c, result) for c in row.cells)]
        for row in result.rows
    ]
    return format_rows(["", *result.columns], rows)


def format_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of texts."""
    lines = [" ".join(["|", *(f"{cell} |".lstrip() for cell in line)]) for line in (headings, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(headings), *lines[1:]])


def format_mean(values: Sequence[float]) -> str:
    """Return the mean, with the standard deviation if there are several values."""
    if all(float(value).is_integer() and value > 100 for value in values):
        return f"{statistics.mean(values):,.0f}"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def format_difference(values: Sequence[float]) -> str:
    """Return a mean of paired differences with its 95 % interval, in bold if that excludes 0."""
    middle, half = confidence_interval(values)
    text = f"{middle:+.1f}" + (f" ± {half:.1f}" if len(values) > 1 else "")
    return f"**{text}**" if abs(middle) > half else text


def _values(cell: Cell, result: Result) -> str:
    ours = " / ".join(format_mean(values) for values in (cell.accuracy, cell.confidence) if values)
    if not cell.paper:
        return ours
    paper = "/".join(f"{value:,.0f}" if value > 100 else f"{value:.1f}" for value in cell.paper)
    return f"{ours} (paper {paper}: {judge(cell, result.least_spread)})"


def _difference(cell: Cell) -> str:
    return " / ".join(format_difference(values) for values in (cell.accuracy, cell.confidence))

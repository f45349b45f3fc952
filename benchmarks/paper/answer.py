"""The first lines of the report: where nested wins, where it does not, by how much, and how sure that is."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.paper.markdown import mean
from benchmarks.paper.result import Result
from benchmarks.paper.verdict import interval, paired

METHODS = {"end_to_end": "end to end", "traditional": "traditional training"}
PARTS = {"clean": "clean rows", "distortion_4": "distortion 4"}
SURE = (
    "Ahead or behind means that the 95 % t-interval of the differences, paired over seeds, leaves out 0, without "
    "correction for the number of comparisons; differences are in points of accuracy."
)


def answer(results: Mapping[str, Result]) -> str:
    """Return the answer as a list in Markdown, read off the results there are."""
    lines = [line for name, r in results.items() if name.startswith("budgets") for line in _of_budgets(r)]
    lines += [line for name, r in results.items() if name.startswith("comparison") for line in _of_comparison(r)]
    return "\n".join([*(f"- {line}" for line in lines), "", SURE])


def _of_budgets(result: Result) -> list[str]:
    """Return one line per baseline and kind of rows."""
    curves: Any = result.values
    dataset, lines = result.name.removeprefix("budgets_"), []
    for baseline, called in METHODS.items():
        for part, rows in PARTS.items():

            def pairs(n: str, part: str = part, baseline: str = baseline) -> tuple[list[float], list[float]]:
                ours, theirs = (
                    [100 * seed[part]["fine/accuracy"] for seed in curves[m][n]] for m in ("nested", baseline)
                )
                return ours, theirs

            numbers = [n for n in curves["nested"] if part in curves["nested"][n][0]]
            if numbers:
                few = numbers[0]
                head = f"nested {mean(pairs(few)[0])}, {called} {mean(pairs(few)[1])} with {few} fine labels"
                found = _sorted({f"{int(n):,}": paired(*pairs(n)) for n in numbers}, "fine labels: ")
                lines.append(
                    f"**Few fine labels, {dataset}, {rows}, against {called}** ({_seeds(result)}; 10,000 "
                    f"coarse and 2,000 middle rows): {head}. {found}"
                )
    return lines


def _of_comparison(result: Result) -> list[str]:
    """Return one line per level and kind of rows."""
    dataset, lines = result.name.split("_")[1], []
    for level in ("coarse", "fine"):
        for i, column in enumerate(result.columns):
            differences = {
                row.label.split(": ")[1]: interval(cell.accuracy)
                for row in result.rows
                if row.label.startswith(level) and (cell := row.cells[i]) is not None and "calibrated" not in row.label
            }
            lines.append(
                f"**As many rows at each level, {dataset}, {level} level, {column.lower()}** "
                f"({_seeds(result)}): {_sorted(differences, '')}"
            )
    return lines


def _sorted(differences: Mapping[str, tuple[float, float]], what: str) -> str:
    """Return the names in three groups: ahead, behind, not told apart; of a single seed the differences alone."""
    if any(math.isinf(half) for _, half in differences.values()):
        return (
            f"One seed, so nothing is sure; {what}{', '.join(f'{n} ({m:+.1f})' for n, (m, _) in differences.items())}."
        )
    groups: Sequence[tuple[str, Callable[[float, float], bool]]] = (
        ("ahead", lambda middle, half: middle > half),
        ("behind", lambda middle, half: -middle > half),
        ("not told apart", lambda middle, half: abs(middle) <= half),
    )
    parts = []
    for called, belongs in groups:
        members = [f"{name} ({m:+.1f} ± {h:.1f})" for name, (m, h) in differences.items() if belongs(m, h)]
        if members:
            parts.append(f"{called}: {what}{', '.join(members)}")
    return "; ".join(parts) + "."


def _seeds(result: Result) -> str:
    return f"{len(result.seeds)} seeds" if len(result.seeds) > 1 else "1 seed"

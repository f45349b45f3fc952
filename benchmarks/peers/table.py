"""From answers to figures with their spread, and to a table."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.rows import Indices
from nested_lightning.taxonomy import Taxonomy

SAMPLES = 1000
LEGEND = (
    f"In %. ±: standard deviation over {SAMPLES} bootstrap samples of the test rows, which says how far other test "
    "rows could move a figure; in parentheses, where there are several runs: standard deviation over the runs. path: "
    "every level right; inconsistent: answers of two levels that are not one path. fit: wall time in seconds, the "
    "choice of C on the validation rows included."
)


def figures(runs: Sequence[Indices], targets: Indices, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return mean and spread of each figure of a method.

    Args:
        runs: class indices int64 [N, n_levels], once for each run.
        targets: int64 [N, n_levels], -1 = unknown; a level counts the rows known there.
        taxonomy: the tree of labels.
    """
    counted: dict[str, list[npt.NDArray[np.bool_]]] = {}
    known = targets >= 0
    for answers in runs:
        right = answers == targets
        for level, name in enumerate(taxonomy.levels):
            counted.setdefault(name, []).append(right[known[:, level], level])
        counted.setdefault("path", []).append(right[known.all(axis=1)].all(axis=1))
        counted.setdefault("inconsistent", []).append(_broken(answers, taxonomy))
    return {name: _summary(np.stack(rows)) for name, rows in counted.items()}


def _broken(answers: Indices, taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """Return [N]: whether some level's answer is no child of the answer above."""
    broken = np.zeros(len(answers), dtype=bool)
    for level in range(1, taxonomy.n_levels):
        above, own = answers[:, level - 1], answers[:, level]
        broken |= (own >= 0) & (taxonomy.parents(level).numpy()[own] != above)
    return broken


def _summary(rows: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Return mean, spread over test rows and over runs, in percent, of ``rows`` [runs, N]; None: not to be had."""
    n_runs, n = rows.shape
    if n == 0:
        return {"mean": None, "over_rows": None, "over_runs": None}
    per_row, per_run = 100 * rows.mean(axis=0), 100 * rows.mean(axis=1)
    drawn = np.random.default_rng(0).integers(n, size=(SAMPLES, n))
    return {
        "mean": float(per_row.mean()),
        "over_rows": float(per_row[drawn].mean(axis=1).std()),
        "over_runs": statistics.stdev(per_run.tolist()) if n_runs > 1 else None,
    }


def markdown(source: str, n_rows: int, methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of one test source, a row per method.

    Args:
        source: its name.
        n_rows: its number of test rows.
        methods: what :func:`figures` returns by method, with ``fit_seconds`` (None: not measured).
    """
    names = [name for name in next(iter(methods.values())) if name != "fit_seconds"]
    lines = [f"### {source}, {n_rows:,} test rows", ""]
    lines += [f"| method | {' | '.join(names)} | fit |", "|---|" + "---|" * (len(names) + 1)]
    for method, found in methods.items():
        seconds = found["fit_seconds"]
        cells = [*(_cell(found[name]) for name in names), "–" if seconds is None else f"{seconds:.0f}"]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure: Mapping[str, float | None]) -> str:
    mean, over_rows, over_runs = (figure[key] for key in ("mean", "over_rows", "over_runs"))
    if mean is None or over_rows is None or math.isnan(mean):
        return "–"
    return f"{mean:.1f} ± {over_rows:.1f}" + ("" if over_runs is None else f" ({over_runs:.1f})")

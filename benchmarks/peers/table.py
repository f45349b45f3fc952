"""Compute metrics with their spread from predictions, and format them as a table."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.problem import Indices
from nested_lightning.taxonomy import Taxonomy

RESAMPLES = 1000
LEGEND = (
    f"In %. ±: standard deviation over {RESAMPLES} bootstrap samples of the test set, which shows how much other test "
    "samples could change a value; in parentheses, if there are several runs: standard deviation over the runs. path: "
    "every level correct; inconsistent: predictions of two levels that are not one path. fit: wall time in seconds, "
    "including the choice of C on the validation samples."
)


def compute_metrics(runs: Sequence[Indices], targets: Indices, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return mean and spread of each metric of a method.

    Args:
        runs: class indices int64 [N, n_levels], once for each run.
        targets: int64 [N, n_levels], -1 = unknown; a level counts the samples known there.
        taxonomy: the tree of labels.
    """
    counted: dict[str, list[npt.NDArray[np.bool_]]] = {}
    known = targets >= 0
    for predicted in runs:
        correct = predicted == targets
        inconsistent = np.zeros(len(predicted), dtype=bool)
        for level, name in enumerate(taxonomy.levels):
            counted.setdefault(name, []).append(correct[known[:, level], level])
            if level:
                own, above = predicted[:, level], predicted[:, level - 1]
                inconsistent |= (own >= 0) & (taxonomy.parents(level).numpy()[own] != above)
        counted.setdefault("path", []).append(correct[known.all(axis=1)].all(axis=1))
        counted.setdefault("inconsistent", []).append(inconsistent)
    return {name: _summarise(np.stack(of_runs)) for name, of_runs in counted.items()}


def _summarise(counted: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Return mean and spread over samples and runs, in percent, of ``counted`` [runs, N]; None if unknown."""
    n_runs, n = counted.shape
    if n == 0:
        return {"mean": None, "over_rows": None, "over_runs": None}
    per_sample, per_run = 100 * counted.mean(axis=0), 100 * counted.mean(axis=1)
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    return {
        "mean": float(per_sample.mean()),
        "over_rows": float(per_sample[drawn].mean(axis=1).std()),
        "over_runs": statistics.stdev(per_run.tolist()) if n_runs > 1 else None,
    }


def format_table(source: str, n_samples: int, methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of one test source, a row per method: its metrics and ``fit_seconds`` (None: not measured)."""
    names = [name for name in next(iter(methods.values())) if name != "fit_seconds"]
    lines = [f"### {source}, {n_samples:,} test samples", ""]
    lines += [f"| method | {' | '.join(names)} | fit |", "|---|" + "---|" * (len(names) + 1)]
    for method, found in methods.items():
        seconds = found["fit_seconds"]
        cells = [*(_format(found[name]) for name in names), "–" if seconds is None else f"{seconds:.0f}"]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _format(metric: Mapping[str, float | None]) -> str:
    mean, over_samples, over_runs = (metric[key] for key in ("mean", "over_rows", "over_runs"))
    if mean is None or over_samples is None or math.isnan(mean):
        return "–"
    return f"{mean:.1f} ± {over_samples:.1f}" + ("" if over_runs is None else f" ({over_runs:.1f})")

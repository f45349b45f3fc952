"""Nested minus each baseline, seed by seed: where it wins, and how sure that is. Not in the paper."""

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment, name_of
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row
from benchmarks.paper.training import Workspace

COLUMNS = {"Original": CLEAN, "Distortion 2": "distortion_2", "Distortion 4": "distortion_4"}


def _end_to_end(*numbers: int) -> dict[str, tuple[str, str]]:
    states = {"": "uncalibrated", ", calibrated": "calibrated"}
    return {
        f"end to end, {n:,} fine labels{suffix}": (f"end_to_end_{n}", state)
        for n in numbers
        for suffix, state in states.items()
    }


SAME_ROWS = {
    "multi-task": ("multi_task", "calibrated"),
    "marginalised leaf loss": ("marginal", "calibrated"),
    "no skip connections": ("no_skip", "calibrated"),
}
COMPARISONS = {
    "comparison_mnist": ("mnist", {**_end_to_end(6000, 9000), "traditional": ("traditional", "calibrated")}),
    "comparison_mnist_others": ("mnist", SAME_ROWS),
    "comparison_fashion": ("fashion_mnist", _end_to_end(6000, 9000)),
    "comparison_cifar10": ("cifar10", _end_to_end(10000, 15000)),
}
"""By command: the data set, and by label the variant and whether its calibrated or its uncalibrated model is meant."""


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the comparison."""
    dataset, baselines = COMPARISONS[name]
    variants = dict.fromkeys(["nested", *(variant for variant, _ in baselines.values())])
    return [Experiment(dataset, variant, seed) for seed in seeds for variant in variants]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the differences in points: of accuracy, and of the gap between confidence and accuracy."""
    dataset, baselines = COMPARISONS[name]
    nested = [e["calibrated"] for e in evaluations(dataset, "nested", seeds, workspace)]
    rows = []
    for label, (variant, state) in baselines.items():
        baseline = [e[state] for e in evaluations(dataset, variant, seeds, workspace)]
        for level in ("coarse", "middle", "fine"):
            cells: list[Cell | None] = []
            for part in COLUMNS.values():
                pairs = [(n[part], b[part]) for n, b in zip(nested, baseline, strict=True)]
                accuracy = [n[f"{level}/accuracy"] - b[f"{level}/accuracy"] for n, b in pairs]
                gaps = [_gap(n, level) - _gap(b, level) for n, b in pairs]
                cells.append(Cell([round(100 * d, 2) for d in accuracy], [round(100 * d, 2) for d in gaps]))
            rows.append(Row(f"{level}: {label}", cells))
    title = f"Nested minus baseline, {name_of(dataset)}: accuracy / gap between confidence and accuracy"
    runs, versions = provenance(needs(name, seeds), workspace)
    return Result(name, title, seeds, list(COLUMNS), rows, runs, versions)


def _gap(metrics: dict[str, float], level: str) -> float:
    return abs(metrics[f"{level}/confidence"] - metrics[f"{level}/accuracy"])

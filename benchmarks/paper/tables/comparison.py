"""Nested minus each baseline, seed by seed: where it wins, and how sure that is. Not in the paper."""

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment, name_of
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row
from benchmarks.paper.training import Workspace

COLUMNS = {"Original": CLEAN, "Distortion 2": "distortion_2", "Distortion 4": "distortion_4"}
END_TO_END = {
    "end to end, 6,000 fine labels": ("end_to_end_6000", "uncalibrated"),
    "end to end, 6,000 fine labels, calibrated": ("end_to_end_6000", "calibrated"),
    "end to end, 9,000 fine labels": ("end_to_end_9000", "uncalibrated"),
    "end to end, 9,000 fine labels, calibrated": ("end_to_end_9000", "calibrated"),
}
SAME_ROWS = {
    "multi-task": ("multi_task", "calibrated"),
    "marginalised leaf loss": ("marginal", "calibrated"),
    "no skip connections": ("no_skip", "calibrated"),
}
COMPARISONS = {
    "comparison_mnist": ("mnist", {**END_TO_END, "traditional": ("traditional", "calibrated")}),
    "comparison_mnist_others": ("mnist", SAME_ROWS),
    "comparison_fashion": ("fashion_mnist", END_TO_END),
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

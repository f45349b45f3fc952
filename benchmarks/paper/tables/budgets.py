"""Label-budget curves: accuracy, confidence and whole paths against the number of fine labels. Not in the paper."""

from typing import Any

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment, budgets
from benchmarks.paper.figures.budgets import draw_budgets
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.training import Workspace

DATASETS = {"budgets_mnist": "mnist", "budgets_fashion": "fashion_mnist"}
PARTS = (CLEAN, "distortion_2", "distortion_4")
KEYS = ("fine/accuracy", "fine/confidence", "coarse/accuracy", "coarse/confidence", "path/accuracy", "path/f1")


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the curves; those of one seed first, from few labels to many."""
    variants = [variant for by_number in budgets(DATASETS[name]).values() for variant in by_number.values()]
    return [Experiment(DATASETS[name], variant, seed) for seed in seeds for variant in variants]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the curves as a table of fine accuracy and confidence, all their figures, and the picture."""
    dataset = DATASETS[name]
    curves: dict[str, dict[int, list[Any]]] = {}
    rows = []
    for method, variants in budgets(dataset).items():
        for n, variant in variants.items():
            measured = [e["calibrated"] for e in evaluations(dataset, variant, seeds, workspace)]
            curves.setdefault(method, {})[n] = [
                {part: {key: seed[part][key] for key in KEYS} for part in PARTS if part in seed} for seed in measured
            ]
            cells: list[Cell | None] = [
                Cell(
                    percent([m[part]["fine/accuracy"] for m in measured]),
                    percent([m[part]["fine/confidence"] for m in measured]),
                )
                for part in PARTS
            ]
            rows.append(Row(f"{method.replace('_', ' ')}, {n:,} fine labels", cells))
    title = f"Label budgets, {dataset}: 10,000 rows labelled coarse and 2,000 middle beside the fine ones"
    columns = ["Original", "Distortion 2", "Distortion 4"]
    runs, versions = provenance(needs(name, seeds), workspace)
    pictures = {name: draw_budgets(curves)}
    notes = [
        "With 100 fine labels an epoch has four steps, and six epochs without improvement end a stage: end-to-end "
        "training may stop before it has learned anything, at an accuracy near 10 %. Where its spread is large this "
        "has happened to a seed, and the baseline is weaker than it need be."
    ]
    return Result(name, title, seeds, columns, rows, runs, versions, notes, curves, pictures)

"""Label-budget curves: accuracy, confidence and whole paths against the number of fine labels. Not in the paper."""

from collections.abc import Mapping
from typing import Any

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment, beside, budgets, name_of
from benchmarks.paper.figures.budgets import draw_budgets
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.training import Workspace

DATASETS = {"budgets_mnist": "mnist", "budgets_fashion": "fashion_mnist", "budgets_dbpedia": "dbpedia"}
PARTS = (CLEAN, "distortion_2", "distortion_4")


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the curves; those of one seed first, from few labels to many."""
    variants = [variant for by_number in budgets(DATASETS[name]).values() for variant in by_number.values()]
    return [Experiment(DATASETS[name], variant, seed) for seed in seeds for variant in variants]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the curves as a table of fine accuracy and confidence, all their figures, and the picture."""
    dataset = DATASETS[name]
    runs, versions = provenance(needs(name, seeds), workspace)
    curves: dict[str, dict[int, list[Any]]] = {}
    rows = []
    for method, variants in budgets(dataset).items():
        for n, variant in variants.items():
            measured = [e["calibrated"] for e in evaluations(dataset, variant, seeds, workspace)]
            curves.setdefault(method, {})[n] = [
                {part: _figures(seed[part]) for part in PARTS if part in seed} for seed in measured
            ]
            parts = list(curves[method][n][0])
            cells: list[Cell | None] = [
                Cell(*(percent([seed[part][key] for seed in curves[method][n]]) for key in ("accuracy", "confidence")))
                for part in parts
            ]
            rows.append(Row(f"{method.replace('_', ' ')}, {n:,} fine labels", cells))
    title = f"Label budgets, {name_of(dataset)}: {beside(dataset)} beside the fine ones"
    columns = [{CLEAN: "Original"}.get(part, part.replace("_", " ").capitalize()) for part in parts]
    notes = ["Accuracy and confidence of the finest level, calibrated and combined."]
    pictures = {name: draw_budgets(curves)}
    return Result(name, title, seeds, columns, rows, runs, versions, notes, curves, pictures)


def _figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of the finest level, which is logged last, and of whole paths."""
    *_, finest = (key.removesuffix("/accuracy") for key in metrics if key.endswith("/accuracy") and "path" not in key)
    figures = {name: metrics[f"{finest}/{name}"] for name in ("accuracy", "confidence")}
    return {**figures, "path/accuracy": metrics["path/accuracy"], "path/f1": metrics["path/f1"]}

"""The learning rates that were tried, with the same number of trials for every method. Not in the paper."""

import csv
from pathlib import Path

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.finished import provenance
from benchmarks.paper.result import Cell, Result, Row
from benchmarks.paper.training import Workspace

METHODS = ("nested", "end_to_end", "traditional")
FACTORS = (1, 2, 4)
SEED = 0


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the trials; their one seed is in no other table."""
    return [Experiment("mnist", f"tuning_{method}_{factor}", SEED) for factor in FACTORS for method in METHODS]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the accuracy of whole paths on the validation rows where the last stage's loss was least."""
    rows = []
    for method in METHODS:
        trials = [Experiment("mnist", f"tuning_{method}_{factor}", SEED) for factor in FACTORS]
        cells: list[Cell | None] = [Cell([_accuracy(trial.folder(workspace.runs))]) for trial in trials]
        rows.append(Row(method.replace("_", " "), cells))
    title = "Learning rates: accuracy of whole paths on the validation rows, MNIST, seed 0, about half the epochs"
    columns = ["1e-3 (nested: 2e-3, 1e-3, 5e-4)", "twice that", "four times"]
    runs, versions = provenance(needs(name, seeds), workspace)
    notes = ["The best of each row is taken for all its runs. The 5,000 rows leave about 0.2 of uncertainty."]
    return Result(name, title, [SEED], columns, rows, runs, versions, notes)


def _accuracy(folder: Path) -> float:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stages = {row["epoch"]: float(row["cascade/stage"]) for row in rows if row.get("cascade/stage")}
    last = [row for row in rows if row.get("val/loss") and stages.get(row["epoch"]) == max(stages.values())]
    best = min(last, key=lambda row: float(row["val/loss"]))
    return round(100 * float(best["val/path/accuracy"]), 2)

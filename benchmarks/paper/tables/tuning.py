"""The learning rates that were tried, with as many trials for every method. Not in the paper."""

import csv
from pathlib import Path

from benchmarks.paper.commands import Runs, table
from benchmarks.paper.result import Cell, Result, Row

METHODS = ("nested", "end_to_end", "traditional")
TRIALS = {method: [f"tuning_{method}_{factor}" for factor in (1, 2, 4)] for method in METHODS}
SEED = 0  # which no other table uses


@table(
    "tuning",
    dataset="mnist",
    variants=[trial for trials in zip(*TRIALS.values(), strict=True) for trial in trials],
    seeds=(SEED,),
    measured=False,
)
def compare_learning_rates(runs: Runs) -> Result:
    """Return the accuracy of whole paths on the validation samples where the last stage's loss was lowest."""
    rows = []
    for method, trials in TRIALS.items():
        accuracies = [[_read_accuracy(folder) for folder in runs.folders(trial)] for trial in trials]
        rows.append(Row(method.replace("_", " "), [Cell(accuracy) for accuracy in accuracies]))
    return Result(
        title="Learning rates: accuracy of whole paths on the validation rows, MNIST, seed 0, about half the epochs",
        columns=["1e-3 (nested: 2e-3, 1e-3, 5e-4)", "twice that", "four times"],
        rows=rows,
        notes=[
            "All runs of a method use the best of its row. The 5,000 validation samples leave an uncertainty of about "
            "0.2."
        ],
    )


def _read_accuracy(folder: Path) -> float:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stages = {row["epoch"]: float(row["cascade/stage"]) for row in rows if row.get("cascade/stage")}
    last = [row for row in rows if row.get("val/loss") and stages.get(row["epoch"]) == max(stages.values())]
    best = min(last, key=lambda row: float(row["val/loss"]))
    return round(100 * float(best["val/path/accuracy"]), 2)

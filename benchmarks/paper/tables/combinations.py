"""Table B.1: fine accuracy under several ways to combine the levels."""

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.training import Workspace

RULES = {
    "Without comb.": "independent",
    "Ours (Eq. 2)": "nested",
    "Coarse & Fine": "coarse_and_fine",
    "Mean": "mean",
    "Product": "product",
    "MV": "majority_vote",
    "HiE (not in the paper)": "hie",
}
PAPER = {
    "Original": (CLEAN, [98.8, 98.6, 98.7, 98.7, 98.7, 98.5]),
    "Distortion 2": ("distortion_2", [80.8, 82.8, 82.1, 82.2, 82.4, 80.1]),
    "Distortion 4": ("distortion_4", [45.8, 50.6, 49.6, 48.6, 49.6, 47.5]),
}


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the table."""
    return [Experiment("mnist", "nested", seed) for seed in seeds]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the table from its finished runs; the temperatures are those fitted for Eq. 2."""
    measured = [e["combinations"] for e in evaluations("mnist", "nested", seeds, workspace)]
    rows = []
    for label, (part, paper) in PAPER.items():
        cells: list[Cell | None] = []
        for i, rule in enumerate(RULES.values()):
            accuracy = percent([m[rule][part]["fine/accuracy"] for m in measured])
            cells.append(Cell(accuracy, [], paper[i : i + 1]))
        rows.append(Row(label, cells))
    title = "Table B.1: MNIST, fine accuracy of the combinations, N = 6,000"
    return Result(name, title, seeds, list(RULES), rows, *provenance(needs(name, seeds), workspace))

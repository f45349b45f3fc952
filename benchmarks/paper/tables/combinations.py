"""Table B.1: fine accuracy under several ways to combine the levels."""

from benchmarks.paper.commands import Runs, table
from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.result import Cell, Result, Row, percent

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


@table("tableB1", dataset="mnist", variants=["nested"])
def compare_combinations(runs: Runs) -> Result:
    """Return the table; all rules use the temperatures fitted for Eq. 2."""
    measured = [e["combinations"] for e in runs.evaluations("nested")]
    rows = []
    for label, (part, paper) in PAPER.items():
        accuracies = [percent([m[rule][part]["fine/accuracy"] for m in measured]) for rule in RULES.values()]
        rows.append(Row(label, [Cell(a, [], paper[i : i + 1]) for i, a in enumerate(accuracies)]))
    title = "Table B.1: MNIST, fine accuracy of the combinations, N = 6,000"
    return Result(title=title, columns=list(RULES), rows=rows)

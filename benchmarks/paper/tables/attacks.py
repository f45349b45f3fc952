"""Tables 3 and 4: FGSM steps at error rates, and coarser answers when the finest is broken by an attack."""

from functools import partial
from typing import Any

from benchmarks.paper.attacks import evaluate_attacks
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.finished import kept, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.training import Workspace

METHODS = {"end-to-end": "end_to_end_9000", "nested": "nested"}
RATES = {
    "end-to-end": {"eps@5": 6.0e-3, "eps@10": 1.0e-2, "eps@15": 1.4e-2, "eps@30": 2.2e-2},
    "nested": {"eps@5": 1.4e-2, "eps@10": 2.2e-2, "eps@15": 3.0e-2, "eps@30": 5.0e-2},
}
BROKEN = {
    ("fgsm", "nested"): {"coarse": 86.8, "middle": 60.9},
    ("fgsm", "end-to-end"): {"coarse": 25.2, "middle": 15.6},
    ("deepfool", "nested"): {"coarse": 57.2, "middle": 35.7},
    ("deepfool", "end-to-end"): {"coarse": 44.5, "middle": 27.5},
    ("saliency", "nested"): {"coarse": 82.2, "middle": 71.5},
    ("saliency", "end-to-end"): {"coarse": 27.4, "middle": 17.2},
}
ROWS_BROKEN = "rows broken"
NOTES = [
    "Attacks of adversarial-robustness-toolbox on the calibrated, combined fine answer. Error rates count rows that "
    "are wrong without an attack. Table 3 and FGSM: 500 test rows of each seed, the same for both models; DeepFool "
    "and saliency map: 150 of them.",
    "A single FGSM step is a weak attack, and weaker on some models than on others: the ratio of two models' steps "
    "says less than it seems. See benchmarks/paper/attacks.md.",
]


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the tables."""
    return [Experiment("mnist", variant, seed) for seed in seeds for variant in METHODS.values()]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the table; a model is attacked once, and what was found is kept beside its run."""
    found = {m: [_attacked(Experiment("mnist", v, seed), workspace) for seed in seeds] for m, v in METHODS.items()}
    runs, versions = provenance(needs(name, seeds), workspace)
    if name == "table3":
        steps = [
            Row(method, [Cell([round(100 * seed["table3"][rate], 2) for seed in found[method]], [], [100 * paper])
                         for rate, paper in rates.items()])
            for method, rates in RATES.items()
        ]  # fmt: skip
        title = "Table 3: MNIST, FGSM step at error rates, in % of the range of a pixel"
        columns = ["ER = 5 %", "ER = 10 %", "ER = 15 %", "ER = 30 %"]
        return Result(name, title, seeds, columns, steps, runs, versions, NOTES, least_spread=0)
    rows = []
    for (attack, method), paper in BROKEN.items():
        measured = [seed["table4"][attack] for seed in found[method]]
        cells: list[Cell | None] = [
            Cell(percent([m["accuracy"][level] for m in measured]), [], [figure]) for level, figure in paper.items()
        ]
        cells.append(Cell(percent([m["broken"] for m in measured])))
        rows.append(Row(f"{attack}, {method}", cells))
    title = "Table 4: MNIST, accuracy of coarser answers where an attack has made the fine one wrong"
    return Result(name, title, seeds, ["coarse", "middle", ROWS_BROKEN], rows, runs, versions, NOTES)


def _attacked(experiment: Experiment, workspace: Workspace) -> Any:
    return kept("attacks", partial(evaluate_attacks, seed=experiment.seed), experiment, workspace)

"""Figure 4: the flow of information with and without skip connections, as MINE estimates it."""

from typing import Any

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.information import draw_information
from benchmarks.paper.finished import kept, provenance
from benchmarks.paper.information import evaluate_information
from benchmarks.paper.result import Cell, Result, Row
from benchmarks.paper.training import Workspace

VARIANTS = {"with skip connections": "nested", "without": "no_skip"}
PAPER = {"with skip connections": 0.37, "without": 0.21}


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the figure."""
    return [Experiment("mnist", variant, seed) for seed in seeds for variant in VARIANTS.values()]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the estimates in nats, Delta of Eq. 6 and 7 beside the paper's, and the picture."""
    found: dict[str, list[Any]] = {
        called: [_estimated(Experiment("mnist", variant, seed), workspace) for seed in seeds]
        for called, variant in VARIANTS.items()
    }
    rows = []
    for called, estimates in found.items():
        pairs = [[round(e[pair]["nats"], 2) for e in estimates] for pair in ("FG", "FH")]
        delta = Cell([round(e["delta"], 2) for e in estimates], [], [PAPER[called]])
        rows.append(Row(called, [Cell(pairs[0]), Cell(pairs[1]), delta]))
    title = "Figure 4: MNIST, mutual information of feature maps, in nats"
    columns = ["I(F, G)", "I(F, H)", "Δ = I(F, G) - I(F, H)"]
    runs, versions = provenance(needs(name, seeds), workspace)
    notes = [
        "F: behind the second pooling; H: coarsest bottleneck; G: next bottleneck; averaged to 2x2. Estimated on the "
        "half of the 5,000 test images that the estimator has not learned from. What the figures can say and cannot: "
        "benchmarks/paper/information.md.",
    ]
    pictures = {name: draw_information(found)}
    return Result(name, title, seeds, columns, rows, runs, versions, notes, pictures=pictures, least_spread=0)


def _estimated(experiment: Experiment, workspace: Workspace) -> Any:
    return kept(
        "information",
        lambda module, images, _: evaluate_information(module, images, seed=experiment.seed),
        experiment,
        workspace,
    )

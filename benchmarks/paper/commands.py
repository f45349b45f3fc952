"""The commands: what each needs, and how it is built."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.result import Result
from benchmarks.paper.tables import (
    attacks,
    budgets,
    combinations,
    comparison,
    distorted,
    distortion,
    embeddings,
    information,
    levels,
    parameters,
    rejection,
    reliability,
    samples,
    taxonomies,
    training_curves,
    tuning,
)
from benchmarks.paper.training import Workspace


@dataclass(frozen=True)
class Command:
    """One table or figure.

    Attributes:
        needs: from name and seeds to the runs that must be there.
        build: from name, seeds and workspace to the result.
        seeds: how many by default.
        measured: whether the runs must be measured on the test rows.
    """

    needs: Callable[[str, list[int]], list[Experiment]]
    build: Callable[[str, list[int], Workspace], Result]
    seeds: int = 5
    measured: bool = True


COMMANDS: dict[str, Command] = {
    "budgets_mnist": Command(budgets.needs, budgets.build),
    "budgets_fashion": Command(budgets.needs, budgets.build),
    "budgets_dbpedia": Command(budgets.needs, budgets.build, seeds=3),
    "comparison_mnist": Command(comparison.needs, comparison.build),
    "comparison_mnist_others": Command(comparison.needs, comparison.build),
    "comparison_fashion": Command(comparison.needs, comparison.build, seeds=3),
    "comparison_cifar10": Command(comparison.needs, comparison.build, seeds=1),
    "table1": Command(distortion.needs, distortion.build, seeds=1),
    "table2_dbpedia": Command(levels.needs, levels.build, seeds=3),
    "table2_plantvillage": Command(levels.needs, levels.build, seeds=2),
    "table2_cifar100": Command(levels.needs, levels.build, seeds=1),
    "table3": Command(attacks.needs, attacks.build),
    "table4": Command(attacks.needs, attacks.build),
    "table5": Command(distortion.needs, distortion.build),
    "table6": Command(distortion.needs, distortion.build),
    "tableB1": Command(combinations.needs, combinations.build),
    "tableC1": Command(parameters.needs, parameters.build),
    "tableE1": Command(distortion.needs, distortion.build),
    "tableE1_fashion": Command(distortion.needs, distortion.build, seeds=3),
    "tableE2": Command(distortion.needs, distortion.build),
    "neighbours": Command(distortion.needs, distortion.build),
    "figure4": Command(information.needs, information.build),
    "figure5": Command(training_curves.needs, training_curves.build, measured=False),
    "figureA1": Command(samples.needs, samples.build, seeds=1),
    "figureA1_mnist": Command(samples.needs, samples.build, seeds=1),
    "figureC4": Command(rejection.needs, rejection.build, seeds=1),
    "figureD1": Command(taxonomies.needs, taxonomies.build, seeds=3),
    "figureF1": Command(distorted.needs, distorted.build, seeds=1),
    "figureG1": Command(embeddings.needs, embeddings.build, seeds=1),
    "reliability": Command(reliability.needs, reliability.build, seeds=1),
    "tuning": Command(tuning.needs, tuning.build, seeds=1, measured=False),
}
"""By name, in the order of docs/results.md."""

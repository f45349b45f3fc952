"""The decorators ``@table`` and ``@figure``, which make a function a command of ``python -m benchmarks.paper``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.paper.evaluation import CLEAN, join_batches, open_run
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace, read, read_versions, write
from nested_lightning import NestedLightningModule

Loaders = dict[str, Any]
"""Data loaders of the test samples: clean, and under each distortion."""
Differences = Mapping[str, Mapping[str, Sequence[float]]]
"""Nested minus baseline for every seed, by row (baseline) and column."""


@dataclass(frozen=True)
class Runs:
    """The finished runs of a table: what its function builds the result from.

    Attributes:
        name: of the command.
        dataset: a key of ``experiments.yaml``.
        variants: those of the data set that the table compares.
        seeds: of the runs.
        workspace: the folders of data and runs.
    """

    name: str
    dataset: str
    variants: tuple[str, ...]
    seeds: list[int]
    workspace: Workspace

    def experiments(self) -> list[Experiment]:
        """Return all runs, those of the first seed first."""
        return [Experiment(self.dataset, variant, seed) for seed in self.seeds for variant in self.variants]

    def folders(self, variant: str) -> list[Path]:
        """Return the folder of each seed's run."""
        return [Experiment(self.dataset, variant, seed).folder(self.workspace.runs) for seed in self.seeds]

    def evaluations(self, variant: str) -> list[Any]:
        """Return the evaluation of each seed's run, as :func:`~benchmarks.paper.evaluation.evaluate` returned it."""
        return [read(folder / "evaluation.json") for folder in self.folders(variant)]

    def open(self, variant: str, seed: int | None = None) -> tuple[NestedLightningModule, Loaders]:
        """Return the calibrated model of a run (of the first seed unless given), and its test loaders."""
        experiment = Experiment(self.dataset, variant, self.seeds[0] if seed is None else seed)
        return open_run(experiment.folder(self.workspace.runs), experiment.test_source(self.workspace.data))

    def measure(
        self, name: str, variant: str, find: Callable[[NestedLightningModule, Tensor, Tensor, int], Any]
    ) -> list[Any]:
        """Return ``find(model, inputs, target, seed)`` on the clean test samples of each seed's run, as plain values.

        It is computed once and kept beside the run as ``NAME.json``.
        """
        for seed, folder in zip(self.seeds, self.folders(variant), strict=True):
            if not (folder / f"{name}.json").exists():
                module, loaders = self.open(variant, seed)
                write(folder / f"{name}.json", find(module, *join_batches(loaders[CLEAN]), seed))
        return [read(folder / f"{name}.json") for folder in self.folders(variant)]


REGISTERED: dict[str, "Command"] = {}
"""By name."""


@dataclass
class Command:
    """A table or figure as a command; used as a decorator, ``@table(NAME, ...)`` or ``@figure(NAME, ...)``.

    The decorated function builds a :class:`Result` from finished runs. The command trains and evaluates the runs that
    are missing, calls the function, adds seeds, options, wall times, devices and versions to its result, and writes the
    JSON file and the pictures.

    Attributes:
        name: of the command and of its files.
        dataset: a key of ``experiments.yaml``; empty if nothing is trained.
        variants: those of the data set that are needed.
        seeds: how many by default, or the seeds themselves if no others make sense.
        one_seed: whether only the first seed is used, as in figures of one run.
        measured: whether runs must be evaluated on the test samples.
        differences: from data set and result to a heading and nested minus each baseline, for the summary of the page.
    """

    name: str
    _: KW_ONLY
    dataset: str = ""
    variants: Iterable[str] = ()
    seeds: int | tuple[int, ...] = 5
    one_seed: bool = False
    measured: bool = True
    differences: Callable[[str, Result], tuple[str, Differences]] | None = None
    build: Callable[[Runs], Result] = field(init=False)

    def __call__(self, build: Callable[[Runs], Result]) -> Callable[[Runs], Result]:
        """Register the command that builds its result with ``build``."""
        self.build = build
        REGISTERED[self.name] = self
        return build

    @property
    def n_seeds(self) -> int:
        """The number of seeds by default."""
        return self.seeds if isinstance(self.seeds, int) else len(self.seeds)

    def runs(self, workspace: Workspace, number: int | None = None, first: int = 1) -> Runs:
        """Return the runs it needs, with ``number`` seeds (None: its own number) from ``first`` on."""
        seeds = [*range(first, first + (number or self.seeds))] if isinstance(self.seeds, int) else [*self.seeds]
        variants = tuple(dict.fromkeys(self.variants))
        return Runs(self.name, self.dataset, variants, seeds[:1] if self.one_seed else seeds, workspace)

    def result(self, runs: Runs) -> Result:
        """Return what its function builds from the finished runs, with their provenance."""
        made, versions = _provenance(runs)
        return replace(self.build(runs), name=self.name, seeds=runs.seeds, runs=made, versions=versions)


table = figure = Command


def _provenance(runs: Runs) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options, wall times and devices by variant, and the versions: this process's if nothing was trained."""
    if not runs.experiments():
        return {}, read_versions()
    made: dict[str, Any] = {}
    versions: dict[str, list[str]] = {}
    for experiment in runs.experiments():
        run = read(experiment.folder(runs.workspace.runs) / "run.json")
        key = f"{experiment.dataset}/{experiment.variant}"
        of_variant = made.setdefault(key, {"options": " ".join(run["options"]), "seconds": [], "devices": []})
        of_variant["seconds"].append(run["seconds"])
        of_variant["devices"].append(run["device"])
        for package, version in run["versions"].items():
            versions.setdefault(package, []).append(version)
    return made, {package: ", ".join(dict.fromkeys(found)) for package, found in versions.items()}

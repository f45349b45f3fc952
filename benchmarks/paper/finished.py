"""What finished runs have left."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from benchmarks.paper.evaluation import CLEAN, all_rows, open_run
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.training import Workspace, read, write
from nested_lightning import NestedLightningModule

Finder = Callable[[NestedLightningModule, Tensor, Tensor], Any]
"""From a model, inputs and targets to plain values."""


def opened(experiment: Experiment, workspace: Workspace) -> tuple[NestedLightningModule, dict[str, Any]]:
    """Return the calibrated model of a run, and its test loaders by part."""
    return open_run(experiment.folder(workspace.runs), experiment.test_source(workspace.data))


def evaluations(dataset: str, variant: str, seeds: Iterable[int], workspace: Workspace) -> list[Any]:
    """Return the evaluation of each seed's run."""
    folders = [Experiment(dataset, variant, seed).folder(workspace.runs) for seed in seeds]
    return [read(folder / "evaluation.json") for folder in folders]


def kept(
    name: str,
    find: Callable[[NestedLightningModule, Tensor, Tensor], Any],
    experiment: Experiment,
    workspace: Workspace,
) -> Any:
    """Return what ``find`` says of a run's model and its clean test rows; it is asked once, and kept beside the run."""
    file = experiment.folder(workspace.runs) / f"{name}.json"
    if not file.exists():
        module, loaders = opened(experiment, workspace)
        write(file, find(module, *all_rows(loaders[CLEAN])))
    return read(file)


def provenance(experiments: Iterable[Experiment], workspace: Workspace) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options, wall times and devices by variant, and the versions."""
    runs: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for experiment in experiments:
        made = read(experiment.folder(workspace.runs) / "run.json")
        key = f"{experiment.dataset}/{experiment.variant}"
        run = runs.setdefault(key, {"options": " ".join(made["options"]), "seconds": [], "devices": []})
        run["seconds"].append(made["seconds"])
        run["devices"].append(made["device"])
        for package, version in made["versions"].items():
            others = versions.get(package, "").split(", ") if package in versions else []
            versions[package] = ", ".join(dict.fromkeys([*others, version]))
    return runs, versions

"""What finished runs have left."""

from collections.abc import Iterable
from typing import Any

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.training import Workspace, read


def evaluations(dataset: str, variant: str, seeds: Iterable[int], workspace: Workspace) -> list[Any]:
    """Return the evaluation of each seed's run."""
    folders = [Experiment(dataset, variant, seed).folder(workspace.runs) for seed in seeds]
    return [read(folder / "evaluation.json") for folder in folders]


def provenance(experiments: Iterable[Experiment], workspace: Workspace) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options and wall times by variant, and the versions, which must be the same for all."""
    runs: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for experiment in experiments:
        made = read(experiment.folder(workspace.runs) / "run.json")
        key = f"{experiment.dataset}/{experiment.variant}"
        run = runs.setdefault(key, {"options": " ".join(made["options"]), "seconds": []})
        run["seconds"].append(made["seconds"])
        for package, version in made["versions"].items():
            others = versions.get(package, "").split(", ") if package in versions else []
            versions[package] = ", ".join(dict.fromkeys([*others, version]))
    return runs, versions

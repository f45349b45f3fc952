"""Reliability diagrams of the nested model, before and after calibration, clean and distorted. Not in the paper."""

import torch
from torch import Tensor

from benchmarks.paper.evaluation import open_uncalibrated
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.reliability import draw_reliability
from benchmarks.paper.finished import opened, provenance
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace
from nested_lightning.functional.reliability import reliability_bins

PARTS = {"clean": "clean rows", "distortion_2": "distortion 2"}
BINS = 15


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the run of the figure."""
    return [Experiment("mnist", "nested", seeds[0])]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture of the first seed's run."""
    (experiment,) = needs(name, seeds)
    module, loaders = opened(experiment, workspace)
    uncalibrated = open_uncalibrated(experiment.folder(workspace.runs))
    states = {"before calibration": uncalibrated or module, "after calibration": module}
    bins: dict[str, dict[str, Tensor]] = {}
    for part, called in PARTS.items():
        for state, model in states.items():
            sums = bins.setdefault(f"{called}, {state}", {})
            for images, target in loaders[part]:
                for i, (level, p) in enumerate(
                    zip(model.taxonomy.levels, model.predict(images).probabilities, strict=True)
                ):
                    sums[level] = sums.get(level, torch.zeros(BINS, 3)) + reliability_bins(p, target[:, i], BINS)
    title = "Reliability: MNIST, nested, before and after calibration"
    runs, versions = provenance(needs(name, seeds), workspace)
    return Result(name, title, seeds[:1], [], [], runs, versions, pictures={name: draw_reliability(bins)})

"""Figure A.1: test images, sharp and disturbed, with the answers of the nested and the end-to-end model."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.paper.evaluation import CLEAN, all_rows
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.samples import draw_samples
from benchmarks.paper.finished import opened, provenance
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace

ROWS = 500
BASELINES = {"figureA1": ("cifar10", "end_to_end_15000"), "figureA1_mnist": ("mnist", "end_to_end_9000")}


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the two runs of the figure."""
    dataset, baseline = BASELINES[name]
    return [Experiment(dataset, variant, seeds[0]) for variant in ("nested", baseline)]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture: rows drawn at random of the first test rows."""
    models = {}
    for experiment in needs(name, seeds):
        module, loaders = opened(experiment, workspace)
        models["nested" if experiment.variant == "nested" else "end to end"] = module
    images, target = (rows[:ROWS] for rows in all_rows(loaders[CLEAN]))
    disturbed, called = _disturbance(name, loaders)
    views = {
        title: (x, {method: model.predict(x) for method, model in models.items()})
        for title, x in (("sharp", images), (called, disturbed(images)))
    }
    title = f"Figure A.1: {BASELINES[name][0]}, answers to sharp and {called} images"
    notes = ["Eight of the first 500 test rows, drawn with seed 0. A bar is as long as the confidence."]
    runs, versions = provenance(needs(name, seeds), workspace)
    pictures = {name: draw_samples(views, target, models["nested"].taxonomy)}
    return Result(name, title, seeds[:1], [], [], runs, versions, notes, pictures=pictures)


def _disturbance(name: str, loaders: dict[str, Any]) -> tuple[Callable[[torch.Tensor], torch.Tensor], str]:
    if name == "figureA1":
        from torchvision.transforms.v2 import GaussianBlur

        return GaussianBlur(5, 1.5), "blurred"
    return lambda images: all_rows(loaders["distortion_3"])[0][: len(images)], "distorted"

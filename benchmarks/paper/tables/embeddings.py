"""Figure G.1: the embeddings of every level in two dimensions, stage by stage, beside the end-to-end model's."""

import torch
from torch import Tensor

from benchmarks.paper.evaluation import CLEAN, all_rows
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.embeddings import draw_embeddings
from benchmarks.paper.finished import opened, provenance
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace
from nested_lightning.loading import load_run

ROWS = 1000
VARIANTS = ("nested", "end_to_end_9000")


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the two runs of the figure."""
    return [Experiment("mnist", variant, seeds[0]) for variant in VARIANTS]


@torch.no_grad()
def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture of the first seed's runs."""
    nested, end_to_end = needs(name, seeds)
    baseline, loaders = opened(end_to_end, workspace)
    images, target = (rows[:ROWS] for rows in all_rows(loaders[CLEAN]))
    columns: dict[str, list[Tensor]] = {}
    for level, called in enumerate(baseline.taxonomy.levels):
        module, _ = load_run(nested.folder(workspace.runs) / "checkpoints" / f"stage-{level + 1}-{called}.ckpt")
        columns[f"stage {called}"] = module.network.embed(images, up_to=level)
    columns["end to end"] = baseline.network.embed(images)
    title = "Figure G.1: MNIST, embeddings of the test rows (t-SNE)"
    runs, versions = provenance(needs(name, seeds), workspace)
    pictures = {name: draw_embeddings(columns, target, baseline.taxonomy)}
    return Result(name, title, seeds[:1], [], [], runs, versions, pictures=pictures)

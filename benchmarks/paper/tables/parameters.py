"""Table C.1: parameters of the networks of the recipes; nothing is trained."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from omegaconf import OmegaConf
from torch import nn

from benchmarks.paper.commands import Runs, table
from benchmarks.paper.result import Cell, Result, Row
from nested_lightning import NestedLightningModule, Taxonomy

ROOT = Path(__file__).parents[3]
NETWORKS: dict[str, tuple[list[str], float]] = {
    "MNIST": (["mnist"], 5.2e4),
    "F-MNIST": (["fashion_mnist"], 5.2e4),
    "CIFAR-10": (["cifar10"], 6.3e5),
    "PlantVillage": (["plantvillage"], 2.4e5),
    "DBPedia": (["dbpedia", "backbones/text_unet"], 4.2e5),
    "CIFAR-100": (["cifar100"], 1.5e6),
}
"""Recipe, overlay, and the paper's number."""


@table("tableC1", seeds=())
def count_parameters(runs: Runs) -> Result:
    """Return our number of parameters of each network, and the paper's."""
    ours = Row("ours", [Cell([_count(recipes)]) for recipes, _ in NETWORKS.values()])
    theirs = Row("paper", [Cell([number]) for _, number in NETWORKS.values()])
    return Result(
        title="Table C.1: number of parameters",
        columns=list(NETWORKS),
        rows=[ours, theirs],
        notes=["Without word vectors. DBPedia: the network of Fig. C.2, `recipes/backbones/text_unet.yaml`."],
    )


def _count(recipes: list[str]) -> int:
    layers = [OmegaConf.load(ROOT / "recipes" / f"{recipe}.yaml") for recipe in recipes]
    options: Any = OmegaConf.to_container(OmegaConf.merge(*layers), resolve=True)
    taxonomy = Taxonomy.from_yaml(ROOT / options["data"]["taxonomy"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(NestedLightningModule, "model")
    parsed = parser.parse_object({"model": {**options["model"], "taxonomy": taxonomy.to_dict()}})
    model = parser.instantiate_classes(parsed).model
    words = {id(p) for part in model.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in words)

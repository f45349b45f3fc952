"""Table C.1: parameters of the networks of the recipes; nothing is trained."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from omegaconf import OmegaConf

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.result import Cell, Result, Row
from benchmarks.paper.training import Workspace, versions
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
"""Recipe, overlay, and the paper's figure."""


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return nothing."""
    return []


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the table."""
    cells: list[Cell | None] = [Cell([_parameters(recipes)], [], [paper]) for recipes, paper in NETWORKS.values()]
    title = "Table C.1: number of parameters"
    notes = ["CIFAR-100: the figure gives no upsampling; a learned one makes up the difference to the paper's."]
    return Result(name, title, [], list(NETWORKS), [Row("parameters", cells)], {}, versions(), notes, least_spread=0)


def _parameters(recipes: list[str]) -> int:
    layers = [OmegaConf.load(ROOT / "recipes" / f"{recipe}.yaml") for recipe in recipes]
    options: Any = OmegaConf.to_container(OmegaConf.merge(*layers), resolve=True)
    taxonomy = Taxonomy.from_yaml(ROOT / options["data"]["taxonomy"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(NestedLightningModule, "model")
    parsed = parser.parse_object({"model": {**options["model"], "taxonomy": taxonomy.to_dict()}})
    return sum(parameter.numel() for parameter in parser.instantiate_classes(parsed).model.parameters())

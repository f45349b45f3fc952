"""Experiments: data set, variant and seed, and the options of ``lightning fit`` that they stand for."""

import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MOST_EPOCHS = 200


@dataclass(frozen=True)
class Experiment:
    """One run.

    Attributes:
        dataset: a key of ``experiments.yaml``.
        variant: one of its variants, or ``METHOD_at_N`` for a point of the label-budget curves.
        seed: of data, weights and order.
    """

    dataset: str
    variant: str
    seed: int

    def folder(self, runs: Path) -> Path:
        """Return the folder of the run."""
        return runs / self.dataset / self.variant / f"seed-{self.seed}"

    def options(self, data: str | Path) -> list[str]:
        """Return its options, without seed and folder."""
        settings = read_settings(self.dataset)
        texts = [settings["all"], _variant_options(settings, self.variant)]
        return [part for text in texts for part in shlex.split(text.replace("{data}", str(data)))]

    def test_source(self, data: Path) -> str:
        """Return the source of the test samples; the data may have been elsewhere when the run was trained."""
        return str(read_settings(self.dataset)["test"]).replace("{data}", str(data))


def read_settings(dataset: str) -> Any:
    """Return what ``experiments.yaml`` says of a data set."""
    return _settings()[dataset]


def list_budget_variants(dataset: str) -> dict[str, dict[int, str]]:
    """Return the variants of the label-budget curves, by method and number of fine labels."""
    curve = read_settings(dataset)["budgets"]
    return {method: {n: f"{method}_at_{n}" for n in curve["fine"]} for method in curve["methods"]}


def _variant_options(settings: Any, variant: str) -> str:
    method, at, n = variant.partition("_at_")
    if not at:
        return str(settings["variants"][variant])
    curve = settings["budgets"]
    epochs = min(MOST_EPOCHS, curve["rows"] // int(n))
    return f"{curve['all']} {curve['methods'][method]}".replace("{fine}", n).replace("{epochs}", str(epochs))


@cache
def _settings() -> Any:
    return yaml.safe_load(Path(__file__).with_name("experiments.yaml").read_text(encoding="utf-8"))

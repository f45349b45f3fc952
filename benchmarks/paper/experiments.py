"""What is trained: data set, variant and seed, and the options of ``lightning fit`` that say so."""

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
        """Return where the run lies."""
        return runs / self.dataset / self.variant / f"seed-{self.seed}"

    def options(self, data: str | Path) -> list[str]:
        """Return its options, without seed and folder."""
        settings = _settings()[self.dataset]
        texts = [settings["all"], _variant(settings, self.variant)]
        return [part for text in texts for part in shlex.split(text.replace("{data}", str(data)))]

    def test_source(self, data: Path) -> str:
        """Return the source to test on; a run may have been trained where the data lay elsewhere."""
        return str(_settings()[self.dataset]["test"]).replace("{data}", str(data))


def name_of(dataset: str) -> str:
    """Return what the data set is called in titles."""
    return str(_settings()[dataset]["name"])


def budgets(dataset: str) -> dict[str, dict[int, str]]:
    """Return the variants of the label-budget curves, by method and number of fine labels."""
    settings = _settings()[dataset]["budgets"]
    return {method: {n: f"{method}_at_{n}" for n in settings["fine"]} for method in settings["methods"]}


def beside(dataset: str) -> str:
    """Return which rows all points of the label-budget curves have beside the fine ones."""
    return str(_settings()[dataset]["budgets"]["beside"])


def _variant(settings: dict[str, Any], variant: str) -> str:
    method, at, n = variant.partition("_at_")
    if not at:
        return str(settings["variants"][variant])
    curve = settings["budgets"]
    epochs = min(MOST_EPOCHS, curve["rows"] // int(n))
    return f"{curve['all']} {curve['methods'][method]}".replace("{fine}", n).replace("{epochs}", str(epochs))


@cache
def _settings() -> Any:
    return yaml.safe_load(Path(__file__).with_name("experiments.yaml").read_text(encoding="utf-8"))

"""Every recipe that comes with the package runs, by itself and under every overlay, on a few rows of its data."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from commands import SHORT, run

from nested_lightning.resources import shipped

RECIPES = sorted(name for name in shipped() if name.startswith("recipes/") and name.count("/") == 1)
OVERLAYS = sorted(name for name in shipped() if name.startswith("recipes/variants/"))
DIGITS = [str(digit) for digit in range(10)]
FASHION = ["T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# Hub id -> folder of the real data, input column, shape of an image, label names.
SCHEMAS = {
    "ylecun/mnist": ("mnist", "image", (28, 28), DIGITS),
    "zalando-datasets/fashion_mnist": ("fashion_mnist", "image", (28, 28), FASHION),
    "uoft-cs/cifar10": ("cifar10", "img", (32, 32, 3), CIFAR),
}
ROWS = {"train": 120, "test": 16}


def options(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(shipped()[name].read_text())
    return read


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return for each hub id a folder with a few rows: real ones where they are at hand, else noise."""
    root = tmp_path_factory.mktemp("data")
    real = Path(os.environ.get("NESTED_LIGHTNING_DATA", Path(__file__).parents[2] / "shared" / "data"))
    found = {"digits": "digits"}
    for hub_id, (name, column, shape, labels) in SCHEMAS.items():
        (root / name).mkdir()
        for split, n in ROWS.items():
            target = root / name / f"{split}-00000-of-00001.parquet"
            if (real / name / target.name).is_file():
                copy_rows(real / name / target.name, target, n)
            else:
                make_rows(target, n, column, shape, labels)
        found[hub_id] = str(root / name)
    return found


def copy_rows(source: Path, target: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        first = next(file.iter_batches(batch_size=n))
        pq.write_table(pa.Table.from_batches([first], schema=file.schema_arrow), target)


def make_rows(target: Path, n: int, column: str, shape: tuple[int, ...], labels: list[str]) -> None:
    import datasets
    from PIL import Image

    pixels = np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)
    features = datasets.Features({column: datasets.Image(), "label": datasets.ClassLabel(names=labels)})
    columns = {column: [Image.fromarray(image) for image in pixels], "label": [i % len(labels) for i in range(n)]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(target)


FIRST = "recipes/digits.yaml"
QUICK = [*((recipe, None) for recipe in RECIPES), *((FIRST, overlay) for overlay in OVERLAYS)]
REST = [(recipe, overlay) for recipe in RECIPES if recipe != FIRST for overlay in OVERLAYS]


@pytest.mark.parametrize(
    ("recipe", "overlay"), [*QUICK, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in REST)]
)
def test_runs(recipe: str, overlay: str | None, sources: dict[str, str], tmp_path: Path) -> None:
    configs = [recipe] if overlay is None else [recipe, overlay]
    data: dict[str, Any] = {}
    for name in configs:
        data |= options(name).get("data", {})
    source = sources[data["source"]]  # of a new recipe: add its schema above
    budgets = [min(rows, 16) for rows in data["budgets"]]
    few = ["--data.source", source, "--data.budgets", budgets, "--data.validation", "16"]
    plain = ["--trainer.default_root_dir", tmp_path, "--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0"]
    run("fit", *(f"--config={name}" for name in configs), *few, *plain, *SHORT)
    saved = torch.load(tmp_path / "checkpoints" / "final.ckpt", weights_only=True)
    assert saved["state_dict"]["network.heads.2.rejection_fitted"]
    assert len(saved["callbacks"]["TemperatureScaling"]["after"]) >= 9
    for name in configs:
        asked, got = options(name).get("model", {}), saved["config"]["model"]
        assert {key: got[key] for key in asked if key not in ("backbone", "bottleneck")} == {
            key: value for key, value in asked.items() if key not in ("backbone", "bottleneck")
        }


@pytest.mark.parametrize("name", sorted(shipped()))
def test_begins_with_a_comment_that_says_what_it_is(name: str) -> None:
    first = shipped()[name].read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20

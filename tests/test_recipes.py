"""Every recipe that comes with the package runs, by itself and under every overlay, on a few rows of its data."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from helpers.commands import SHORT, run
from PIL import Image

from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.resources import shipped

RECIPES = sorted(name for name in shipped() if name.startswith("recipes/") and name.count("/") == 1)
OVERLAYS = sorted(name for name in shipped() if name.startswith("recipes/variants/"))
TEXT = "recipes/dbpedia.yaml"
UNET = "recipes/backbones/text_unet.yaml"
ENCODER = "recipes/backbones/encoder.yaml"
MULTI_TASK = "recipes/backbones/multi_task.yaml"
DIGITS = [str(digit) for digit in range(10)]
FASHION = ["T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PLANTS = Taxonomy.from_yaml(shipped()["taxonomies/plantvillage.yaml"])
DBPEDIA = Taxonomy.from_yaml(shipped()["taxonomies/dbpedia.yaml"])
CIFAR100 = Taxonomy.from_yaml(shipped()["taxonomies/cifar100.yaml"])


def picture(shape: tuple[int, ...], random: np.random.Generator) -> Image.Image:
    return Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))


def text(random: np.random.Generator) -> str:
    return " ".join(f"word{i}" for i in random.integers(0, 50, 30))


def by_level(taxonomy: Taxonomy, column: str = "{}") -> dict[str, list[str]]:
    return {column.format(level): [leaf[i] for leaf in taxonomy.leaves] for i, level in enumerate(taxonomy.levels)}


class Schema(NamedTuple):
    """Columns of a data set: the folder of its real rows, and how to make random ones."""

    folder: str
    column: str
    make: Callable[[np.random.Generator], Any]  # makes one input
    labels: dict[str, list[str]]  # label column -> labels of the rows, repeated as needed


SCHEMAS = {
    "ylecun/mnist": Schema("mnist", "image", partial(picture, (28, 28)), {"label": DIGITS}),
    "zalando-datasets/fashion_mnist": Schema("fashion_mnist", "image", partial(picture, (28, 28)), {"label": FASHION}),
    "uoft-cs/cifar10": Schema("cifar10", "img", partial(picture, (32, 32, 3)), {"label": CIFAR}),
    "uoft-cs/cifar100": Schema("cifar100", "img", partial(picture, (32, 32, 3)), by_level(CIFAR100, "{}_label")),
    "GVJahnavi/PlantVillage_dataset": Schema(
        "plantvillage", "image", partial(picture, (80, 80, 3)), {"label": list(PLANTS.names(2))}
    ),
    "DeveloperOats/DBPedia_Classes": Schema("dbpedia_classes", "text", text, by_level(DBPEDIA)),
}
SMALL_BAG = {"model.backbone.n_grams": 500, "model.backbone.channels": 16}
# Extra options where an overlay assumes three levels or bottlenecks of any size, and where a backbone is large.
BESIDES: dict[tuple[str, str | None], dict[str, Any]] = {
    (TEXT, None): SMALL_BAG,
    **{(TEXT, overlay): SMALL_BAG for overlay in OVERLAYS},
    ("recipes/cifar100.yaml", "recipes/variants/end_to_end.yaml"): {
        "data.budgets": [0, 16],
        "model.loss_weights": [0, 1],
    },
    ("recipes/cifar100.yaml", "recipes/variants/no_skip.yaml"): {"model.bottleneck_channels": [258, 402]},
}
ROWS = {"train": 120, "test": 16}


def options(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(shipped()[name].read_text())
    return read


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a folder with a few rows for each hub id: real ones if they are available, else random ones."""
    root = tmp_path_factory.mktemp("data")
    real = Path(os.environ.get("NESTED_LIGHTNING_DATA", Path(__file__).parents[2] / "shared" / "data"))
    found = {"digits": "digits"}
    for hub_id, schema in SCHEMAS.items():
        folder = root / schema.folder
        folder.mkdir()
        for split, n in ROWS.items():
            target = folder / f"{split}-00000-of-00001.parquet"
            if (real / schema.folder / target.name).is_file():
                copy_rows(real / schema.folder / target.name, target, n)
            else:
                make_rows(target, n, schema)
        found[hub_id] = str(folder)
    return found


def copy_rows(source: Path, target: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        first = next(file.iter_batches(batch_size=n))
        pq.write_table(pa.Table.from_batches([first], schema=file.schema_arrow), target)


def make_rows(target: Path, n: int, schema: Schema) -> None:
    import datasets

    random = np.random.default_rng(n)
    columns = {name: [labels[i % len(labels)] for i in range(n)] for name, labels in schema.labels.items()}
    rows = datasets.Dataset.from_dict({schema.column: [schema.make(random) for _ in range(n)], **columns})
    for name, labels in schema.labels.items():
        rows = rows.cast_column(name, datasets.ClassLabel(names=list(dict.fromkeys(labels))))
    rows.to_parquet(target)


FIRST = "recipes/digits.yaml"
QUICK = [
    *((recipe, None) for recipe in RECIPES),
    *((FIRST, overlay) for overlay in OVERLAYS),
    (TEXT, UNET),
    ("recipes/mnist.yaml", MULTI_TASK),
]
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
    besides = {"data.budgets": [min(rows, 16) for rows in data["budgets"]], **BESIDES.get((recipe, overlay), {})}
    few = ["--data.source", source, "--data.validation", "16", *(f"--{key}={value}" for key, value in besides.items())]
    plain = ["--trainer.default_root_dir", tmp_path, "--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0"]
    run("fit", *(f"--config={name}" for name in configs), *few, *plain, *SHORT)
    saved = torch.load(tmp_path / "checkpoints" / "final.ckpt", weights_only=True)
    n_levels = len(besides["data.budgets"])
    assert saved["state_dict"][f"network.heads.{n_levels - 1}.rejection_fitted"]
    assert len(saved["evaluation"]["after"]) >= 3 * n_levels
    asked: dict[str, Any] = {}
    for name in configs:
        asked |= options(name).get("model", {})
    got = saved["config"]["model"]
    for key, value in asked.items():
        assert key in ("backbone", "bottleneck") or f"model.{key}" in besides or got.get(key) == value


def test_a_pretrained_encoder(sources: dict[str, str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from nested_lightning.data.vocabulary import TextOptions, Vocabulary

    folder = tmp_path / "encoder"
    vocabulary = Vocabulary.train([text(np.random.default_rng(0))], TextOptions(min_count=1))
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(str(vocabulary.state_dict()["tokenizer"]))
    few = ["--data.budgets=[16,16,16]", "--data.validation=16", f"--data.text.tokenizer={folder}"]
    source = sources[options(TEXT)["data"]["source"]]
    plain = ["--trainer.default_root_dir", tmp_path, "--trainer.accelerator=cpu"]
    run("fit", f"--config={TEXT}", f"--config={ENCODER}", "--data.source", source, *few, *plain, *SHORT)
    saved = torch.load(tmp_path / "checkpoints" / "final.ckpt", weights_only=True)
    assert saved["config"]["model"]["backbone"]["init_args"]["folder"] == str(folder)
    assert saved["HierarchicalDataModule"]["vocabulary"]["tokenizer"] == vocabulary.state_dict()["tokenizer"]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_begins_with_a_comment_that_says_what_it_is(name: str) -> None:
    first = shipped()[name].read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20

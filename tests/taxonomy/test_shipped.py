"""The taxonomies of the package, against the groups of the paper and the label names of the data."""

import os
from pathlib import Path as File

import pytest

from nested_lightning.taxonomy import Taxonomy

ROOT = File(__file__).parents[2]
DATA = File(os.environ.get("NESTED_LIGHTNING_DATA", ROOT.parent / "shared" / "data"))
DIGITS = list("0123456789")
# Label names in the order of their ids, and the groups of Fig. D.1 in ids.
FACTS = {
    "mnist": (DIGITS, "3 5 8 | 6 0 || 4 7 9 | 2 1"),
    "digits": (DIGITS, "3 5 8 | 6 0 || 4 7 9 | 2 1"),
    "fashion_mnist": (
        [
            *("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ],
        "0 2 6 | 3 4 || 5 7 9 | 1 8",
    ),
    "cifar10": (
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        "0 8 | 1 9 || 2 6 | 3 5 | 4 7",
    ),
}


def test_every_file_is_checked() -> None:
    assert {file.stem for file in (ROOT / "taxonomies").glob("*.yaml")} >= set(FACTS)


@pytest.mark.parametrize("file", sorted((ROOT / "taxonomies").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_can_be_read_and_names_its_source(file: File) -> None:
    assert Taxonomy.from_yaml(file).n_levels >= 2
    assert file.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", FACTS)
def test_groups_are_those_of_the_paper(name: str) -> None:
    labels, groups = FACTS[name]
    taxonomy = Taxonomy.from_yaml(ROOT / "taxonomies" / f"{name}.yaml")
    assert taxonomy.levels == ("coarse", "middle", "fine")
    leaves = [
        [{labels[int(i)] for i in middle.split()} for middle in coarse.split("|")] for coarse in groups.split("||")
    ]
    found = [
        [
            {leaf[2] for leaf in taxonomy.leaves if leaf[:2] == middle}
            for middle in taxonomy.nodes(1)
            if middle[:1] == coarse
        ]
        for coarse in taxonomy.nodes(0)
    ]
    assert found == leaves
    assert sorted(taxonomy.names(2)) == sorted(labels)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_leaves_are_the_label_names_of_the_data(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {DATA / name}")
    datasets = pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    for file in (DATA / name).glob("*.parquet"):
        label = datasets.Features.from_arrow_schema(parquet.read_schema(file))["label"]
        assert label.names == FACTS[name][0]
        taxonomy = Taxonomy.from_yaml(ROOT / "taxonomies" / f"{name}.yaml")
        assert all(taxonomy.find(leaf, level=2)[-1] == leaf for leaf in label.names)


def test_leaves_are_the_label_names_of_the_digits() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    taxonomy = Taxonomy.from_yaml(ROOT / "taxonomies" / "digits.yaml")
    assert sorted(map(str, digits.target_names)) == sorted(taxonomy.names(2))

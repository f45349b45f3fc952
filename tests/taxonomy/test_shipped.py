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
        ["T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
        "0 2 6 | 3 4 || 5 7 9 | 1 8",
    ),
    "cifar10": (
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        "0 8 | 1 9 || 2 6 | 3 5 | 4 7",
    ),
}


# CIFAR-100 as its files have it: the fine labels in the order of their ids, the id of the coarse label of each, and the
# coarse labels in the order of their ids.
CIFAR100_FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch cra crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_PARENTS = """
    4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13
    14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 5 5 8 19
    18 1 2 15 6 0 17 8 14 13
"""
CIFAR100_COARSE = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""
PLANTS = [
    *("Apple___Apple_scab", "Apple___Black_rot", "Apple___Cedar_apple_rust", "Apple___healthy", "Blueberry___healthy"),
    *("Cherry_(including_sour)___Powdery_mildew", "Cherry_(including_sour)___healthy"),
    *("Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot", "Corn_(maize)___Common_rust_"),
    *("Corn_(maize)___Northern_Leaf_Blight", "Corn_(maize)___healthy", "Grape___Black_rot"),
    *("Grape___Esca_(Black_Measles)", "Grape___Leaf_blight_(Isariopsis_Leaf_Spot)", "Grape___healthy"),
    *("Orange___Haunglongbing_(Citrus_greening)", "Peach___Bacterial_spot", "Peach___healthy"),
    *("Pepper,_bell___Bacterial_spot", "Pepper,_bell___healthy", "Potato___Early_blight", "Potato___Late_blight"),
    *("Potato___healthy", "Raspberry___healthy", "Soybean___healthy", "Squash___Powdery_mildew"),
    *("Strawberry___Leaf_scorch", "Strawberry___healthy", "Tomato___Bacterial_spot", "Tomato___Early_blight"),
    *("Tomato___Late_blight", "Tomato___Leaf_Mold", "Tomato___Septoria_leaf_spot"),
    *("Tomato___Spider_mites Two-spotted_spider_mite", "Tomato___Target_Spot"),
    *("Tomato___Tomato_Yellow_Leaf_Curl_Virus", "Tomato___Tomato_mosaic_virus", "Tomato___healthy"),
]


def shipped(name: str) -> Taxonomy:
    return Taxonomy.from_yaml(ROOT / "taxonomies" / f"{name}.yaml")


def test_every_file_is_checked() -> None:
    checked = {*FACTS, "cifar100", "plantvillage"}
    assert {file.stem for file in (ROOT / "taxonomies").glob("*.yaml")} >= checked


@pytest.mark.parametrize("file", sorted((ROOT / "taxonomies").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_can_be_read_and_names_its_source(file: File) -> None:
    assert Taxonomy.from_yaml(file).n_levels >= 2
    assert file.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", FACTS)
def test_groups_are_those_of_the_paper(name: str) -> None:
    labels, groups = FACTS[name]
    taxonomy = shipped(name)
    assert taxonomy.levels == ("coarse", "middle", "fine")
    expected = [
        [{labels[int(i)] for i in middle.split()} for middle in coarse.split("|")] for coarse in groups.split("||")
    ]
    found: dict[str, dict[str, set[str]]] = {}
    for coarse, middle, fine in taxonomy.leaves:
        found.setdefault(coarse, {}).setdefault(middle, set()).add(fine)
    assert [list(middle.values()) for middle in found.values()] == expected
    assert sorted(taxonomy.names(2)) == sorted(labels)


def test_cifar100_is_grouped_as_its_files_are() -> None:
    taxonomy = shipped("cifar100")
    assert taxonomy.levels == ("coarse", "fine")
    assert taxonomy.sizes == (20, 100)
    coarse, fine = CIFAR100_COARSE.split(), CIFAR100_FINE.split()
    parents = [coarse[int(number)] for number in CIFAR100_PARENTS.split()]
    paths = list(zip(parents, fine, strict=True))
    assert set(taxonomy.leaves) == set(paths)
    assert [taxonomy.find(name) for name in fine] == paths
    assert [taxonomy.find(name) for name in coarse] == [(name,) for name in coarse]


def test_plantvillage_is_species_then_health_then_disease() -> None:
    taxonomy = shipped("plantvillage")
    assert taxonomy.levels == ("species", "health", "disease")
    assert taxonomy.sizes == (14, 23, 38)
    paths = [taxonomy.find(label) for label in PLANTS]
    assert set(paths) == set(taxonomy.leaves)
    # Two labels share a node exactly where the parts of their names that stand for its level are equal.
    for level, key in enumerate([lambda crop, _: crop, lambda crop, rest: (crop, rest == "healthy")]):
        keys = [key(*label.split("___")) for label in PLANTS]
        nodes = [path[: level + 1] for path in paths]
        assert len(set(keys)) == len(set(nodes)) == len(set(zip(keys, nodes, strict=True)))
    assert all(path[1] == f"{path[0]} {'healthy' if 'healthy' in path[2] else 'sick'}" for path in paths)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "plantvillage"])
def test_leaves_are_the_label_names_of_the_data(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {DATA / name}")
    datasets = pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    for file in (DATA / name).glob("*.parquet"):
        label = datasets.Features.from_arrow_schema(parquet.read_schema(file))["label"]
        assert label.names == (PLANTS if name == "plantvillage" else FACTS[name][0])
        taxonomy = shipped(name)
        assert sorted(label.names) == sorted(taxonomy.names(2))
        assert all(taxonomy.find(leaf, level=2)[-1] == leaf for leaf in label.names)


def test_leaves_are_the_label_names_of_the_digits() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    assert sorted(map(str, digits.target_names)) == sorted(shipped("digits").names(2))

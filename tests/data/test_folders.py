"""Folders in folders are labels, every file is in one split, and what is left out is counted and named."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from helpers.commands import write_image
from helpers.errors import raises_naming

from nested_lightning.data.datamodule import HierarchicalDataModule
from nested_lightning.data.folders import find_class, leaf_paths, list_files
from nested_lightning.data.labels import LabelledSource, read_labels
from nested_lightning.data.sources import open_source
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy

ANIMALS = Taxonomy(
    ["kind", "family", "species"],
    [("animal", "bird", "owl"), ("animal", "bird", "eagle"), ("animal", "fish", "cod"), ("stone",)],
)
PLANTS = Taxonomy.from_paths(["plant/apple/healthy", "plant/apple/scab", "plant/grape/healthy"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the warnings and messages about a source."""
    texts: list[str] = []
    for module in ("folders", "sources", "labels"):
        monkeypatch.setattr(f"nested_lightning.data.{module}.rank_zero_warn", texts.append)
    monkeypatch.setattr("nested_lightning.data.sources.rank_zero_info", texts.append)
    return texts


def write(folder: Path, *names: str) -> None:
    """Write an image into each folder, or of each name with a suffix; other files are empty."""
    for name in names:
        path = folder / name if "." in Path(name).name[1:] else folder / name / "1.png"
        if path.suffix.lower() in (".png", ".avif"):
            write_image(path, mode="RGB")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no image")


def labels(source: Any) -> dict[str, list[str | None]]:
    opened = open_source(source).items()
    return {name: [label for table in split.tables for label in read_labels(table, "label")] for name, split in opened}


def names(source: Any) -> dict[str, list[str]]:
    """Return the names of the files of each split."""
    opened = open_source(source).items()
    return {name: [Path(file).name for table in split.tables for file in table.files] for name, split in opened}


def classes(source: LabelledSource, split: str = "train") -> list[str]:
    return ["/".join(source.taxonomy.nodes(int((row >= 0).sum()) - 1)[row.max()]) for row in source.targets(split)]


def test_folders_in_folders_are_labels_of_uneven_depth(photos: Path, warned: list[str]) -> None:
    write(photos, *(f"train/{name}" for name in ("animal/bird/owl", "animal/bird", "animal/fish/cod", "stone")))
    write(photos, "train/animal/1.png", "train/0.png", "Testing/animal/bird/eagle")
    train = [None, "animal", "animal/bird", "animal/bird/owl", "animal/fish/cod", "stone"]
    assert labels(photos) == {"train": train, "test": ["animal/bird/eagle"]}
    expected = [[-1, -1, -1], [0, -1, -1], [0, 0, -1], [0, 0, 0], [0, 1, 2], [1, 2, 3]]
    assert LabelledSource(photos, ANIMALS).targets("train").tolist() == expected
    read = LabelledSource(photos)
    assert read.taxonomy.levels == ("l1", "l2", "l3")
    assert set(read.taxonomy.short_leaves) == set(ANIMALS.short_leaves)
    assert (read.targets("train") >= 0).tolist() == [[index >= 0 for index in row] for row in expected]
    assert LabelledSource(photos, levels=["kind", "family", "species"]).taxonomy.levels == ANIMALS.levels
    assert not warned and not read.contradictions()


def test_training_on_folders_without_a_taxonomy(photos: Path) -> None:
    write(photos, "train/animal/owl", "train/animal/cod", "train/animal/2.png", "train/stone", "val/animal/owl")
    data = HierarchicalDataModule(photos)
    data.setup("fit")
    assert data.subset_sizes == [1, 3] and data.input_shape == (3, 8, 8)


def test_one_name_under_several_parents(photos: Path) -> None:
    write(photos, "apple/healthy", "apple/scab", "grape/healthy", "plant/apple")
    assert classes(LabelledSource(photos, PLANTS)) == [
        *("plant/apple/healthy", "plant/apple/scab", "plant/grape/healthy", "plant/apple")
    ]


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("healthy", ["'healthy' is ambiguous", "plant/grape/healthy"]),
        ("pear/healthy", ["'pear/healthy'", "ambiguous"]),
        ("grape/scab", ["'grape/scab'", "'plant/apple/scab' only"]),
        ("apple/scap", ["'apple/scap'", "Did you mean 'scab'"]),
    ],
)
def test_folders_that_match_no_class_or_several(label: str, parts: list[str]) -> None:
    with raises_naming(TaxonomyError, *parts):
        find_class(PLANTS, label)


def test_a_path_is_matched_before_a_name(photos: Path, warned: list[str]) -> None:
    tree = Taxonomy(["a", "b"], [("healthy",), ("apple", "healthy"), ("apple", "apple/old")])
    assert find_class(tree, "healthy") == ("healthy",) and find_class(tree, "healthy/healthy") == ("healthy", "healthy")
    assert find_class(tree, "apple/old") == ("apple", "apple/old")
    write(photos, "2024/owl", "session 3/bird", "animal/fish/cod")
    assert classes(LabelledSource(photos, ANIMALS)) == ["animal/bird/owl", "animal/fish/cod", "animal/bird"]
    assert len(warned) == 1 and "2 folder paths" in warned[0] and "'2024/owl' as 'animal/bird/owl'" in warned[0]


def test_folders_of_one_level_need_a_taxonomy(photos: Path) -> None:
    write(photos, "owl", "cod")
    with raises_naming(ConfigurationError, str(photos), "one level", "data.taxonomy"):
        _ = LabelledSource(photos).taxonomy


def test_one_class_is_said(photos: Path, warned: list[str]) -> None:
    write(photos, "a/owl", "b/cod")
    assert labels(photos / "a") == {"train": ["owl"]}
    assert len(warned) == 1 and "one class folder, 'owl'" in warned[0]
    assert labels([photos / "a", photos / "b"]) == {"train": ["owl", "cod"]}
    assert len(warned) == 1


def test_empty_folder(photos: Path) -> None:
    (photos / "owl").mkdir(parents=True)
    with raises_naming(DataError, str(photos), "the folder is empty"):
        open_source(photos)


def test_links_count_once_and_never_go_round(photos: Path, warned: list[str]) -> None:
    write(photos, "train/owl", "../elsewhere/2.png")
    (photos / "train" / "cod").symlink_to(photos.parent / "elsewhere")
    (photos / "train" / "owl" / "round").symlink_to(photos)
    assert labels(photos) == {"train": ["cod", "owl"]}
    (photos / "test").symlink_to(photos / "train")
    assert labels(photos) == {"train": ["cod", "owl"], "test": ["cod", "owl"]}
    assert len(warned) == 1 and "'train' and 'test' share 2 files" in warned[0]


def test_shared_tables_are_said(tmp_path: Path, warned: list[str]) -> None:
    datasets.Dataset.from_dict({"x": [1]}).to_csv(tmp_path / "a.csv")
    open_source({"train": tmp_path / "a.csv", "test": tmp_path / "a.csv"})
    assert len(warned) == 1 and "share 1 files" in warned[0] and "a.csv" in warned[0]


@pytest.mark.parametrize(
    ("files", "splits", "left_out"),
    [
        (["owl_test_0.png", "photo.HEIC", "1.png"], {"train": ["1.png", "owl_test_0.png"]}, ["1 of 3", "1 .heic"]),
        (["owl/test_0.png", "test strip/a.png", "dev-board/b.png"], {"train": ["b.png", "test_0.png", "a.png"]}, []),
        (["TRAIN/a.png", "Test/b.png"], {"train": ["a.png"], "test": ["b.png"]}, []),
        (["train/owl/a.png", "eval/cod/b.png"], {"train": ["a.png"], "test": ["b.png"]}, []),
        (["train/a.png", "unlabeled/b.png", "c.png"], {"train": ["a.png"]}, ["2 of 3", "c.png, unlabeled/b.png"]),
        (["train/a.png", "dev/b.png", "val/c.png"], {"train": ["a.png"], "validation": ["b.png"], "val": ["c.png"]},
         ["only the splits train, validation, test, predict are used, not 'val' (1 rows)"]),
        (["__background__/a.png", ".old/b.png", "._x.png", "Thumbs.db", "README.md", "x/notes.txt", "x/c.avif"],
         {"train": ["a.png", "c.avif"]}, ["1 of 5", "1 .txt", "x/notes.txt", "1 images in hidden folders: .old/b.png"]),
    ],
)  # fmt: skip
def test_every_image_is_in_one_split_or_named(
    files: list[str], splits: dict[str, list[str]], left_out: list[str], photos: Path, warned: list[str]
) -> None:
    write(photos, *files)
    assert names(photos) == splits
    assert [part for part in left_out if part not in " ".join(warned)] == []
    assert bool(warned) == bool(left_out)


@pytest.mark.parametrize(
    ("files", "splits", "left_out"),
    [
        (["Train.csv", "Test.csv"], {"train": ["Train.csv"], "test": ["Test.csv"]}, None),
        (["train.csv", "data.csv"], {"train": ["train.csv"]}, "1 of 2 files, which are beside 'train'"),
        (["contest.csv", "latest.csv"], {"train": ["contest.csv", "latest.csv"]}, None),
        (["data/training.csv", "data/eval.csv"], {"train": ["training.csv"], "test": ["eval.csv"]}, None),
        (["test/a.csv", "train/b.csv", "train/c.jsonl"], {"train": ["b.csv", "c.jsonl"], "test": ["a.csv"]}, None),
        (["train.csv", "figure.svg"], {"train": ["train.csv"]}, "1 .svg"),
        (["rows.csv", "dataset_info.json"], {"train": ["rows.csv"]}, None),
    ],
)
def test_every_table_is_in_one_split_or_named(
    files: list[str], splits: dict[str, list[str]], left_out: str | None, tmp_path: Path, warned: list[str]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text('{"x": 1}\n' if file.endswith("jsonl") else "x\n1\n")
    assert names(tmp_path) == splits
    assert len(warned) == 0 if left_out is None else left_out in warned[0]


def test_unclear_splits_are_refused(photos: Path, tmp_path: Path) -> None:
    write(photos, "photos/train/owl", "photos/test/owl")
    with raises_naming(DataError, "'photos/test'", "'photos/train'", "{train: A, test: B}"):
        open_source(photos)
    (tmp_path / "tables").mkdir()
    for name in ("train_labels", "test_labels"):
        (tmp_path / "tables" / f"{name}.csv").write_text("x\n1\n")
    with raises_naming(DataError, "'test_labels.csv'", "'train_labels.csv'"):
        open_source(tmp_path / "tables")


def test_names_of_splits_in_python(warned: list[str]) -> None:
    table = datasets.Dataset.from_dict({"x": [1]})
    assert list(open_source({"Train": table, "eval": table})) == ["train", "test"]
    assert not warned
    assert list(open_source({"train": table, "unsupervised": table})) == ["train", "unsupervised"]
    assert len(warned) == 1 and "'unsupervised' (1 rows)" in warned[0]


def listed(photos: Path, text: str) -> None:
    write(photos, "train/a.png", "train/b.png", "train/sub/c.png")
    (photos / "train" / "metadata.csv").write_text(text)


def test_metadata_beside_images(photos: Path, warned: list[str]) -> None:
    listed(photos, "file_name,kind,species\nsub/c.png,animal,owl\na.png,stone,\n")
    assert names(photos) == {"train": ["c.png", "a.png"]}
    source = LabelledSource(photos, label_columns=["kind", "species"])
    assert source.targets("train").tolist() == [[0, 0], [1, 1]]
    assert HierarchicalDataModule(photos, label_columns=["kind", "species"]).input_shape == (3, 8, 8)
    assert "1 of 3 images, which are not listed in train/metadata.csv: train/b.png" in warned[0]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name,kind\na.png,x\n", ["no column 'file_name'", "'name', 'kind'"]),
        ("file_name,kind\na.png,x\nd.png,x\n", ["row 1", "no image 'train/d.png'"]),
        ("file_name,kind\n../train/a.png,x\n", ["row 0", "'../train/a.png'", "below"]),
    ],
)
def test_metadata_that_does_not_fit(text: str, parts: list[str], photos: Path) -> None:
    listed(photos, text)
    with raises_naming(DataError, "metadata.csv", *parts):
        open_source(photos)


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with raises_naming(DataError, str(tmp_path / "missing"), "No such file"):
        list_files(tmp_path / "missing")


def test_a_broken_link_is_an_image_that_cannot_be_decoded(photos: Path) -> None:
    write(photos, "train/animal/owl", "train/animal/cod", "test/animal/owl")
    (photos / "train" / "animal" / "owl" / "2.png").symlink_to(photos / "gone.png")
    data = HierarchicalDataModule(photos, validation=0)
    with raises_naming(DataError, "row 2 of split 'train'", "animal/owl/2.png", "cannot be decoded"):
        data.setup("fit")


def test_images_without_class_folders(photos: Path) -> None:
    write(photos, "train/1.png", "test/2.png")
    with raises_naming(DataError, "split 'train'", "no label column", "not in folders of classes"):
        LabelledSource(photos, ANIMALS).targets("train")


def test_leaf_paths() -> None:
    assert leaf_paths([("a",), ("a", "b"), (), ("c",), ("a", "b")]) == [("a", "b"), ("c",)]

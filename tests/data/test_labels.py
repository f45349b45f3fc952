"""Label columns of every type as text and as targets."""

from typing import Any

import datasets
import pyarrow as pa
import pytest
from datasets.table import InMemoryTable
from helpers.errors import raises_naming

from nested_lightning.data.labels import LabelledSource, load_taxonomy, read_labels
from nested_lightning.data.sources import open_source
from nested_lightning.errors import ConfigurationError, DataError, NestedLightningError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy

PLANTS = Taxonomy(["crop", "state"], [["apple", "healthy"], ["apple", "scab"], ["corn", "healthy"], ["moss"]])


def rows(features: dict[str, Any] | None = None, **columns: list[Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)


@pytest.mark.parametrize(
    ("cells", "feature", "expected"),
    [
        (["a", None, " ", ""], None, ["a", None, None, None]),
        ([7, 0, None], None, ["7", "0", None]),
        ([7.0, 0.0, float("nan"), None], None, ["7", "0", None, None]),
        ([True, False], None, ["True", "False"]),
        ([1, 0, -1, None], datasets.ClassLabel(names=["x", "y"]), ["y", "x", None, None]),
    ],
)
def test_cells_as_text(cells: list[Any], feature: Any, expected: list[str | None]) -> None:
    table = rows({"label": feature} if feature else None, label=cells)
    (opened,) = open_source(table)["train"].tables
    assert read_labels(opened, "label") == expected
    (formatted,) = open_source(table.with_format("torch"))["train"].tables
    assert read_labels(formatted, "label") == expected
    assert read_labels(opened, "other") == [None] * len(cells)


def targets(source: Any, **kwargs: Any) -> list[list[int]]:
    return LabelledSource(source, **kwargs).targets("train").tolist()  # type: ignore[no-any-return]


def test_leaf_column_with_nodes_of_any_level_and_paths() -> None:
    cells = ["scab", "corn/healthy", None, "apple", "moss", "corn"]
    expected = [[0, 1], [1, 2], [-1, -1], [0, -1], [2, 3], [1, -1]]
    assert targets(rows(label=cells), taxonomy=PLANTS) == expected
    assert targets(rows(kind=cells), taxonomy=PLANTS.to_dict(), label_columns="kind") == expected


def test_level_columns_also_missing_in_one_source() -> None:
    fine = rows(crop=["apple", "corn"], state=["scab", None])
    coarse = rows(crop=["moss", None])
    expected = [[0, 1], [1, -1], [2, 3], [-1, -1]]
    assert targets([fine, coarse], taxonomy=PLANTS) == expected
    renamed = [fine.rename_columns({"crop": "a", "state": "b"}), coarse.rename_column("crop", "a")]
    assert targets(renamed, taxonomy=PLANTS, label_columns=["a", "b"]) == expected


def test_default_columns() -> None:
    both = rows(crop=["corn"], label=["scab"])  # the leaf column knows more than an incomplete set of level columns
    assert targets(both, taxonomy=PLANTS) == [[0, 1]]
    assert targets(rows(crop=["corn"], state=["healthy"], label=["scab"]), taxonomy=PLANTS) == [[1, 2]]
    assert targets(rows(crop=["corn"], x=["scab"]), taxonomy=PLANTS) == [[1, -1]]


def test_taxonomy_of_columns_covers_all_splits_train_first() -> None:
    source = {"test": rows(a=["p"], b=["new"]), "train": rows(a=["p", "q"], b=["x", "y"])}
    data = LabelledSource(source, label_columns=["a", "b"], levels=["coarse", "fine"])
    assert data.taxonomy == Taxonomy(["coarse", "fine"], [["p", "x"], ["q", "y"], ["p", "new"]])
    assert data.targets("test").tolist() == [[0, data.taxonomy.index(("p", "new"))]]


def test_repeated_names() -> None:
    source = rows(a=["p", "q"], b=["x", "x"])
    allowed = LabelledSource(source, label_columns=["a", "b"], allow_repeated_names=True)
    assert allowed.targets("train").tolist() == [[0, 0], [1, 1]]
    with pytest.raises(TaxonomyError, match=r"'p' \(row 0 of split 'train' .*'q' \(row 1 of split 'train'"):
        _ = LabelledSource(source, label_columns=["a", "b"]).taxonomy


def test_given_taxonomy_is_known_without_reading_data() -> None:
    data = LabelledSource("does/not/exist", taxonomy="taxonomies/digits.yaml")
    assert data.taxonomy.levels == ("coarse", "middle", "fine")
    assert load_taxonomy(data.taxonomy.to_dict()) == data.taxonomy


TWO = {"a": ["p"], "b": ["q"]}


@pytest.mark.parametrize(("error", "source", "kwargs", "parts"), [
    (ConfigurationError, TWO, {"label_columns": ["a", "a"]}, ["data.label_columns=['a', 'a']", "twice"]),
    (DataError, {"label": ["scab", "skab"]}, {}, ["row 1 of split 'train'", "'label'", "'skab'", "'scab'"]),
    (DataError, {"label": ["a", "b", "a"]}, {}, ["rows 0, 2 of", "column 'label'", "the first of 2 contradictions"]),
    (DataError, {"label": ["healthy"]}, {}, ["row 0", "ambiguous", "apple/healthy"]),
    (DataError, {"crop": ["apple"], "state": ["rust"]}, {}, ["split 'train'", "row 0", "'rust'"]),
    (DataError, {"a": ["?"], "b": [None]}, {"label_columns": ["a", "b"]}, ["row 0 of", "column 'a'", "level 'crop'"]),
    (DataError, {"label": [0.5]}, {}, ["row 0", "'0.5'", "whole number"]),
    (DataError, {"x": [1]}, {}, ["no label column", "'crop', 'state'", "'label'", "'x'"]),
    (DataError, {"klass": ["scab"]}, {"label_columns": "class"}, ["'class'", "'klass'", "data.label_columns"]),
    (DataError, {"crop": ["corn"]}, {"label_columns": ["crop", "stat"]}, ["'stat'", "data.label_columns"]),
    (ConfigurationError, {"label": ["scab"]}, {"label_columns": ["label"]}, ["2 columns", "levels crop, state"]),
    (ConfigurationError, {"label": ["scab"]}, {"levels": ["a", "b"]}, ["data.levels", "leave"]),
    (ConfigurationError, {"label": ["scab"]}, {"taxonomy": None}, ["no taxonomy", "data.label_columns"]),
    (ConfigurationError, TWO, {"taxonomy": None, "label_columns": ["a", "b"], "levels": ["l"]}, ["['l']", "'a', 'b'"]),
    (DataError, TWO, {"taxonomy": None, "label_columns": ["a", "bb"]}, ["no column 'bb'", "data.label_columns"]),
    (ConfigurationError, {"a": ["p"]}, {"taxonomy": "taxonomies/digit.yaml"}, ["taxonomies/digits.yaml"]),
    (TaxonomyError, {"a": ["p"]}, {"taxonomy": {"leaves": []}}, ["'levels'"]),
])  # fmt: skip
def test_failures(error: type[NestedLightningError], source: Any, kwargs: Any, parts: list[str]) -> None:
    with raises_naming(error, *parts):
        LabelledSource(rows(**source), **{"taxonomy": PLANTS, **kwargs}).targets("train")


def test_a_number_without_a_name() -> None:
    """``ClassLabel`` checks numbers when rows are made, not when they are read."""
    features = datasets.Features({"label": datasets.ClassLabel(names=["scab", "rust"])})
    table = pa.table({"label": pa.array([0, None, -1, 2])}, schema=features.arrow_schema)
    with pytest.raises(
        DataError, match=r"row 3 of split 'train'.*'label' holds the label number 2, .*names for 0 to 1"
    ):
        LabelledSource(datasets.Dataset(InMemoryTable(table)), taxonomy=PLANTS).targets("train")


def test_missing_split_names_those_there_are() -> None:
    with pytest.raises(DataError, match=r"no split 'test', only 'train': do this"):
        LabelledSource(rows(label=["scab"])).split("test", "do this")

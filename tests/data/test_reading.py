"""Labels that look the same are compared as they look, told of, and normalised on request."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from helpers.errors import raises_naming

from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.reading import ReadOptions
from nested_lightning.errors import DataError
from nested_lightning.taxonomy import Taxonomy

LABELS = ["owl", "owl ", "owl", "\xa0owl", "OWL", "x\u200b", "x", "x", "Cafe\u0301", "Caf\xe9", "a\xa0b", "a b", "a b"]
TREE = Taxonomy(["kind", "name"], [["k", "owl"], ["k", "x"], ["k", "Cafe\u0301"], ["k", "a b"]])


def data(labels: list[Any] | None = None, taxonomy: Any = None, **options: Any) -> LabelledSource:
    labels = labels or LABELS
    rows = datasets.Dataset.from_dict({"kind": ["k"] * len(labels), "name": labels})
    return LabelledSource(rows, taxonomy, ["kind", "name"], reading=ReadOptions(**options))


def test_blanks_around_names_and_unicode_forms_make_no_difference() -> None:
    with pytest.warns(UserWarning, match=r"'owl' \(rows 0-3 .*'OWL' \(row 4 .*'x\\u200b' .*'a\\xa0b' .*normalize"):
        names = data().taxonomy.names(1)
    assert names == ("owl", "OWL", "x\u200b", "x", "Caf\xe9", "a\xa0b", "a b")


def test_labels_that_only_look_like_those_of_a_taxonomy_are_named() -> None:
    alike = [label for label in LABELS if label.strip() in ("owl", "x", "a b") or label.startswith("Caf")]
    assert data(alike, TREE).targets("train")[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    found = data(taxonomy=TREE).contradictions()
    assert len(found) == 3
    assert "no class 'OWL'" in found[0] and "Did you mean 'owl'? They differ only in case" in found[0]
    assert "'x\\u200b'" in found[1] and "'a\\xa0b'" in found[2]


def test_normalised_on_request() -> None:
    with pytest.warns(UserWarning, match=r"3 labels are read in another spelling: 'OWL' as 'owl' \(1\), .*'x\\u200b'"):
        assert data(normalize=True).taxonomy.names(1) == ("owl", "x", "Caf\xe9", "a b")
    with pytest.warns(UserWarning, match="another spelling"):
        assert data(taxonomy=TREE, normalize=True).contradictions() == []


def test_texts_that_mean_missing() -> None:
    labels = ["owl", "nan", "NA", None]
    with pytest.warns(UserWarning, match=r"the text 'nan' \(row 1 .*'NA' \(row 2 .*reading.missing"):
        assert data(labels).taxonomy.names(1) == ("owl", "nan", "NA")
    with pytest.warns(UserWarning, match=r"2 labels are read as unknown: 'nan' \(1\), 'NA' \(1\)"):
        assert data(labels, TREE, missing=("nan", "NA")).targets("train")[:, 1].tolist() == [0, -1, -1, -1]
    with raises_naming(DataError, "no class 'nan'", "reading.missing"):
        data(labels, TREE).targets("train")


def test_paths_with_another_separator() -> None:
    tree = Taxonomy(["kind", "name"], [["food", "tea"], ["food", "rice"], ["drug", "tea"]])
    labels = ["food > tea", "drug>tea", " food", "food >rice", None]
    rows = datasets.Dataset.from_dict({"label": labels})
    source = LabelledSource(rows, tree, reading=ReadOptions(path_separator=">"))
    assert source.targets("train").tolist() == [[0, 0], [1, 2], [0, -1], [0, 1], [-1, -1]]
    with raises_naming(DataError, "'food > tea'", "reading.path_separator"):
        LabelledSource(rows, tree).targets("train")
    slashes = datasets.Dataset.from_dict({"label": ["food > tea", "food > fruit/veg"]})
    with raises_naming(DataError, "column 'label'", "'food > fruit/veg'", "has a slash"):
        LabelledSource(slashes, tree, reading=ReadOptions(path_separator=">")).targets("train")


def test_a_float_that_has_lost_digits_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"label": [2.0**53, None]}).to_parquet(tmp_path / "a.parquet")
    with raises_naming(DataError, "row 0", "last digits may be lost", "as text"):
        LabelledSource(tmp_path / "a.parquet", TREE).targets("train")

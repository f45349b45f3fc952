"""Names that look the same."""

import time

import pytest

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Taxonomy, build
from nested_lightning.taxonomy.names import clean, folded, lookalikes, means_missing


def test_names_are_compared_as_they_look() -> None:
    assert clean("\u3000Cafe\u0301\n") == "Caf\xe9"
    assert folded("Stra\xdfe") == folded("STRASSE") and folded("\ufb01sh\ufeff") == folded("Fish")
    assert folded("a b") != folded("ab") and folded("1.1") != folded("1.10")
    assert lookalikes(["owl", "cod", "Owl", "owl", "COD\u200b"]) == [["owl", "Owl"], ["cod", "COD\u200b"]]
    assert [text for text in ("NA", "nan", "Null", "Namibia", "0") if means_missing(text)] == ["NA", "nan", "Null"]


def test_a_class_with_exactly_this_name_comes_first() -> None:
    tree = Taxonomy.from_paths(["a/x ", "a/x", "b/ y"])
    assert tree.find("x") == ("a", "x") and tree.find("x ") == ("a", "x ") and tree.find("y") == ("b", " y")
    columns = {"l1": ["b", "b"], "l2": ["y", " y"]}
    assert tree.targets_from_columns(columns)[:, 1].tolist() == [2, 2]


def test_thousands_of_unknown_labels_among_thousands_of_classes() -> None:
    tree = Taxonomy.from_paths([f"group {i}/class name {i} {j}" for i in range(100) for j in range(100)])
    start = time.process_time()
    found = build.targets_from_labels(tree, "label", [f"unknown class {i}" for i in range(3000)])[1]
    assert len(found) == 3000 and time.process_time() - start < 30
    with pytest.raises(TaxonomyError, match="Did you mean 'class name 7 77'"):
        tree.find("clas name 7 77")


@pytest.mark.parametrize(
    "levels", [["path", "species"], ["kind", "depth"], ["kind", "kind_confidence"], ["a_own", "a"]]
)
def test_level_names_that_are_other_columns_are_refused(levels: list[str]) -> None:
    with pytest.raises(TaxonomyError, match=r"level name .* cannot be used: .*Rename the level"):
        Taxonomy(levels, [("x", "y"), ("x", "z")])

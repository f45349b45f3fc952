"""Only a folder or file whose whole name is one of a split is a split."""

import pytest
from helpers.errors import raises_naming

from nested_lightning.data.splits import canonical_names, folder_split, refuse_hidden_splits, split_name, table_split
from nested_lightning.errors import DataError


def test_whole_names_in_any_case() -> None:
    names = [
        "train",
        "Training",
        "VAL",
        "valid",
        "dev",
        "Validation",
        "TEST",
        "testing",
        "eval",
        "Evaluation",
        "predict",
    ]
    assert [split_name(name) for name in names] == ["train"] * 2 + ["validation"] * 4 + ["test"] * 4 + ["predict"]
    for name in ("test strip", "dev-board", "train_set", "latest", "contest", "unlabeled", "test1"):
        assert split_name(name) is None


def test_the_first_part_alone_counts() -> None:
    assert folder_split(("Test", "owl", "1.png")) == "Test"
    assert folder_split(("owl", "test", "1.png")) is None and folder_split(("test.png",)) is None
    assert table_split(("Val.csv",)) == "Val" and table_split(("train-00001-of-00002.parquet",)) == "train"
    assert table_split(("test", "a.csv")) == "test" and table_split(("my_test.csv",)) is None


def test_one_name_for_each_split() -> None:
    assert canonical_names(["Train", "dev", "eval"]) == {"Train": "train", "dev": "validation", "eval": "test"}
    assert canonical_names(["dev", "validation", "extra"]) == {
        "dev": "dev",
        "validation": "validation",
        "extra": "extra",
    }


@pytest.mark.parametrize(
    ("paths", "in_words", "suggested"),
    [
        ([("my_train.csv",), ("my_eval.csv",)], True, ["my_train.csv", "my_eval.csv"]),
        ([("photos", "train", "owl"), ("photos", "test", "owl")], False, ["photos/train", "photos/test"]),
        ([("owl", "train"), ("owl", "val")], False, ["owl/train", "owl/val"]),
        ([("train_set", "owl"), ("test-set", "owl")], False, ["train_set", "test-set"]),
        ([("train_1.csv",), ("train_2.csv",), ("contest.csv",)], True, None),
        ([("test strip",), ("dev-board",), ("beaker",)], False, None),
        ([("test_dev.csv",)], True, None),
        ([()], False, None),
    ],
)
def test_names_that_suggest_several_splits(
    paths: list[tuple[str, ...]], in_words: bool, suggested: list[str] | None
) -> None:
    if suggested is None:
        refuse_hidden_splits("photos", paths, in_words)
    else:
        with raises_naming(DataError, "photos", *suggested, "train, training", "{train: A, test: B}"):
            refuse_hidden_splits("photos", paths, in_words)

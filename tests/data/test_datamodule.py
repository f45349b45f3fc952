"""The data module without a trainer: what is read when, what batches contain, what is refused."""

import pickle
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from helpers.errors import raises_naming
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor

from nested_lightning.data import HierarchicalDataModule
from nested_lightning.data.images import ImageColumn
from nested_lightning.errors import BudgetError, CheckpointError, ConfigurationError, DataError, NestedLightningError
from nested_lightning.taxonomy import Taxonomy

DIGITS = "taxonomies/digits.yaml"
TREE = Taxonomy(["kind", "name"], [["even", "0"], ["even", "2"], ["odd", "1"], ["odd", "3"]])


def vectors(n: int = 40, **columns: Any) -> datasets.Dataset:
    names = [str(i % 4) for i in range(n)]
    return datasets.Dataset.from_dict({"x": [[float(i), 1.0] for i in range(n)], "label": names, **columns})


def module(source: Any = None, **kwargs: Any) -> HierarchicalDataModule:
    kwargs = {"taxonomy": TREE, "input_column": "x", **kwargs}
    return HierarchicalDataModule(vectors() if source is None else source, **kwargs)


def everything(loader: Any) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*loader, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def ids(loader: Any) -> list[int]:
    """Row numbers, which are the first input of each row."""
    return [int(x) for x in everything(loader)[0][:, 0]]


def test_digits_end_to_end() -> None:
    from sklearn.datasets import load_digits

    data = HierarchicalDataModule("digits", DIGITS, budgets=[300, 200, 100], validation=0.2, test=0.2, seed=1)
    assert (data.subset_sizes, data.level_counts) == ([300, 200, 100], [600, 300, 100])
    assert (data.levels, data.input_shape) == (("coarse", "middle", "fine"), (1, 8, 8))
    data.setup("fit")
    data.setup("test")
    inputs, targets = everything(data.labelled_dataloader())
    assert (inputs.shape, inputs.dtype, targets.dtype) == ((600, 1, 8, 8), torch.float32, torch.int64)
    assert (float(inputs.min()), float(inputs.max())) == (0.0, 1.0)
    assert (targets >= 0).sum(0).tolist() == data.level_counts
    parts = [everything(loader) for loader in (data.val_dataloader(), data.test_dataloader())]
    assert [len(x) for x, _ in parts] == [359, 359]
    # compare the labels with scikit-learn's, found by their pixels
    names = {image.tobytes(): str(name) for image, name in zip(*load_digits(return_X_y=True), strict=True)}
    for x, y in (*parts, (inputs, targets)):
        for image, target in zip((x * 16).round().flatten(1).double().numpy(), y.tolist(), strict=True):
            expected = data.taxonomy.target(data.taxonomy.find(names[image.tobytes()]))
            known = sum(label >= 0 for label in target)
            assert target == expected[:known] + [-1] * (3 - known)


def test_train_validation_and_test_are_disjoint_and_depend_on_the_seed() -> None:
    def parts(seed: int | None, **kwargs: Any) -> list[list[int]]:
        data = module(validation=8, test=0.25, seed=seed, **kwargs)
        loaders = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
        return [ids(loader) for loader in loaders]

    train, validation, test = parts(0)
    assert sorted(train + validation + test) == list(range(40))
    assert (len(validation), len(test)) == (8, 10)
    assert parts(0) == [train, validation, test] == parts(None)
    assert parts(1)[1] != validation
    assert parts(0, budgets=[5, 5])[1:] == [validation, test]


def test_the_seed_of_seed_everything_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    data = module()
    held_out = ids(data.val_dataloader())
    assert held_out == ids(module(seed=5).val_dataloader()) != ids(module(seed=3).val_dataloader())
    monkeypatch.setenv("PL_GLOBAL_SEED", "6")  # too late: the rows are already divided
    assert data.state_dict()["seed"] == 5


def test_own_splits_are_used_as_they_are() -> None:
    source = {"train": vectors(12), "val": vectors(5), "test": vectors(6)}
    data = module(source, validation=0.5, test=0.5)
    assert sorted(ids(data.train_dataloader())) == list(range(12))
    assert ids(data.val_dataloader()) == list(range(5))
    assert ids(data.test_dataloader()) == list(range(6))
    assert data.has_test
    assert (module().has_test, module(test=0.1).has_test) == (False, True)


def test_each_stage_reads_only_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = ImageColumn.read

    def counting(self: ImageColumn, rows: Tensor) -> Tensor:
        read.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(ImageColumn, "read", counting)
    data = HierarchicalDataModule("digits", DIGITS, budgets=[0, 0, 50], validation=20, test=30)
    data.setup("fit")
    assert read == [50, 20]
    data.setup("validate")
    data.setup("fit")
    assert read == [50, 20]
    data.setup("test")
    assert read == [50, 20, 30]
    data.setup("predict")
    assert read == [50, 20, 30, 1797]


def test_given_taxonomy_needs_no_data() -> None:
    data = module("does/not/exist")
    assert data.levels == ("kind", "name")
    with pytest.raises(DataError, match="does/not/exist"):
        data.prepare_data()


def test_rows_without_label_are_left_out_of_training_and_kept_elsewhere() -> None:
    some = vectors(8, kind=["even", None] * 4, name=["0", None, None, None] * 2).remove_columns("label")
    data = module({"train": some, "test": some}, validation=1)
    with pytest.warns(UserWarning, match="4 training rows have no label"):
        data.setup("fit")
    train = ids(data.train_dataloader())
    assert sorted([*train, *ids(data.val_dataloader())]) == [0, 2, 4, 6]
    assert everything(data.test_dataloader())[1].tolist() == [[0, 0], [-1, -1], [0, -1], [-1, -1]] * 2


def test_prediction_needs_no_labels_and_keeps_the_order() -> None:
    bare = vectors(700).remove_columns("label")
    few = {"train": vectors(3)}
    for source in (bare, {"test": bare}, {**few, "predict": bare}, {**few, "test": bare}):
        data = module(source, test=0.5)
        data.setup("predict")
        inputs, targets = everything(data.predict_dataloader())
        assert inputs[:, 0].tolist() == list(range(700))
        assert targets.unique().tolist() == [-1]
        assert targets.shape == (700, 2)


def test_two_sources_of_different_depth() -> None:
    fine = vectors(8, kind=["even", "odd"] * 4).rename_column("label", "name")
    coarse = vectors(6, kind=["even", "odd"] * 3).remove_columns("label")
    data = module([fine, coarse], taxonomy=None, label_columns=["kind", "name"], validation=0)
    assert data.taxonomy == Taxonomy(["kind", "name"], [["even", "0"], ["odd", "1"], ["even", "2"], ["odd", "3"]])
    assert (data.subset_sizes, data.level_counts) == ([6, 8], [14, 8])
    assert data.val_dataloader() == []


def test_sources_with_labels_of_different_kinds_are_refused() -> None:
    columns = datasets.Dataset.from_dict({"x": [[0.0], [1.0]], "kind": ["bird", "bird"], "name": ["owl", "eagle"]})
    leaves = datasets.Dataset.from_dict({"x": [[2.0]], "label": ["owl"]})
    tree = Taxonomy.from_paths(["bird/owl", "bird/eagle"], levels=["kind", "name"])
    data = HierarchicalDataModule([columns, leaves], tree, input_column="x")
    with pytest.raises(DataError, match=r"no label column: neither 'kind', 'name' nor.*'x', 'label'.*of one kind"):
        _ = data.subset_sizes


def test_image_folder_is_resized_and_its_names_are_labels(tmp_path: Path) -> None:
    for i, name in enumerate("0123"):
        (tmp_path / name).mkdir()
        for side in (6, 9):
            Image.new("L", (side, side), i).save(tmp_path / name / f"{side}.png")
    data = HierarchicalDataModule(tmp_path, TREE, image_size=[4, 5], validation=0)
    inputs, targets = everything(data.train_dataloader())
    assert inputs.shape == (8, 1, 4, 5)
    value = (inputs.amax((1, 2, 3)) * 255).round().long()
    assert [TREE.names(1)[t] for t in targets[:, 1]] == [str(int(v)) for v in value]


def test_transform_is_for_all_and_augmentation_for_training_alone() -> None:
    data = module(transform=lambda x: x * 2, augmentation=lambda x: x + 1000, validation=10, test=10)
    assert min(ids(data.train_dataloader())) >= 2000
    for loader in (data.val_dataloader(), data.test_dataloader(), data.labelled_dataloader()):
        assert max(ids(loader)) < 100
    assert data.labelled_dataloader("validation").dataset is not None


def test_only_plain_values_are_kept_for_checkpoints() -> None:
    data = module(vectors(), transform=torch.relu, budgets=[1, 2])
    assert {"source", "taxonomy", "transform"}.isdisjoint(data.hparams)
    assert data.hparams["budgets"] == [1, 2]
    assert HierarchicalDataModule("digits", TREE.to_dict()).hparams["taxonomy"] == TREE.to_dict()
    data.setup("fit")
    assert len(pickle.dumps(dict(data.hparams))) < 2000
    state = data.state_dict()
    assert state.pop("rows")["count"] == 40
    assert state == {"seed": 0, "input_shape": [2]}


def test_the_command_line_builds_it_from_plain_values() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(HierarchicalDataModule, "data")
    flip = {"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 1.0}}
    config = parser.parse_object({"data": {"taxonomy": DIGITS, "validation": 0.5, "augmentation": flip}})
    data = parser.instantiate_classes(config).data
    mirrored = {tuple(x.flip(-1).flatten().tolist()) for x in everything(data.labelled_dataloader())[0]}
    assert {tuple(x.flatten().tolist()) for x in everything(data.train_dataloader())[0]} == mirrored
    assert parser.parse_args(["--data.source=[a,b]"]).data.source == ["a", "b"]


def test_state_keeps_seed_and_shape() -> None:
    first = module(seed=4)
    resumed = module()
    resumed.setup("fit")
    assert ids(resumed.val_dataloader()) != ids(first.val_dataloader())
    resumed.load_state_dict(first.state_dict())
    assert ids(resumed.val_dataloader()) == ids(first.val_dataloader())
    with pytest.raises(CheckpointError, match=r"seed 4.*data\.seed=5.*leave data.seed out"):
        module(seed=5).load_state_dict(first.state_dict())


def parts(data: HierarchicalDataModule) -> list[list[int]]:
    loaders = (data.labelled_dataloader(), data.val_dataloader(), data.test_dataloader())
    return [ids(loader) for loader in loaders]


def test_rows_appended_since_the_run_began_are_left_out() -> None:
    first = module(test=0.2)
    expected, state = parts(first), {}
    for when in ("before anything is read", "after the rows are read"):
        grown = module(vectors(60), test=0.2)
        if when == "after the rows are read":
            grown.setup("fit")
            assert parts(grown) != expected
        state = first.state_dict()
        grown.load_state_dict(state)
        with pytest.warns(
            UserWarning, match="20 training rows were appended since .* began with 40: they are left out"
        ):
            assert parts(grown) == expected
        assert grown.state_dict() == state
        assert grown.level_counts == first.level_counts


@pytest.mark.parametrize("change", ["removed", "inserted", "labelled anew"])
def test_other_rows_than_those_of_the_run_are_refused(change: str) -> None:
    first = module(test=0.2)
    first.setup("fit")
    rows = vectors().to_list()
    changed = {
        "removed": rows[:-1],
        "inserted": [rows[1], *rows],
        "labelled anew": [*rows[:-1], {"x": [39.0, 1.0], "label": "0"}],
    }[change]
    other = module(datasets.Dataset.from_list(changed), test=0.2)
    other.load_state_dict(first.state_dict())
    for stage in ("fit", "validate", "test"):
        with raises_naming(CheckpointError, "divided 40 training rows", f"{len(changed)} rows", "split 'test'"):
            other.setup(stage)
    other.setup("predict")  # which needs no partition
    assert len(ids(other.predict_dataloader())) == len(changed)
    # Rows that are not set aside from the training rows may be any.
    other = module({"train": datasets.Dataset.from_list(changed), "test": vectors(8)})
    other.load_state_dict(first.state_dict())
    other.setup("test")


def test_the_same_rows_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state = module(test=0.2).state_dict()
    first = module(test=0.2)
    for stage in ("fit", "test"):
        first.setup(stage)
        state = first.state_dict()
    for stage in ("fit", "test", "predict"):
        data = module(test=0.2)
        data.setup(stage)
        kept = dict(data._rows)
        data.load_state_dict(state)
        assert data._rows == kept


def test_prediction_follows_the_channels_of_training() -> None:
    def images(mode: str) -> datasets.Dataset:
        features = datasets.Features({"image": datasets.Image()})
        return datasets.Dataset.from_dict({"image": [Image.new(mode, (3, 3))] * 2}, features=features)

    trained = HierarchicalDataModule(images("RGB"), TREE)
    predicting = HierarchicalDataModule(images("L"), TREE)
    predicting.setup("predict")
    predicting.load_state_dict(trained.state_dict())
    assert everything(predicting.predict_dataloader())[0].shape == (2, 3, 3, 3)


@pytest.mark.parametrize(
    ("error", "stage", "kwargs", "parts"),
    [
        (BudgetError, "fit", {"budgets": [1]}, ["[1]", "2 levels", "kind, name"]),
        (BudgetError, "fit", {"budgets": [0, 99]}, ["99 rows", "'name'", "only 36"]),
        (DataError, "fit", {"budgets": [9, 0]}, ["'name'", "[9, 0]", "data.budgets"]),
        (DataError, "fit", {"validation": 40}, ["data.validation=40", "40 labelled"]),
        (DataError, "fit", {"source": {"test": vectors()}}, ["no split 'train'", "only 'test'"]),
        (DataError, "test", {}, ["no split 'test'", "data.test"]),
        (DataError, "predict", {"source": {"train": vectors(), "val": vectors()}}, ["'predict'", "'test'", "'train'"]),
        (DataError, "fit", {"input_column": None}, ["no image column", "'x', 'label'"]),
        (DataError, "fit", {"input_column": "y"}, ["no column 'y'", "data.input_column"]),
        (ConfigurationError, "fit", {"taxonomy": "mnist.yaml"}, ["'mnist.yaml'", "does not exist"]),
        (ConfigurationError, "fit", {"image_size": [1, 2, 3]}, ["data.image_size", "[1, 2, 3]"]),
        (ConfigurationError, "fit", {"image_size": 0}, ["data.image_size"]),
        (ConfigurationError, "fit", {"batch_size": 0}, ["data.batch_size", "at least 1"]),
    ],
)
def test_failures(error: type[NestedLightningError], stage: str, kwargs: dict[str, Any], parts: list[str]) -> None:
    with raises_naming(error, *parts):
        module(**kwargs).setup(stage)


def test_str_reads_nothing() -> None:
    assert str(module("does/not/exist")) == "HierarchicalDataModule(does/not/exist)"


def test_mnist(data_dir: Path) -> None:
    source = data_dir / "mnist"
    data = HierarchicalDataModule(source, "taxonomies/mnist.yaml", budgets=[40, 30, 30], validation=50, seed=0)
    data.setup("fit")
    inputs, targets = everything(data.labelled_dataloader())
    assert inputs.shape == (100, 1, 28, 28)
    rows = datasets.load_dataset("parquet", data_files=str(source / "train-*.parquet"), split="train")
    for at in range(0, 100, 9):
        row = int(data.partition.train[at])
        image = torch.tensor(list(rows[row]["image"].getdata())).view(28, 28) / 255
        assert torch.allclose(inputs[at, 0], image)
        expected = data.taxonomy.target(data.taxonomy.find(str(rows[row]["label"])))
        known = int((targets[at] >= 0).sum())
        assert targets[at].tolist() == expected[:known] + [-1] * (3 - known)

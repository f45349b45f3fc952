"""Each mistake of a user is told in one message, with exit code 2, and leaves nothing behind."""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import SHORT, digits, refused, run, write_rows

TAXONOMY = "levels: [kind, species]\ntree:\n  bird: [owl, eagle]\n  fish: [cod, eel]\n"
SPECIES = ("owl", "eagle", "cod", "eel")
PROBLEM = """
data: {source: rows.jsonl, taxonomy: tree.yaml, input_column: x, validation: 0.25}
model:
  backbone: {class_path: torch.nn.Linear, init_args: {in_features: 3, out_features: 8}}
  feature_channels: 8
  bottleneck_channels: 4
trainer: {default_root_dir: run, accelerator: cpu}
cascade: {max_epochs: 1}
rejection: {steps: 3}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on the digits."""
    root = tmp_path_factory.mktemp("errors") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root.parent)
        run("fit", *digits(root))
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def problem(folder: Path) -> Path:
    """A folder with a small problem of vectors: half of the rows labelled to the species, half to the kind."""
    (folder / "problem.yaml").write_text(PROBLEM)
    (folder / "tree.yaml").write_text(TAXONOMY)
    write_rows(folder / "rows.jsonl", rows())
    return folder


def rows() -> list[dict[str, Any]]:
    labels = [label for name in SPECIES for label in (name, "bird" if name in SPECIES[:2] else "fish")]
    return [{"x": [float(i % 5), 1.0, float(i % 3)], "label": labels[i % 8]} for i in range(64)]


def refused_without_trace(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """Return the message of a wrong command, which must leave every file as it was, and make none."""
    before = contents()
    message = refused(capsys, *args)
    assert contents() == before
    return message


def contents() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def expect(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message


# Options


@pytest.mark.parametrize(("args", "parts"), [
    (["--batch_size", "3"], ["unknown option 'batch_size'", "'data.batch_size'", "nested-lightning fit --help"]),
    (["--trainer.max_epoch=3"], ["unknown option 'trainer.max_epoch'", "'trainer.max_epochs'"]),
    (["--data.batchsize=3"], ["unknown option 'data.batchsize'", "'data.batch_size'"]),
    (["--model.threshhold=3"], ["unknown option 'model.threshhold'", "'model.threshold'"]),
    (["--cascade.patiense=3"], ["unknown option 'cascade.patiense'", "'cascade.patience'"]),
    (["--trainer.patience=3"], ["unknown option 'trainer.patience'", "'cascade.patience'"]),
    (["--model.backbone.chanels=[3]"], ["unknown option 'chanels' of 'model.backbone'", "mean 'channels'", "It takes"]),
    (["--model.optimizer=torch.optim.SGD", "--model.optimizer.momentun=1"], ["'momentun'", "'momentum'"]),
    (["--optimizer=Adam"], ["unknown option 'optimizer'", "'model.optimizer'"]),
    (["extra"], ["unexpected 'extra'", "--group.name value"]),
    (["--data.batch_size"], ["'data.batch_size' needs a value"]),
    (["--data.batch_size", "wide"], ["'data.batch_size' cannot be 'wide'", "expected int"]),
    (["--data.batch_size", "0"], ["data.batch_size must be at least 1, got 0"]),
    (["--data.budgets", "[a, 2]"], ["'data.budgets' cannot be ['a', 2]", "expected list[int] or null"]),
    (["--data.batch_size", "9223372036854775808"], ["data.batch_size must be at most 2147483647"]),
    (["--data.num_workers", "100000"], ["data.num_workers must be at most 1024, got 100000"]),
    (["--data.test", ".nan"], ["data.test=nan", "share in [0, 1)"]),
    (["--seed_everything", "-3"], ["seed_everything must be at least 0 and below 2**32, got -3"]),
    (["--model.optimizer.eps", "-1"], ["class cannot be built", "Invalid epsilon value: -1.0", "adam.py, line"]),
    (["--model.backbone.dropout", "14"], ["`dropout` must be", "got 14.0"]),
    (["--cascade.stage_data", "some"], ["'cascade.stage_data' cannot be 'some'", "expected 'exact' or 'all'"]),
    (["--seed_everything", "x"], ["'seed_everything' cannot be 'x'", "bool or int"]),
    (["--model.backbone.channels", "wide"], ["'model.backbone.channels' cannot be 'wide'", "Sequence"]),
    (["--model.backbone", "nested_lightning.models.UNetEncodr"], ["'model.backbone'", "'UNetEncodr'", "'UNetEncoder'"]),
    (["--model.backbone", "torch.nn.Linear"], ["'model.backbone'", "needs in_features, out_features", "init_args"]),
    (["--model.backbone", "nosuch.Encoder"], ["'model.backbone'", "no module 'nosuch'", "install"]),
    (["--model.backbone", "collections.Counter"], ["'model.backbone'", "collections.Counter is not a Module"]),
    (["--model.bottleneck", "nested_lightning.models.ConvBottlenek"], ["'model.bottleneck'", "mean 'ConvBottleneck'"]),
    (["--model.optimizer", "torch.optim.Adm"], ["'model.optimizer'", "no 'Adm'", "mean 'Adam'"]),
    (["--trainer.logger", "TensorBoardLogge"], ["'trainer.logger' cannot be 'TensorBoardLogge'", "import path"]),
    (["--trainer.accelerator", "gpuu"], ["group 'trainer'", "gpuu", "cpu"]),
    (["--trainer.devices", "0"], ["group 'trainer'", "devices"]),
    (["--trainer.precision", "13"], ["'trainer.precision' cannot be '13'", "'bf16-mixed'"]),
    (["--model.combination", "nestd"], ["'nestd' is no combination rule", "mean 'nested'"]),
    (["--model.loss_weights", "[1, 2]"], ["model.loss_weights", "2 values for the 3 levels"]),
    (["--model.threshold", "3"], ["model.threshold must lie in [0, 1], got 3"]),
    (["--model.bottleneck_channels", "[3]"], ["bottleneck_channels", "3 levels", "1 number"]),
    (["--cascade.stages", "[corse, fine]"], ["'corse' is not a level", "mean 'coarse'"]),
    (["--cascade.patience", "0"], ["cascade.patience", "at least 1"]),
    (["--model.backbone.in_channels", "3"], ["UNetEncoder expects images [batch, 3, height, width]", "in_channels"]),
    (["--config", "recipes/digit.yaml"], ["'recipes/digit.yaml' does not exist", "mean 'recipes/digits.yaml'"]),
    (["--data.taxonomy", "taxonomies/digit.yaml"], ["does not exist", "mean 'taxonomies/digits.yaml'"]),
])  # fmt: skip
def test_wrong_option(args: list[str], parts: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expect(refused_without_trace(capsys, "fit", *digits(folder / "run"), *args), *parts)


@pytest.mark.parametrize(("text", "parts"), [
    ("dta:\n  source: digits\n", ["line 2", "unknown option 'dta.source'", "mean 'data.source'"]),
    ("trainer:\n  max_epoch: 3\n", ["line 2", "unknown option 'trainer.max_epoch'", "'trainer.max_epochs'"]),
    ("data:\n  seed: 1\n  batchsize: 3\n", ["line 3", "unknown option 'data.batchsize'", "'data.batch_size'"]),
    ("model:\n  treshold: 3\n", ["line 2", "unknown option 'model.treshold'", "'model.threshold'"]),
    ("cascade: {patiense: 3}\n", ["line 1", "unknown option 'cascade.patiense'", "'cascade.patience'"]),
    ("model:\n  backbone:\n    init_args:\n      chanels: 3\n", ["line 4", "'chanels' of", "'channels'"]),
    ("data:\n  batch_size: wide\n", ["line 2", "'data.batch_size' cannot be 'wide'"]),
    ("model:\n  backbone:\n    class_path: nested_lightning.models.UNetEncodr\n", ["line 2", "mean 'UNetEncoder'"]),
    ("data:\n  source: [digits\nmodel:\n", ["line 3", "no valid YAML"]),
    ("data:\n\tsource: digits\n", ["line 2", "no valid YAML"]),
    ("- data\n- model\n", ["holds no options"]),
    ("", ["holds no options"]),
    ("data: null\n", ["mine.yaml, line 1", "'data' has no options below it, but 'null'"]),
    ("\ncascade: 3\n", ["mine.yaml, line 2", "'cascade' has no options below it, but '3'"]),
    ("model: x\n", ["option 'model' cannot be 'x'", "group of options"]),
    ("model:\n  '': 3\n", ["line 2", "a key is empty"]),
    ("data: &a\n  source: [*a]\n", ["line 2", "alias *a contains itself"]),
    ("data: !!python/object/apply:os.system [touch traces]\n", ["line 1", "os.system' is not allowed"]),
    ("data:\n  budgets: !mine [1]\n", ["line 2", "the tag '!mine' is not allowed"]),
    ("data:\n  seed: 1\nmodel:\n  threshold: 0.1\ndata:\n  seed: 2\n", ["line 5", "'data' is given twice", "line 1"]),
    ("data:\n  batch_size: ${data.batchsize}\n", ["line 2", "${data.batchsize}", "not set", "mean 'data.batch_size'"]),
    ("data:\n  source: ${oc.env:NO_SUCH_VARIABLE}\n", ["line 2", "'data.source'", "NO_SUCH_VARIABLE", "DEFAULT"]),
    ("data:\n  source: ${data.\n", ["line 2", "'data.source'"]),
    ("data:\n  source: ${nothing:3}\n", ["line 2", "'data.source'", "nothing"]),
])  # fmt: skip
def test_wrong_file(text: str, parts: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.yaml").write_text(text)
    message = refused_without_trace(capsys, "fit", *digits(folder / "run"), "--config", "mine.yaml")
    expect(message, "mine.yaml", *parts)


def test_the_place_of_a_key_is_not_told_when_the_command_line_set_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.yaml").write_text("data:\n  batch_size: 3\n")
    args = ["fit", *digits(folder / "run"), "--config", "mine.yaml", "--data.batch_size=wide"]
    assert "mine.yaml" not in refused_without_trace(capsys, *args)


@pytest.mark.parametrize(("args", "parts"), [
    (["fitt"], ["unknown command 'fitt'", "mean 'fit'", "fit, validate, test, predict, dashboard"]),
    (["--config", "recipes/digits.yaml"], ["command is missing", "fit, validate, test, predict"]),
    (["fit"], ["'model.backbone'", "--config FILE", "recipes list"]),
    (["fit", "--config"], ["'config' needs a value"]),
    (["test"], ["--ckpt_path RUN/checkpoints/final.ckpt"]),
    (["test", "--config", "recipes/digits.yaml"], ["test needs a trained model", "--ckpt_path"]),
    (["predict", "--config", "recipes/digits.yaml"], ["predict needs a trained model", "--ckpt_path"]),
    (["recipes"], ["recipes list", "recipes copy DEST"]),
    (["recipes", "copy"], ["recipes copy DEST"]),
    (["recipes", "cpoy", "here"], ["recipes cpoy here"]),
])  # fmt: skip
def test_wrong_command(args: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    expect(refused_without_trace(capsys, *args), *parts)


def test_a_folder_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    expect(
        refused_without_trace(capsys, "fit", *digits(folder / "file" / "run")), "cannot be written", "default_root_dir"
    )


# Data


def broken_parquet(folder: Path) -> list[str]:
    (folder / "train.parquet").write_bytes(b"PAR1 but nothing else")
    return ["--data.source", "train.parquet"]


def other_rows(*changed: dict[str, Any]) -> Any:
    """Return the small problem with its first rows changed."""

    def write(folder: Path) -> list[str]:
        write_rows(folder / "rows.jsonl", [*changed, *rows()[len(changed) :]])
        return []

    return write


def other_tree(text: str) -> Any:
    def write(folder: Path) -> list[str]:
        (folder / "tree.yaml").write_text(text)
        return []

    return write


def two_parents(folder: Path) -> list[str]:
    pairs = [("bird", "owl"), ("bird", "eagle"), ("fish", "cod"), ("fish", "owl")] * 4
    write_rows(folder / "rows.jsonl", [{"x": [1.0, 2.0, 3.0], "kind": a, "species": b} for a, b in pairs])
    (folder / "columns.yaml").write_text("data: {taxonomy: null, label_columns: [kind, species]}")
    return ["--config", "columns.yaml"]


def options(*args: str) -> Any:
    return lambda folder: list(args)


@pytest.mark.parametrize(("change", "parts"), [
    (options("--data.source", "no/where"), ["'no/where' is not a file or folder", "hub", "network", "path"]),
    (broken_parquet, ["train.parquet", "cannot be read"]),
    (options("--data.source", "tree.yaml"), ["tree.yaml", "unknown format '.yaml'", ".parquet"]),
    (options("--data.input_column", "y"), ["no column 'y'", "data.input_column", "'x', 'label'"]),
    (options("--data.label_columns", "lable"), ["no column 'lable'", "data.label_columns", "mean 'label'"]),
    (options("--data.input_column", "label"), ["'label' cannot be the input"]),
    (other_rows({"x": [1, 2, 3], "label": "owl"}, {"x": [1, 2, 3], "label": "owll"}), ["row 1", "'owll'", "'owl'"]),
    (other_rows({"x": [1, 2], "label": "owl"}), ["rows.jsonl", "column 'x' has shape"]),
    (other_rows({"x": [1, math.nan, 3], "label": "owl"}), ["row 0", "column 'x'", "NaN or infinite"]),
    (other_rows({"x": [1, math.inf, 3], "label": "owl"}), ["row 0", "column 'x'", "NaN or infinite"]),
    (two_parents, ["'species'", "'owl' stands under two parents", "'bird' (first in row 0)", "'fish'"]),
    (other_tree("levels: [kind]\ntree: [bird, fish]\n"), ["tree.yaml", "at least 2 level names", "['kind']"]),
    (other_tree(TAXONOMY.replace("species]", "species, colour]")), ["tree.yaml", "level 'colour' has no class"]),
    (other_tree(TAXONOMY.replace("owl,", "owl, owl,")), ["tree.yaml, line 3", "'bird/owl' is given twice"]),
    (other_tree(TAXONOMY.replace("[owl", "[owl:")), ["tree.yaml, line 3"]),
    (other_tree("levels: [kind, species]\nleaves: [[bird, owl], [bird, owl]]\n"), ["'bird/owl' is given twice"]),
    (options("--data.budgets", "[3]"), ["data.budgets=[3]", "2 levels kind, species"]),
    (options("--data.budgets", "[3, 400]"), ["data.budgets=[3, 400]", "400 rows", "'species'", "only 24 are left"]),
    (options("--data.budgets", "[10, 0]"), ["no training row has a label at level 'species'"]),
    (options("--data.validation", "64"), ["data.validation=64", "ask for fewer"]),
    (options("--data.validation", "0"), ["no validation data", "data.validation"]),
    (options("--data.taxonomy", "3"), ["taxonomy", "3"]),
])  # fmt: skip
def test_wrong_data(change: Any, parts: list[str], problem: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = change(problem)
    expect(refused_without_trace(capsys, "fit", "--config", "problem.yaml", *args), *parts)


def test_the_small_problem_itself_is_fine(problem: Path) -> None:
    run("fit", "--config", "problem.yaml")
    assert (problem / "run" / "checkpoints" / "final.ckpt").exists()


def test_images_of_different_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for digit in range(10):
        for number, side in enumerate((8, 8, 8, 9)):
            path = folder / "images" / "train" / str(digit) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, side), color=digit).save(path)
    args = ["fit", *digits(folder / "run"), "--data.source=images", "--data.budgets=null", "--data.test=null"]
    message = refused_without_trace(capsys, *args, "--cascade.stages=[fine]")
    expect(message, "the image is 9x8 (height x width)", "8x8", "data.image_size")
    assert re.search(r"row \d+ of split 'train' of images", message)


def test_a_loss_that_is_not_finite(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", *digits(folder / "run"), "--cascade.learning_rate", "1e30")
    expect(message, "the loss is not finite in stage 1 (coarse), epoch 1, ", "batch", "learning rate")
    assert not list(folder.rglob("*.ckpt"))


# Checkpoints


@pytest.mark.parametrize(("command", "name", "part"), [
    ("fit", "nowhere.ckpt", "there is no checkpoint 'nowhere.ckpt'"),
    ("fit", "short.ckpt", "short.ckpt cannot be read as a checkpoint"),
    ("validate", "text.ckpt", "text.ckpt cannot be read as a checkpoint"),
    ("test", "nowhere.ckpt", "there is no checkpoint 'nowhere.ckpt'"),
    ("test", "last", "there is no checkpoint 'last'"),
    ("predict", "short.ckpt", "short.ckpt cannot be read as a checkpoint"),
    ("predict", "tensor.ckpt", "tensor.ckpt is not a checkpoint of a training run"),
])  # fmt: skip
def test_not_a_checkpoint(
    command: str, name: str, part: str, folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "text.ckpt").write_text("not a checkpoint")
    (folder / "short.ckpt").write_bytes((trained / "checkpoints" / "final.ckpt").read_bytes()[:5000])
    torch.save({"a": torch.zeros(2)}, folder / "tensor.ckpt")
    expect(refused_without_trace(capsys, command, *digits(folder / "run"), "--ckpt_path", name), part)


def test_a_last_checkpoint_that_is_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    message = refused_without_trace(capsys, "fit", *digits(folder / "run"), "--ckpt_path", "last")
    expect(message, "last.ckpt cannot be read as a checkpoint")


@pytest.mark.parametrize(
    ("command", "keys", "value", "part"),
    [
        ("test", ["config"], None, "changed.ckpt was changed after it was written: its options are NoneType"),
        ("test", ["loops"], {}, "do not fit this run (KeyError: 'test_loop')"),
        ("fit", ["optimizer_states"], None, "do not fit this run"),
        ("test", ["HierarchicalDataModule", "input_shape"], [1, -8, 8], "the shape of its inputs is [1, -8, 8]"),
        ("predict", ["HierarchicalDataModule", "seed"], "x", "do not fit this run (ValueError: invalid literal"),
        ("predict", ["state_dict", "loss_weights"], 2.5, "do not fit this run (AttributeError"),
    ],
)
def test_a_checkpoint_that_was_changed(
    trained: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    keys: list[str],
    value: Any,
    part: str,
) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    *above, last = keys
    inner = checkpoint
    for key in above:
        inner = inner[key]
    inner[last] = value
    torch.save(checkpoint, folder / "changed.ckpt")
    expect(refused_without_trace(capsys, command, *digits(folder / "run"), "--ckpt_path", "changed.ckpt"), part)


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_a_checkpoint_of_another_taxonomy(
    command: str, problem: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / "checkpoints" / "last.ckpt"
    (problem / "digits.yaml").write_text(
        "levels: [kind, digit]\ntree:\n  even: [0, 2, 4, 6, 8]\n  odd: [1, 3, 5, 7, 9]\n"
    )
    args = ["--data.taxonomy=digits.yaml", "--data.budgets=null", "--model.bottleneck_channels=8"]
    args += ["--cascade.learning_rate=null"]
    message = refused_without_trace(capsys, command, *digits(problem / "run"), *args, "--ckpt_path", checkpoint)
    expect(message, "another taxonomy", "coarse 2 > middle 4 > fine 10", "kind 2 > digit 10")


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_checkpoint_of_another_network(
    command: str, folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*digits(folder / "run"), "--model.backbone.channels", "[3, 5]", "--ckpt_path"]
    message = refused_without_trace(capsys, command, *args, trained / "checkpoints" / "last.ckpt")
    expect(message, "another model", "network.backbone", "in the checkpoint", "in the model", "more differ")


def test_a_folder_with_another_run(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained, folder / "run")
    message = refused_without_trace(capsys, "fit", *digits(folder / "run"), "--data.batch_size", "7")
    expect(message, str(folder / "run" / "checkpoints" / "last.ckpt"), 'ckpt_path="last"', "default_root_dir")


def test_too_little_memory(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def large(*args: Any) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("nested_lightning.module.NestedLightningModule.training_step", large)
    message = refused(capsys, "fit", *digits(folder / "run"))
    expect(message, "not enough memory", "you tried to allocate", "data.batch_size", "number of channels")


def test_a_bug_is_not_called_a_mistake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("nested_lightning.module.NestedLightningModule.training_step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("fit", *digits(folder / "run"), *SHORT)

"""Each mistake of a user ends in one message, with exit code 2, and leaves no files behind."""

import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import digits, refused, run, write_rows

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
RUN = digits(Path("run"))
Check = Callable[..., None]


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


@pytest.fixture
def mistake(capsys: pytest.CaptureFixture[str]) -> Check:
    """Return a check of a wrong command: it must leave every file as it was, and its message must have these parts."""

    def contents() -> dict[str, bytes | None]:
        return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}

    def check(args: Sequence[object], *parts: str) -> None:
        before = contents()
        expect(refused(capsys, *args), *parts)
        assert contents() == before

    return check


def expect(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message


# Options


@pytest.mark.parametrize(("args", "parts"), [
    (["--batch_size", "3"], ["unknown option 'batch_size'", "'data.batch_size'", "nested-lightning fit --help"]),
    (["--trainer.max_epoch=3"], ["unknown option 'trainer.max_epoch'", "'trainer.max_epochs'"]),
    (["--cascade.patiense=3"], ["unknown option 'cascade.patiense'", "'cascade.patience'"]),
    (["--trainer.patience=3"], ["unknown option 'trainer.patience'", "'cascade.patience'"]),
    (["--model.backbone.chanels=[3]"], ["'model.backbone': unknown argument 'chanels'", "mean 'channels'", "It takes"]),
    (["--model.optimizer=torch.optim.SGD", "--model.optimizer.momentun=1"], ["'momentun'", "'momentum'"]),
    (["extra"], ["unknown option 'extra'", "nested-lightning fit --help"]),
    (["--data.batch_size"], ["--data.batch_size: expected one argument"]),
    (["--data.batch_size", "wide"], ["'data.batch_size': expected int; got wide"]),
    (["--data.batch_size", "0"], ["data.batch_size must be at least 1, got 0"]),
    (["--data.budgets", "[a, 2]"], ["'data.budgets': expected one of: list[int], null; got ['a', 2]"]),
    (["--data.batch_size", "9223372036854775808"], ["data.batch_size must be at most 2147483647"]),
    (["--data.num_workers", "100000"], ["data.num_workers must be at most 1024, got 100000"]),
    (["--data.test", ".nan"], ["data.test=nan", "share in [0, 1)"]),
    (["--seed_everything", "-3"], ["seed_everything must be at least 0 and below 2**32, got -3"]),
    (["--model.optimizer.eps", "-1"], ["class cannot be built", "Invalid epsilon value: -1.0", "adam.py, line"]),
    (["--model.backbone.dropout", "14"], ["`dropout` must be", "got 14.0"]),
    (["--cascade.stage_data", "some"], ["'cascade.stage_data': expected 'exact', 'all'; got some"]),
    (["--trainer.barebones=true"], ["trainer.barebones switches off", "leave it out"]),
    (["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/loss"], ["correct_levels"]),
    (["--trainer.callbacks=LearningRateFinder"], ["LearningRateFinder finds", "cascade.learning_rate"]),
    (["--seed_everything", "x"], ["'seed_everything': expected one of: bool, int; got x"]),
    (["--model.backbone.channels", "wide"], ["'model.backbone.channels'", "Sequence; got wide"]),
    (["--model.backbone", "nested_lightning.models.UNetEncodr"], ["'model.backbone'", "UNetEncodr'", "'UNetEncoder'"]),
    (["--model.backbone", "torch.nn.Linear"], ["'model.backbone'", "required: in_features, out_features"]),
    (["--model.backbone", "nosuch.Encoder"], ["'model.backbone'", "No module named 'nosuch'"]),
    (["--model.backbone", "collections.Counter"], ["'model.backbone'", "collections.Counter does not", "Module"]),
    (["--model.optimizer", "torch.optim.Adm"], ["'model.optimizer'", "unknown class 'torch.optim.Adm'", "mean 'Adam'"]),
    (["--trainer.logger", "TensorBoardLogge"], ["'trainer.logger'", "logger.Logger", "got TensorBoardLogge"]),
    (["--trainer.accelerator", "gpuu"], ["accelerator='gpuu'", "cpu"]),
    (["--trainer.devices", "0"], ["devices='0'", "cpu"]),
    (["--trainer.precision", "13"], ["'trainer.precision'", "'bf16-mixed'", "got 13"]),
    (["--model.combination", "nestd"], ["unknown combination rule 'nestd'", "mean 'nested'"]),
    (["--model.loss_weights", "[1, 2]"], ["model.loss_weights", "2 values for the 3 levels"]),
    (["--model.threshold", "3"], ["model.threshold must lie in [0, 1], got 3"]),
    (["--model.bottleneck_channels", "[3]"], ["bottleneck_channels", "3 levels", "1 number"]),
    (["--cascade.stages", "[corse, fine]"], ["'corse' is not a level", "mean 'coarse'"]),
    (["--cascade.patience", "0"], ["cascade.patience", "at least 1"]),
    (["--model.backbone.in_channels", "3"], ["UNetEncoder expects images [batch, 3, height, width]", "in_channels"]),
    (["--trainer.callbacks", "EarlyStopping"], ["'trainer.callbacks': Problem", "EarlyStopping'", "required: monitor"]),
    (["--trainer.barebones", "true"], ["trainer.barebones", "leave it out"]),
    (["--temperature", "null"], ["'temperature'", "To leave the callback out: --without temperature"]),
    (["--without", "temprature"], ["'without'", "'temperature'", "got temprature"]),
    (["--lr_scheduler", "x"], ["unknown option 'lr_scheduler'", "cascade.plateau_factor", "configure_optimizers"]),
    (["--config", "recipes/digit.yaml"], ["'recipes/digit.yaml' does not exist", "mean 'recipes/digits.yaml'"]),
    (["--data.taxonomy", "taxonomies/digit.yaml"], ["does not exist", "mean 'taxonomies/digits.yaml'"]),
])  # fmt: skip
def test_wrong_option(args: list[str], parts: list[str], mistake: Check) -> None:
    mistake(["fit", *RUN, *args], *parts)


@pytest.mark.parametrize(("text", "parts"), [
    ("dta:\n  source: digits\n", ["line 2", "unknown option 'dta.source'", "mean 'data.source'"]),
    ("trainer:\n  max_epoch: 3\n", ["line 2", "unknown option 'trainer.max_epoch'", "'trainer.max_epochs'"]),
    ("cascade: {patiense: 3}\n", ["line 1", "unknown option 'cascade.patiense'", "'cascade.patience'"]),
    ("model:\n  backbone:\n    init_args:\n      chanels: 3\n", ["line 4", "'model.backbone'", "'chanels'", "mean"]),
    ("data:\n  batch_size: wide\n", ["line 2", "'data.batch_size': expected int; got wide"]),
    ("model:\n  backbone:\n    class_path: nested_lightning.models.UNetEncodr\n", ["line 2", "mean 'UNetEncoder'"]),
    ("data:\n  source: [digits\nmodel:\n", ["line 3", "not valid YAML"]),
    ("data:\n\tsource: digits\n", ["line 2", "not valid YAML"]),
    ("- data\n- model\n", ["holds no options"]),
    ("data: null\n", ["mine.yaml, line 1", "'data' is followed by 'null'", "indent"]),
    ("\ncascade: 3\n", ["mine.yaml, line 2", "'cascade' is followed by '3'", "indent"]),
    ("rejection: null\n", ["line 1", "To leave the callback out: without: [rejection]"]),
    ("trainer:\n  callbacks:\n    class_path: EarlyStopping\n    init_args:\n      patience: many\n",
     ["line 5", "'trainer.callbacks.patience'", "expected int; got many"]),
    ("trainer:\n  callbacks:\n  - class_path: LearningRateMonitor\n  - class_path: EarlyStopping\n    init_args:\n"
     "      patiense: 3\n", ["line 6", "'trainer.callbacks': unknown argument 'patiense'", "mean 'patience'"]),
    ("model: x\n", ["mine.yaml, line 1", "'model' is followed by 'x'"]),
    ("model:\n  '': 3\n", ["line 2", "a key is empty"]),
    ("data: &a\n  source: [*a]\n", ["line 2", "alias *a contains itself"]),
    ("data: !!python/object/apply:os.system [touch traces]\n", ["line 1", "tag", "os.system"]),
    ("data:\n  budgets: !mine [1]\n", ["line 2", "tag '!mine'"]),
    ("data:\n  seed: 1\nmodel:\n  threshold: 0.1\ndata:\n  seed: 2\n", ["line 5", "'data' is given twice", "line 1"]),
    ("data:\n  batch_size: ${data.batchsize}\n", ["line 2", "'data.batch_size'", "option 'data.batchsize'", "mean"]),
    ("data:\n  source: ${oc.env:NO_SUCH_VARIABLE}\n", ["line 2", "'data.source'", "NO_SUCH_VARIABLE' not found"]),
    ("data:\n  source: ${data.\n", ["line 2", "'data.source'"]),
    ("data:\n  source: ${nothing:3}\n", ["line 2", "'data.source'", "nothing"]),
])  # fmt: skip
def test_wrong_file(text: str, parts: list[str], folder: Path, mistake: Check) -> None:
    (folder / "mine.yaml").write_text(text)
    mistake(["fit", *RUN, "--config", "mine.yaml"], "mine.yaml", *parts)


def test_the_command_line_overrides_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.yaml").write_text("data:\n  batch_size: 3\n")
    assert "mine.yaml" not in refused(capsys, "fit", *RUN, "--config", "mine.yaml", "--data.batch_size=wide")


@pytest.mark.parametrize(("args", "parts"), [
    (["fitt"], ["unknown command 'fitt'", "mean 'fit'", "fit, validate, test, predict, dashboard"]),
    (["--config", "recipes/digits.yaml"], ["expected \"subcommand\"", "fit,validate,test,predict"]),
    (["fit"], ["model.backbone", "--config FILE", "recipes list"]),
    (["fit", "--config"], ["--config: expected one argument"]),
    (["test"], ["--ckpt_path RUN/checkpoints/final.ckpt"]),
    (["test", "--config", "recipes/digits.yaml"], ["test needs a trained model", "--ckpt_path"]),
    (["predict", "--config", "recipes/digits.yaml"], ["predict needs a trained model", "--ckpt_path"]),
])  # fmt: skip
def test_wrong_command(args: list[str], parts: list[str], mistake: Check) -> None:
    mistake(args, *parts)


def test_a_folder_that_cannot_be_written(folder: Path, mistake: Check) -> None:
    (folder / "file").write_text("")
    mistake(["fit", *digits(folder / "file" / "run")], "cannot be written", "default_root_dir")


# Data


def options(*args: str, **files: str) -> tuple[list[str], dict[str, str]]:
    return list(args), files


def other_rows(*changed: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the small problem with its first rows changed."""
    return options(**{"rows.jsonl": "\n".join(map(json.dumps, [*changed, *rows()[len(changed) :]]))})


def other_tree(text: str) -> tuple[list[str], dict[str, str]]:
    return options(**{"tree.yaml": text})


broken_parquet = options("--data.source", "train.parquet", **{"train.parquet": "PAR1 but nothing else"})
PAIRS = [("bird", "owl"), ("bird", "eagle"), ("fish", "cod"), ("fish", "owl")] * 4
two_parents = options("--config", "columns.yaml", **{
    "rows.jsonl": "\n".join(json.dumps({"x": [1.0, 2.0, 3.0], "kind": a, "species": b}) for a, b in PAIRS),
    "columns.yaml": "data: {taxonomy: null, label_columns: [kind, species]}",
})  # fmt: skip


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
    (two_parents, ["'species'", "'owl' stands under two parents", "'bird' (row", "'fish'"]),
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
def test_wrong_data(change: tuple[list[str], dict[str, str]], parts: list[str], problem: Path, mistake: Check) -> None:
    args, files = change
    for name, text in files.items():
        (problem / name).write_text(text)
    mistake(["fit", "--config", "problem.yaml", *args], *parts)


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
    args = ["--data.source=images", "--data.budgets=null", "--data.test=null", "--cascade.stages=[fine]"]
    message = refused(capsys, "fit", *RUN, *args)
    expect(message, "the image is 9x8 (height x width)", "8x8", "data.image_size")
    assert re.search(r"row \d+ of split 'train' of images", message)


@pytest.mark.parametrize(("column", "size", "parts"), [
    ("text", 2, ["torch.int64 (numbers of words) of shape"]), ("numbers", 3, ["torch.float32 of shape [", "mat1"]),
])  # fmt: skip
def test_a_network_for_other_inputs(
    column: str, size: int, parts: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"a b {i}", "numbers": [1.0, i], "l": "ab"[i % 2], "m": "pqrs"[i % 4]} for i in range(48)]
    write_rows(folder / "mixed.jsonl", rows)
    message = refused(
        capsys, "fit", "--data.source=mixed.jsonl", "--data.label_columns=[l,m]", f"--data.input_column={column}",
        "--model.backbone=torch.nn.Linear", f"--model.backbone.in_features={size}", "--model.feature_channels=4",
        "--model.backbone.out_features=4", "--data.validation=0.25", "--trainer.enable_progress_bar=false",
        "--trainer.default_root_dir=run",
    )  # fmt: skip
    expect(message, "the backbone cannot process the inputs", "model.backbone", *parts)


def test_a_loss_that_is_not_finite(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", *RUN, "--cascade.learning_rate", "1e30")
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
def test_not_a_checkpoint(command: str, name: str, part: str, folder: Path, trained: Path, mistake: Check) -> None:
    (folder / "text.ckpt").write_text("not a checkpoint")
    (folder / "short.ckpt").write_bytes((trained / "checkpoints" / "final.ckpt").read_bytes()[:5000])
    torch.save({"a": torch.zeros(2)}, folder / "tensor.ckpt")
    mistake([command, *RUN, "--ckpt_path", name], part)


def test_a_damaged_last_checkpoint(folder: Path, mistake: Check) -> None:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    mistake(["fit", *RUN, "--ckpt_path", "last"], "last.ckpt cannot be read as a checkpoint")


@pytest.mark.parametrize(("command", "keys", "value", "part"), [
    ("test", "config", None, "changed.ckpt was changed after it was written: expected a dict of options, got NoneType"),
    ("test", "loops", {}, "does not fit this run (KeyError: 'test_loop')"),
    ("fit", "optimizer_states", None, "does not fit this run"),
    ("test", "HierarchicalDataModule/input_shape", [1, -8, 8], "the shape of its inputs is [1, -8, 8]"),
    ("predict", "HierarchicalDataModule/seed", "x", "does not fit this run (ValueError: invalid literal"),
    ("predict", "state_dict/loss_weights", 2.5, "does not fit this run (AttributeError"),
])  # fmt: skip
def test_a_changed_checkpoint(
    trained: Path, folder: Path, mistake: Check, command: str, keys: str, value: Any, part: str
) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    *above, last = keys.split("/")
    reduce(getitem, above, checkpoint)[last] = value
    torch.save(checkpoint, folder / "changed.ckpt")
    mistake([command, *RUN, "--ckpt_path", "changed.ckpt"], part)


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_a_checkpoint_of_another_taxonomy(command: str, folder: Path, trained: Path, mistake: Check) -> None:
    tree = "levels: [kind, digit]\ntree:\n  even: [0, 2, 4, 6, 8]\n  odd: [1, 3, 5, 7, 9]\n"
    (folder / "digits.yaml").write_text(tree)
    args = [*RUN, "--data.taxonomy=digits.yaml", "--data.budgets=null", "--model.bottleneck_channels=8"]
    args += ["--cascade.learning_rate=null", "--ckpt_path", str(trained / "checkpoints" / "last.ckpt")]
    mistake([command, *args], "another taxonomy", "coarse 2 > middle 4 > fine 10", "kind 2 > digit 10")


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_checkpoint_of_another_network(command: str, trained: Path, mistake: Check) -> None:
    args = [*RUN, "--model.backbone.channels", "[3, 5]", "--ckpt_path", trained / "checkpoints" / "last.ckpt"]
    parts = ["another model", "network.backbone", "in the checkpoint", "in the model", "more differ"]
    mistake([command, *args], *parts)


def test_a_folder_with_another_run(folder: Path, trained: Path, mistake: Check) -> None:
    shutil.copytree(trained, folder / "run")
    parts = ["--ckpt_path last", "--trainer.default_root_dir", str(folder / "run" / "checkpoints" / "last.ckpt")]
    mistake(["fit", *RUN, "--data.batch_size", "7"], *parts)


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nested_lightning.module.NestedLightningModule.training_step", lambda *_: torch.empty(2**60))
    message = refused(capsys, "fit", *RUN)
    expect(message, "not enough memory", "you tried to allocate", "data.batch_size", "number of channels")


def test_a_bug_is_not_called_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("nested_lightning.module.NestedLightningModule.training_step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("fit", *RUN)

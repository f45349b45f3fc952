"""The commands: their files, their output, their exit codes."""

import csv
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from helpers.commands import SHORT, digits, refused, run, write_image, write_rows
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.cli import main as cli
from nested_lightning.cli.output import quietly
from nested_lightning.errors import DataError
from nested_lightning.loggers import RunCSVLogger
from nested_lightning.loggers.wandb import keep_wandb_offline


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder: recipes and taxonomies are those of the package."""
    monkeypatch.chdir(tmp_path)


def config(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    """Return the options that a command would run with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run(*args, "--print_config")
    assert end.value.code == 0
    options: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return options


def metrics(root: Path) -> list[dict[str, str]]:
    with open(root / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_and_metrics_of_a_run(trained: Path) -> None:
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert files >= {"config.yaml", "metrics.csv", "checkpoints/last.ckpt", "checkpoints/final.ckpt"}
    assert not [name for name in files if name.endswith(".tmp")]
    logged = {key for row in metrics(trained) for key, value in row.items() if value}
    for level in ("coarse", "middle", "fine"):
        assert {f"test/{level}/{name}" for name in ("accuracy", "confidence", "ece")} <= logged
        assert {f"val/{level}/{name}" for name in ("accuracy", "confidence", "ece")} <= logged
    assert not list(trained.parent.glob("checkpoints"))


def weights(root: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(root / "checkpoints" / "final.ckpt", weights_only=True)["state_dict"]
    return state


def assert_same_weights(one: Path, other: Path) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0, equal_nan=True)


def test_the_saved_config_runs_again_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    again = ["--trainer.default_root_dir", tmp_path / "again", "--figures.draw=never"]
    run("fit", "--config", trained / "config.yaml", *again)
    assert_same_weights(trained, tmp_path / "again")


def test_overlays_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--config", "recipes/mnist.yaml", "--config=recipes/variants/traditional.yaml", "--trainer.max_epochs", "3"]
    args += ["--seed_everything", "3", "--data.source", "DIR", "--data.budgets", "[1,2,3]"]
    options = config(capsys, "fit", *args)
    assert options["cascade"]["stages"] == [-1] and options["cascade"]["stage_data"] == "all"
    assert [options["data"][key] for key in ("source", "budgets", "validation")] == ["DIR", [1, 2, 3], 5000]
    assert options["trainer"]["max_epochs"] == options["seed_everything"] == 3
    assert "optimizer" not in options


def test_references_follow_later_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.yaml").write_text("data:\n  eval_batch_size: ${data.batch_size}\n")
    options = config(capsys, "fit", *digits(tmp_path), "--config", tmp_path / "more.yaml", "--data.batch_size", "7")
    assert options["data"]["eval_batch_size"] == 7


def test_a_checkpoint_brings_its_options_which_the_user_overrides(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / "checkpoints" / "final.ckpt"
    own = config(capsys, "test", "--ckpt_path", checkpoint)
    assert own["model"]["backbone"]["class_path"] == "nested_lightning.models.UNetEncoder"
    assert own["data"]["test"] == 0.2
    assert own["data"]["taxonomy"]["levels"] == ["coarse", "middle", "fine"]
    assert own["model"]["threshold"] == 0.5
    assert config(capsys, "test", f"--ckpt_path={checkpoint}", "--model.threshold", "0.9")["model"]["threshold"] == 0.9


class Recorded(NestedLightningModule):
    """A module that remembers itself."""

    last: "Recorded"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Recorded.last = self


def test_an_option_given_beside_a_checkpoint_reaches_the_model(trained: Path) -> None:
    run("test", "--ckpt_path", trained / "checkpoints" / "final.ckpt", "--model.threshold=0.9", model_class=Recorded)
    assert Recorded.last.threshold == 0.9
    assert (Recorded.last.temperatures >= 1).all()


@pytest.mark.parametrize("with_recipe", [False, True])
def test_test_repeats_the_metrics_of_the_run(
    trained: Path, with_recipe: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipe = ["--config", "recipes/digits.yaml"] if with_recipe else []
    run("test", *recipe, "--ckpt_path", trained / "checkpoints" / "final.ckpt", "--trainer.logger", "CSVLogger",
        "--trainer.logger.save_dir", tmp_path, "--trainer.logger.name=", "--trainer.logger.version=t",
        "--trainer.default_root_dir", tmp_path)  # fmt: skip
    tested, reported = metrics(tmp_path / "t")[-1], metrics(trained)[-1]
    keys = [f"test/{level}/{name}" for level in ("coarse", "fine") for name in ("accuracy", "confidence", "ece")]
    assert [float(tested[key]) for key in keys] == pytest.approx([float(reported[key]) for key in keys], abs=1e-5)


def test_validate_and_predict_need_the_checkpoint_alone(trained: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run("validate", "--ckpt_path", trained / "checkpoints" / "last.ckpt")
    assert not list(tmp_path.iterdir())
    run("predict", "--ckpt_path", trained / "checkpoints" / "final.ckpt", "--trainer.default_root_dir", tmp_path / "p")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["predictions.parquet"]
    table = pq.read_table(tmp_path / "p" / "predictions.parquet")
    assert table.num_rows == 1797
    assert {"coarse", "fine_confidence", "fine_own", "path", "path_confidence", "depth"} <= set(table.column_names)


def test_a_finished_run_is_shown_not_trained_again(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    run("fit", *digits(root), "--ckpt_path", "last")
    assert "stage" not in (shown := capsys.readouterr().out)
    assert "ECE" in shown
    assert_same_weights(trained, root)


def test_callbacks_can_be_left_out(tmp_path: Path) -> None:
    left_out = "[rejection,temperature,checkpoint,figures]"
    run("fit", *digits(tmp_path), "--without", left_out, "--trainer.enable_progress_bar=false", model_class=Recorded)
    names = {type(callback).__name__ for callback in Recorded.last.trainer.callbacks}
    assert names == {"CascadeTraining", "WandbRun", "Report", "PredictionWriter", "SaveRunConfig"}
    assert bool((Recorded.last.temperatures == 1).all()) and not (tmp_path / "checkpoints").exists()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["without"] == left_out[1:-1].split(",")


def test_without_the_cascade_the_epochs_are_limited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.yaml").write_text("without: cascade")
    args = [*digits(tmp_path / "run"), "--config", tmp_path / "more.yaml"]
    assert "set trainer.max_epochs" in refused(capsys, "fit", *args)
    run("fit", *args, "--trainer.max_epochs=1", model_class=Recorded)
    assert Recorded.last.trainer.current_epoch == 1
    assert (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()


def test_validation_samples_labelled_coarsely_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"x": [i % 3, i % 2], "kind": "ab"[i % 2], "leaf": "pqrs"[i % 4]} for i in range(48)]
    for split in ("train", "validation"):
        (tmp_path / "data").mkdir(exist_ok=True)
        cut = [{**row, "leaf": row["leaf"] if split == "train" else None} for row in rows]
        write_rows(tmp_path / "data" / f"{split}.jsonl", cut)
    args = ["fit", "--data.source=data", "--data.label_columns=[kind,leaf]", "--data.input_column=x", *SHORT,
            "--model.backbone=torch.nn.Linear", "--model.backbone.in_features=2", "--model.backbone.out_features=4",
            "--model.feature_channels=4", "--trainer.default_root_dir=run"]  # fmt: skip
    message = refused(capsys, *args)
    assert "no validation sample has a label at level 'leaf'" in message
    assert "remove TemperatureScaling (--without temperature)" in message
    assert not (tmp_path / "run" / "checkpoints").exists()
    run(*args, "--ckpt_path=last", "--without=temperature")
    assert (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()


def test_the_users_classes(tmp_path: Path) -> None:
    class Mine(Recorded):
        def __init__(self, *args: Any, extra: int = 1, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.extra = extra

    class MyData(HierarchicalDataModule):
        def __init__(self, rows: int = 0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.rows = rows

    run("fit", *digits(tmp_path), "--model.extra", "5", "--data.rows", "6", "--trainer.fast_dev_run", "true",
        model_class=Mine, data_class=MyData)  # fmt: skip
    assert isinstance(Recorded.last, Mine)
    assert Recorded.last.extra == 5
    assert Recorded.last.trainer.datamodule.rows == 6


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run("fit", *digits(tmp_path), "--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", tmp_path / "tb",
        model_class=Recorded)  # fmt: skip
    assert isinstance(Recorded.last.trainer.logger, TensorBoardLogger)
    assert list((tmp_path / "tb").rglob("events.out.*"))
    assert not (tmp_path / "metrics.csv").exists()


def test_max_epochs_stops_anywhere(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"stopped after trainer\.max_epochs=1 epochs, in stage 1 of 3"):
        run("fit", *digits(tmp_path), "--cascade.max_epochs=9", "--trainer.max_epochs", "1")
    assert not (tmp_path / "checkpoints" / "final.ckpt").exists()
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(("mode", "logged_in", "offline"), [
    (None, False, True), (None, True, False), ("online", False, False),
])  # fmt: skip
def test_wandb_stays_offline_unless_it_is_configured(
    mode: str | None, logged_in: bool, offline: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    fake = SimpleNamespace(login=lambda **_: logged_in, Settings=lambda mode: mode, setup=asked.append)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    keep_wandb_offline([None, RunCSVLogger(tmp_path)])
    assert asked == []
    keep_wandb_offline([RunCSVLogger(tmp_path), WandbLogger.__new__(WandbLogger)])
    assert asked == ["offline"] * offline


@pytest.mark.slow
def test_wandb_writes_the_promised_keys(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "nested_lightning", "fit", *digits(tmp_path / "run")]
    command += ["--trainer.logger=WandbLogger", "--trainer.logger.save_dir", str(tmp_path)]
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "NETRC"))}
    done = subprocess.run(command, env={**unset, "HOME": str(tmp_path / "home")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    for level in ("coarse", "middle", "fine"):
        for name in ("accuracy", "confidence", "ece"):
            assert f"val/{level}/{name}".encode() in written.read_bytes()
            assert f"test/{level}/{name}".encode() in written.read_bytes()


@pytest.mark.parametrize(("args", "code", "shown", "hidden"), [
    ([], 2, ["recipes copy DEST", "fit", "validate", "test", "predict"], ["--cascade"]),
    (["--help"], 0, ["\n  report ", "\n  dashboard ", "\n  taxonomy ", "\n  recipes "], ["--cascade"]),
    (["fit", "--help"], 0, ["--cascade.patience", "nested_lightning.models.UNetEncoder"],
     ["torch.nn.Bilinear", "--lr_scheduler"]),
])  # fmt: skip
def test_help_is_readable(
    args: list[str], code: int, shown: list[str], hidden: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(*args)
    assert end.value.code == code
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 900
    assert all(part in text for part in shown) and not any(part in text for part in hidden)


OURS, THEIRS = ("nested_lightning.cli.main:main", "nested-lightning"), ("sdk.cli:run", "lightning-sdk")


@pytest.mark.parametrize(("started_as", "installed", "is_warned"), [
    ("/bin/lightning", [OURS], False),
    ("/bin/lightning", [OURS, THEIRS], True),
    ("lightning.exe", [THEIRS], True),
    ("/bin/nested-lightning", [THEIRS], False),
    ("/src/nested_lightning/__main__.py", [THEIRS], False),
])  # fmt: skip
def test_another_package_with_a_command_lightning(
    started_as: str, installed: list[tuple[str, str]], is_warned: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    entries = [SimpleNamespace(value=value, dist=SimpleNamespace(name=name)) for value, name in installed]
    monkeypatch.setattr(cli, "entry_points", lambda **selected: entries if selected["name"] == "lightning" else [])
    monkeypatch.setattr(sys, "argv", [started_as, "recipes", "list"])
    cli.main()
    error = capsys.readouterr().err
    assert (
        "warning: the package lightning-sdk also installs" in error and "use 'nested-lightning'" in error
    ) == is_warned
    assert len(error.splitlines()) == int(is_warned)


def test_a_run_prints_what_matters_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged = logging.StreamHandler(io.StringIO())
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    for logger in loggers:
        logger.addHandler(logged)
    try:
        with warnings.catch_warnings(record=True) as warned:
            run("fit", *digits(tmp_path / "run"))
    finally:
        for logger in loggers:
            logger.removeHandler(logged)
    assert [str(warning.message) for warning in warned] == []
    *trained, rejection, temperature = logged.stream.getvalue().splitlines()
    beginnings = (
        "Stage 1 of 3 (coarse)",
        "Stage 2 of 3 (middle)",
        "Stage 3 of 3 (fine)",
        "Taxonomy(coarse 2 > middle 4",
    )
    assert [line[: len(start)] for line, start in zip(sorted(trained), beginnings, strict=True)] == list(beginnings)
    assert [rejection, temperature] == ["RejectionFineTuning: done", "TemperatureScaling: done"]
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    stages = [line.split(" | ")[0] for line in lines[:3]]
    assert stages == ["stage 1/3 coarse", "stage 2/3 middle", "stage 3/3 fine"]
    assert lines[-1] == f"Files of this run: {tmp_path / 'run'}"
    assert len(lines) < 15


def test_variables_of_the_environment_are_not_read_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_FIT__DATA__BATCH_SIZE", "3")
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    with pytest.warns(
        UserWarning, match=r"^The environment variable is not read as options: PL_FIT__DATA__BATCH_SIZE\."
    ):
        assert config(capsys, "fit", *digits(tmp_path))["data"]["batch_size"] == 32


@pytest.mark.parametrize("args", [["fit"], ["fit", "--data.batch_size"], ["nothing"]])
def test_quiet_ends_with_the_command(args: list[str]) -> None:
    def state() -> tuple[Any, ...]:
        filters = logging.getLogger("lightning.fabric.utilities.seed").filters
        return warnings.filters[:], warnings.formatwarning, filters[:]

    before = state()
    with pytest.raises(SystemExit):
        run(*args)
    assert state() == before


def test_own_warnings_are_one_line_with_options() -> None:
    with quietly():
        ours = warnings.formatwarning(UserWarning('use ckpt_path="last"'), UserWarning, cli.__file__, 3)
        others = warnings.formatwarning(UserWarning("mind that"), UserWarning, "/elsewhere/code.py", 3)
    assert ours == "warning: use --ckpt_path last\n"
    assert others.startswith("/elsewhere/code.py:3: UserWarning: mind that")


def test_own_warnings_are_one_line_in_a_fresh_process(tmp_path: Path) -> None:
    """Lightning sets the format of warnings when it is imported, which in other tests was long ago."""
    write_image(tmp_path / "photos" / "animal" / "owl" / "1.png")
    (tmp_path / "photos" / "animal" / "notes.txt").write_text("x")
    command = [sys.executable, "-m", "nested_lightning", "taxonomy", "check", "photos"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("warning: photos: left out 1 of 2 files")


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nested_lightning", "fit", *digits(tmp_path / "run"), "--cascade.patiense", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    message = "unknown option 'cascade.patiense'. Did you mean 'cascade.patience'? All options: nested-lightning fit"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message} --help\n")


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nested_lightning", "fit", "--config", "recipes/digits.yaml",
               "--trainer.default_root_dir", str(tmp_path / "run")]  # fmt: skip
    # In the background a shell lets its commands ignore Ctrl-C.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heard)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2 of" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait() == 130
    assert "Traceback" not in rest
    told = f"Interrupted. {tmp_path / 'run' / 'checkpoints' / 'last.ckpt'} is saved. To resume: "
    assert told + f"nested-lightning {' '.join(command[3:])} --ckpt_path last" in rest
    command += [*SHORT, "--ckpt_path", "last"]
    again = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "stage 1/3 coarse | epoch 1 " not in again
    assert (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()


GLOO = "[pair.cc:545] Read error [127.0.0.1]:4: Connection reset by peer. This is typically caused by a remote worker"
WRAPPED = ValueError("of a parser")
WRAPPED.__cause__ = DataError("row 3")


@pytest.mark.parametrize(("error", "is_distributed", "parts"), [
    (RuntimeError(GLOO), True, (1, "Connection reset by peer)", "--ckpt_path last")),
    (RuntimeError(GLOO), False, None),
    (RuntimeError("shape mismatch"), True, None),
    (ConnectionResetError("Connection reset by peer"), True, None),
    (WRAPPED, False, (2, "row 3")),
    (MemoryError(), False, (2, "data.batch_size")),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 TB"), False, (2, "data.batch_size")),
])  # fmt: skip
def test_messages_and_exit_codes(
    error: Exception, is_distributed: bool, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: is_distributed)
    failure = cli.explained(error)
    assert (failure is None) == (parts is None)
    if failure is not None:
        assert failure[1] == parts[0] and all(part in failure[0] for part in parts[1:])


@pytest.mark.parametrize(
    "args", [["recipes", "list"], ["recipes", "cpoy"], ["report", "--ot"], ["dashboard", "-h"], ["-h"], []]
)
def test_commands_without_a_trainer_import_neither_torch_nor_lightning(args: list[str]) -> None:
    code = (
        "import sys\nfrom nested_lightning.cli.main import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
        "    print('heavy:', *{'torch', 'lightning'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "heavy:", done.stderr


def test_files_of_the_working_folder_replace_no_library(tmp_path: Path) -> None:
    for name in ("datasets", "yaml", "wandb", "rich"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run')")
    (tmp_path / "own.py").write_text("from torch.nn import Flatten as Encoder")
    (tmp_path / "rows.csv").write_text("kind,species\nbird,owl\n")
    (tmp_path / "report").mkdir()
    check = ["taxonomy", "check", "rows.csv", "--label_columns", "kind", "species"]
    own = ["fit", *digits(tmp_path), "--model.backbone=own.Encoder", "--print_config"]
    for args in (check, own):
        command = [sys.executable, "-m", "nested_lightning", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "class_path: own.Encoder" in done.stdout


def test_a_reader_that_ends_early_is_no_error(tmp_path: Path) -> None:
    leaves = "".join(f"    - [kind {i % 9}, {'name ' * 20}{i}]\n" for i in range(2000))
    (tmp_path / "tree.yaml").write_text(f"levels: [a, b]\nleaves:\n{leaves}")
    command = f"{sys.executable} -m nested_lightning taxonomy show tree.yaml | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    assert done.stdout == "Taxonomy(a 9 > b 2000)\n"

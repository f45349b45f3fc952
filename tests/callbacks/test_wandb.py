"""The content of a W&B run that was made offline, killed and resumed."""

import csv
import html
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from faults.runs import at_moment
from helpers.commands import SHORT
from helpers.killed_run import Server
from helpers.once import made_once
from helpers.toy import TAXONOMY, toy_fit, toy_module
from helpers.wandb_file import WandbFiles
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from nested_lightning import Taxonomy
from nested_lightning.callbacks import CascadeTraining, RunCheckpoint, TemperatureScaling, WandbRun
from nested_lightning.callbacks.wandb import scheme
from nested_lightning.loggers import RunWandbLogger, wandb_run_id

LEVELS = ("coarse", "middle", "fine")
FIT = ["fit", "--config=recipes/digits.yaml", "--config=recipes/loggers/wandb.yaml", *SHORT, "--cascade.max_epochs=2"]
FIT += ["--trainer.accelerator=cpu", "--ckpt_path=last", "--figures.draw=stages"]


@pytest.fixture(scope="module")
def root(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was killed in its second stage and resumed."""
    pytest.importorskip("wandb")
    return made_once(tmp_path_factory, "wandb", lambda folder: kill_and_resume(server, folder))


def kill_and_resume(server: Server, root: Path) -> None:
    log, args = root.with_suffix(".log"), [*FIT, f"--trainer.default_root_dir={root}"]
    kill = at_moment({"at": "before [Callback]CascadeTraining.on_train_epoch_start", "count": 4, "wait": 2})
    assert server.run([*args, *kill], log) == -9, log.read_text()
    assert server.run(args, log) == 0, log.read_text()


@pytest.fixture(scope="module")
def files(root: Path) -> WandbFiles:
    return WandbFiles(root)


def test_a_killed_and_resumed_run_is_one_wandb_run(files: WandbFiles) -> None:
    assert len(files.files) == 2
    assert len(files.ids) == 1
    steps = [row["_step"] for row in files.rows]
    assert steps == sorted(set(steps)), "rows of the second part would replace those of the first"
    # One row per epoch from either part, none missing, none twice.
    epochs = [row["cascade/epoch"] for row in files.rows if "cascade/epoch" in row]
    assert epochs == [1, 2, 1, 2, 1, 2]
    assert [row["cascade/stage"] for row in files.rows if "cascade/stage" in row] == [1, 1, 2, 2, 3, 3]
    assert len(files.history(files.files[0])) < len(files.rows) - 3


def keys(levels: Sequence[str]) -> set[str]:
    """Return the keys of all numbers that a finished run has."""
    expected = {"train/loss", "val/loss", "cascade/stage", "cascade/epoch", "cascade/learning_rate", "epoch"}
    for level in levels:
        for split in ("val", "test", "uncalibrated/test"):
            expected |= {f"{split}/{level}/{name}" for name in ("accuracy", "confidence", "ece")}
    return expected | {"test/path/accuracy", "val/path/accuracy", "trainer/global_step"}


def test_every_key_is_there(files: WandbFiles) -> None:
    assert not keys(LEVELS) - set().union(*files.rows)


def test_metrics_csv_is_written_beside_it(root: Path, files: WandbFiles) -> None:
    with open(root / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (last,) = [row for row in files.rows if "test/fine/accuracy" in row]
    (same,) = [row for row in rows if row["test/fine/accuracy"]]
    for name in ("test/fine/accuracy", "uncalibrated/test/coarse/ece", "test/path/inconsistency"):
        assert last[name] == pytest.approx(float(same[name]))


def test_options_are_the_config_and_a_file(root: Path, files: WandbFiles) -> None:
    options = yaml.safe_load((root / "config.yaml").read_text())
    assert files.config["cascade"] == options["cascade"]
    assert files.config["data"]["budgets"] == [359, 359, 359]
    assert files.config["scheme"] == "nested"
    assert files.saved["options.yaml"].read_text() == (root / "config.yaml").read_text()
    assert "config.yaml" not in files.saved


def test_taxonomy_as_table_and_tree(files: WandbFiles) -> None:
    taxonomy = Taxonomy.from_yaml("taxonomies/digits.yaml")
    columns, rows = files.table("taxonomy/classes")
    assert columns == list(taxonomy.levels)
    assert [tuple(row) for row in rows] == list(taxonomy.leaves)
    assert taxonomy.show() in html.unescape(files.media("taxonomy/tree").read_text())
    assert sum("taxonomy/tree/path" in row for row in files.rows) == 1


def figures(levels: Sequence[str]) -> list[str]:
    """Return the keys of all figures that a finished run has."""
    names = ["reliability", *(f"confusion-{i}-{level}" for i, level in enumerate(levels, start=1))]
    keys = [f"figures/{within}{name}" for within in ("", "uncalibrated/") for name in names]
    for i, level in enumerate(levels[:-1], start=1):  # the last stage ends with the uncalibrated model
        keys += [f"figures/stage-{i}-{level}/{name}" for name in names[: 1 + i]]
    return keys + [f"figures/{name}" for name in ("confidence", "risk_coverage", "depth", "timeline", "samples")]


def test_figures_are_there_before_and_after_calibration_and_of_each_stage(root: Path, files: WandbFiles) -> None:
    for key in figures(LEVELS):
        with Image.open(files.media(key)) as logged, Image.open(root / f"{key}.png") as written:
            assert (np.asarray(logged.convert("RGB")) == np.asarray(written.convert("RGB"))).all(), key


def test_samples_are_the_most_confident_mistakes_first(root: Path, files: WandbFiles) -> None:
    columns, rows = files.table("samples/test")
    predicted = [column for level in LEVELS for column in (level, f"{level} confidence")]
    assert columns == ["row", "input", "label", *predicted, "depth", "rejected", "mistake"]
    assert len(rows) == 100
    taxonomy = Taxonomy.from_yaml("taxonomies/digits.yaml")
    confidences = []
    for row in rows:
        prediction, confidence = row[3:9:2], row[4:9:2]
        incorrect = [name != true for name, true in zip(prediction, row[2].split("/"), strict=True)]
        assert any(incorrect) == row[-1]
        assert tuple(prediction) in taxonomy.leaves
        assert sum(c >= 0.5 for c in confidence) == row[-3]
        assert (row[-3] == 0) == row[-2]
        confidences.append(max((c for c, w in zip(confidence, incorrect, strict=True) if w), default=-1))
    mistakes = [c for c in confidences if c >= 0]
    assert mistakes, "this short a training makes mistakes"
    assert confidences[: len(mistakes)] == sorted(mistakes, reverse=True)
    # The picture of a row is that of the digits.
    from sklearn.datasets import load_digits

    with Image.open(rows[0][1]) as picture:
        pixels = np.asarray(picture.convert("L"))
    digits = load_digits()
    same = [i for i, image in enumerate(digits.images) if (np.round(image * 255 / 16) - pixels < 1.5).all()]
    assert rows[0][2].rsplit("/", 1)[1] in {str(digits.target[i]) for i in same}


def test_stages_as_a_table(files: WandbFiles) -> None:
    columns, rows = files.table("cascade/stages")
    assert columns == ["stage", "level", "epochs", "first step", "last step", "best loss"]
    assert [row[:5] for row in rows] == [
        [1, "coarse", 2, 0, 24],
        [2, "middle", 2, 24, 48],
        [3, "fine", 2, 48, 72],
    ]
    losses = [row["val/loss"] for row in files.rows if "val/loss" in row]
    assert [row[5] for row in rows] == pytest.approx([min(losses[i : i + 2]) for i in (0, 2, 4)])


def test_the_model_is_an_artifact(root: Path, files: WandbFiles) -> None:
    (artifact,) = [artifact for artifact in files.artifacts if artifact.type == "model"]
    metadata = json.loads(artifact.metadata)
    final = torch.load(root / "checkpoints" / "final.ckpt", weights_only=True)
    assert metadata["levels"] == {"coarse": 2, "middle": 4, "fine": 10}
    assert list(metadata["temperatures"].values()) == pytest.approx(final["state_dict"]["temperatures"].tolist())
    (last,) = [row for row in files.rows if "test/fine/accuracy" in row]
    assert metadata["metrics"]["test/fine/accuracy"] == pytest.approx(last["test/fine/accuracy"])
    (entry,) = artifact.manifest.contents
    assert entry.path == "final.ckpt"
    assert Path(entry.local_path) == root / "checkpoints" / "final.ckpt"


def test_the_dashboard_asks_for_nothing_that_is_not_there(files: WandbFiles) -> None:
    pytest.importorskip("wandb_workspaces")
    from nested_lightning.cli.dashboard.workspace import build_workspace, specification

    text = json.dumps(specification(build_workspace("me", "p", LEVELS, [])))
    asked = set(re.findall(r'"((?:train|val|test|uncalibrated|cascade|figures|taxonomy|samples|trainer)/[^"]+)"', text))
    logged = set().union(*files.rows)
    logged |= {key.rpartition("/")[0] for key in logged}  # of pictures and tables the path and more is logged
    assert asked - logged == {"figures/distortions"}  # of a test under distortions
    assert len(asked) > 30


def test_a_plain_logger_in_python_holds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    wandb.teardown()
    monkeypatch.setattr(wandb, "run", None)  # that of a test of recipes, which its service has outlived
    logger = WandbLogger(save_dir=tmp_path, id=wandb_run_id(tmp_path), offline=True)
    steps = [CascadeTraining(max_epochs=1), TemperatureScaling(), WandbRun(), RunCheckpoint()]
    toy_fit(tmp_path, *steps, logger=logger)
    wandb.teardown()  # its service has written everything then
    files = WandbFiles(tmp_path)
    assert files.ids == {wandb_run_id(tmp_path)}
    assert files.table("taxonomy/classes")[1] == [list(leaf) for leaf in TAXONOMY.leaves]
    assert [row[1] for row in files.table("cascade/stages")[1]] == list(TAXONOMY.levels)
    assert [a.type for a in files.artifacts].count("model") == 1
    assert RunWandbLogger(tmp_path).version == wandb_run_id(tmp_path)


def test_without_wandb_nothing_is_asked_of_it(tmp_path: Path) -> None:
    toy_fit(tmp_path, CascadeTraining(max_epochs=1), WandbRun())
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_has_no_id(tmp_path: Path) -> None:
    assert wandb_run_id(tmp_path) is None
    for begun, name in (("20270102_000000", "b1"), ("20270101_000000", "z9")):
        folder = tmp_path / "wandb" / f"offline-run-{begun}-{name}"
        folder.mkdir(parents=True)
        (folder / f"run-{name}.wandb").touch()
    assert wandb_run_id(tmp_path) == "b1"


@pytest.mark.parametrize(
    ("expected", "cascade", "options"),
    [
        ("nested", {}, {}),
        ("traditional", {"stages": [-1]}, {}),
        ("end to end", {"stages": [-1]}, {"loss_weights": [0.0, 0.0, 1.0]}),
        ("mine", {"stages": [-1]}, {"criterion": lambda logits, target, taxonomy: logits[-1][:, 0].mean()}),
    ],
)
def test_the_scheme_is_named(expected: str, cascade: dict, options: dict, tmp_path: Path) -> None:
    if "criterion" in options:
        options["criterion"].__name__ = "mine"
    module = toy_fit(tmp_path, CascadeTraining(max_epochs=1, **cascade), module=toy_module(**options))
    assert scheme(module) == expected


@pytest.mark.slow
def test_a_test_under_distortions_continues_the_wandb_run(server: Server, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "run", symlinks=True)
    args = ["test", "--config=recipes/evaluation/distortions.yaml", "--config=recipes/loggers/wandb.yaml"]
    args += [f"--ckpt_path={tmp_path}/run/checkpoints/final.ckpt", f"--trainer.default_root_dir={tmp_path}/run"]
    assert server.run(args, tmp_path / "log") == 0, (tmp_path / "log").read_text()
    before, after = WandbFiles(root), WandbFiles(tmp_path / "run")
    assert after.ids == before.ids
    (new,) = {file.parent.name for file in after.files} - {file.parent.name for file in before.files}
    rows = after.history(next(file for file in after.files if file.parent.name == new))
    assert min(row["_step"] for row in rows) > max(row["_step"] for row in before.rows)
    assert {f"test/distortion_{i}/fine/accuracy" for i in range(1, 5)} <= set().union(*rows)
    assert after.media("figures/distortions").exists()


@pytest.mark.slow
def test_dbpedia(server: Server, data_dir: Path, tmp_path: Path) -> None:
    """Real texts, with a small backbone and one epoch per stage."""
    root, log, levels = tmp_path / "run", tmp_path / "log", ("l1", "l2", "l3")
    source = f"[{data_dir / 'dbpedia_classes'},{data_dir / 'dbpedia_l1l2'}]"
    args = ["fit", "--config=recipes/dbpedia.yaml", "--config=recipes/loggers/wandb.yaml", *SHORT]
    args += [
        "--data.budgets=null",
        f"--data.source={source}",
        "--model.backbone.n_grams=5000",
        "--model.backbone.channels=50",
    ]
    args += ["--figures.draw=stages", "--wandb.samples=30", f"--trainer.default_root_dir={root}"]
    assert server.run(args, log) == 0, log.read_text()
    files = WandbFiles(root)
    assert not keys(levels) - set().union(*files.rows)
    assert all(files.media(key).stat().st_size > 1000 for key in figures(levels))
    taxonomy = Taxonomy.from_yaml("taxonomies/dbpedia.yaml")
    assert len(files.table("taxonomy/classes")[1]) == 219
    assert taxonomy.show() in html.unescape(files.media("taxonomy/tree").read_text())
    assert [row[1] for row in files.table("cascade/stages")[1]] == list(levels)
    _, rows = files.table("samples/test")
    assert len(rows) == 30
    assert all(isinstance(row[1], str) and len(row[1]) > 20 for row in rows), "the texts can be read"
    assert any(leaf[: rows[0][2].count("/") + 1] == tuple(rows[0][2].split("/")) for leaf in taxonomy.leaves)
    assert [artifact.type for artifact in files.artifacts].count("model") == 1
    assert files.config["data"]["input_column"] == "text"

"""The callback draws what there is, where it says, and changes nothing of the training."""

import json
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.commands import run
from helpers.toy import TAXONOMY, loader, toy_module, toy_trainer
from helpers.witnesses import copy_of, same
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning.callbacks import (
    CascadeTraining,
    Figures,
    RejectionFineTuning,
    Report,
    RunCheckpoint,
    TemperatureScaling,
)
from nested_lightning.callbacks.evaluation import measure, run_network
from nested_lightning.callbacks.samples import worst_samples
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.data.samplers import TensorRows
from nested_lightning.errors import ConfigurationError

LEVELS = ["reliability", "confusion-1-kind", "confusion-2-group", "confusion-3-leaf"]
END = {*LEVELS, "confidence", "risk_coverage", "depth", "timeline", "samples"}
UNCALIBRATED = {f"uncalibrated/{name}" for name in LEVELS}
STAGES = {
    *(f"stage-1-kind/{name}" for name in LEVELS[:2]),
    *(f"stage-2-group/{name}" for name in LEVELS[:3]),
}


def fit(root, *callbacks, module=None, logger=False, **options):
    more = {"logger": logger, "plugins": [AtomicCheckpointIO()]}
    more["enable_checkpointing"] = any(isinstance(callback, RunCheckpoint) for callback in callbacks)
    trainer = toy_trainer(root, *callbacks, **more)
    module = module or toy_module()
    trainer.fit(module, loader(), loader(48, seed=1), **options)
    return module


def calibrated(figures, **cascade):
    cascade = {"max_epochs": 2, **cascade}
    return CascadeTraining(**cascade), RejectionFineTuning(steps=2), TemperatureScaling(), Report(), figures


def drawn(root) -> set[str]:
    files = (root / "figures").rglob("*.png")
    return {path.relative_to(root / "figures").with_suffix("").as_posix() for path in files}


def summary(root):
    return json.loads((root / "summary.json").read_text())


class Pictures:
    """Three loggers that keep the keys of the pictures they are given."""

    def __init__(self):
        self.keys = {"wandb": [], "tensorboard": [], "mlflow": []}
        kept = self.keys

        class Wandb(WandbLogger):
            def __init__(self): ...

            def log_image(self, key, images, step=None, **kwargs):
                assert all(isinstance(image, Image.Image) for image in images)
                kept["wandb"].append(key)

        class TensorBoard(TensorBoardLogger):
            def __init__(self): ...

            @property
            def experiment(self):
                return SimpleNamespace(add_image=self.add)

            def add(self, key, image, step, dataformats):
                assert image.dtype == np.uint8 and image.shape[2] == 3 and dataformats == "HWC"
                kept["tensorboard"].append(key)

        class MLFlow(MLFlowLogger):
            run_id = "1"

            def __init__(self): ...

            @property
            def experiment(self):
                return SimpleNamespace(log_image=self.add)

            def add(self, run_id, image, artifact_file):
                kept["mlflow"].append(artifact_file.removesuffix(".png"))

        quiet = {
            "log_metrics": lambda *args, **kwargs: None,
            "log_hyperparams": lambda *args, **kwargs: None,
            "log_graph": lambda *args, **kwargs: None,
            "save": lambda self: None,
            "finalize": lambda *args: None,
            "after_save_checkpoint": lambda *args: None,
            "save_dir": None,
            "name": "",
            "version": "",
        }
        self.loggers = [type(c.__name__, (c,), quiet)() for c in (Wandb, TensorBoard, MLFlow)]


def test_all_files_and_pictures_and_the_weights_as_without(tmp_path):
    pictures = Pictures()
    watched = fit(tmp_path, *calibrated(Figures()), logger=pictures.loggers)
    assert drawn(tmp_path) == END | UNCALIBRATED | STAGES
    plain = fit(tmp_path / "plain", *calibrated(Figures())[:-1])
    assert same(copy_of(plain), copy_of(watched))
    for keys in pictures.keys.values():
        assert len(keys) == len(set(keys))
        assert set(keys) == {f"figures/{name}" for name in drawn(tmp_path)}
    assert all(min(Image.open(path).size) > 100 for path in (tmp_path / "figures").rglob("*.png"))


def test_summary_tells_the_run(tmp_path):
    callbacks = calibrated(Figures(draw="never"))
    fit(tmp_path, *callbacks)
    assert drawn(tmp_path) == set()
    told = summary(tmp_path)
    assert told["levels"] == list(TAXONOMY.levels) and told["classes"] == list(TAXONOMY.sizes)
    assert told["split"] == "val" and told["rows"] == 48
    for when, step in (("before", callbacks[1]), ("after", callbacks[2])):
        assert told[when]["leaf/ece"] == pytest.approx(getattr(step, when)["leaf/ece"])
    assert [epoch["stage"] for epoch in told["epochs"]] == ["kind", "kind", "group", "group", "leaf", "leaf"]
    assert "val/kind/accuracy" in told["epochs"][0] and "val/group/accuracy" not in told["epochs"][0]
    assert 0 < told["seconds"] < 1000
    assert torch.__version__.startswith(told["versions"]["torch"])


def test_a_figure_that_is_not_a_number_is_null(tmp_path):
    trainer = toy_trainer(tmp_path, Figures(draw="never"), max_epochs=1)
    trainer.fit(toy_module(), loader(), loader(48, depth=2, seed=1))
    assert summary(tmp_path)["after"]["leaf/accuracy"] is None


def test_without_cascade_and_calibration(tmp_path):
    trainer = toy_trainer(tmp_path, Figures(samples=0), max_epochs=2)
    trainer.fit(toy_module(), loader(), loader(48, seed=1))
    assert drawn(tmp_path) == END - {"samples"}
    assert summary(tmp_path)["before"] == {}


def test_it_measures_once_with_the_report(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr("nested_lightning.callbacks.final.measure", lambda *args: measured.append(1) or measure(*args))
    trainer = toy_trainer(tmp_path, Report(), Figures(draw="never"), max_epochs=1)
    trainer.fit(toy_module(), loader(), loader(48, seed=1))
    assert measured == [1]


def test_nothing_of_a_run_that_is_not_finished(tmp_path):
    trainer = toy_trainer(tmp_path, CascadeTraining(max_epochs=2), Figures(), max_epochs=3)
    with pytest.warns(UserWarning, match="Training stopped"):
        trainer.fit(toy_module(), loader(), loader(48, seed=1))
    assert drawn(tmp_path) == {f"stage-1-kind/{name}" for name in LEVELS[:2]}
    assert not (tmp_path / "summary.json").exists()
    quick = toy_trainer(tmp_path / "quick", CascadeTraining(), Figures(), fast_dev_run=True)
    quick.fit(toy_module(), loader(), loader(48, seed=1))
    assert not (tmp_path / "quick").exists()


def test_a_figure_that_fails_ends_nothing(tmp_path, monkeypatch):
    def failing(*args):
        raise ValueError("no such thing")

    of_run = "nested_lightning.callbacks.run_figures"
    monkeypatch.setattr(f"{of_run}.confusion_by_taxonomy", failing)
    for name in ("of_answers", "of_training"):
        monkeypatch.setattr(f"{of_run}.{name}", lambda *args: iter([]))
    (tmp_path / "summary.json").mkdir()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(tmp_path, *calibrated(Figures("end", samples=0)), RunCheckpoint())
    messages = [str(warning.message) for warning in warned]
    assert sum("confusion-2-group could not be drawn" in m and "ValueError: no such thing" in m for m in messages) == 2
    assert any("summary.json cannot be written" in m for m in messages)
    assert drawn(tmp_path) == {"reliability", "uncalibrated/reliability"}
    assert (tmp_path / "checkpoints" / "final.ckpt").exists()


def test_a_resumed_run_tells_all_its_epochs(tmp_path):
    class Killed(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 5:  # epochs of two steps
                raise KeyboardInterrupt

    def callbacks():
        return *calibrated(Figures(draw="never")), RunCheckpoint()

    fit(tmp_path / "whole", *callbacks())
    with pytest.raises(SystemExit):
        fit(tmp_path / "cut", *callbacks(), Killed())
    fit(tmp_path / "cut", *callbacks(), ckpt_path="last")
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert cut["epochs"] == whole["epochs"] and cut["after"] == whole["after"]
    (tmp_path / "cut" / "summary.json").unlink()
    fit(tmp_path / "cut", *callbacks(), ckpt_path="last")  # it is complete
    assert not (tmp_path / "cut" / "summary.json").exists()


def test_samples_are_the_rows_of_the_answers(tmp_path):
    module, trainer = toy_module(), toy_trainer(tmp_path, max_epochs=1)
    trainer.fit(module, loader(), loader(48, seed=1))
    inputs = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 1, 2, 3)
    rows = DataLoader(TensorDataset(torch.randn(12, 6), torch.zeros(12, 3, dtype=torch.long)), batch_size=5)
    measured = measure(module, run_network(trainer, module, rows))._replace(dataset=TensorRows(inputs, None))
    samples = worst_samples(measured, TAXONOMY, 4)
    for sample, i in zip(samples, measured.answers.worst_first().tolist(), strict=False):
        assert sample.row == i and (sample.input == i).all()
        path = [TAXONOMY.names(level)[k] for level, k in enumerate(measured.answers.path[i].tolist())]
        assert sample.prediction == path and sample.truth == ["a", "p", "1"]
        assert sample.correct == [answer == truth for answer, truth in zip(path, sample.truth, strict=True)]
    shuffled = DataLoader(rows.dataset, batch_size=5, shuffle=True)
    assert run_network(trainer, module, shuffled).rows is None
    unknown = worst_samples(measured._replace(rows=None), TAXONOMY, 1)
    assert unknown[0].row == -1 and unknown[0].input is None


def test_from_the_command_line_with_distortions(tmp_path, trained, capsys):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    assert summary(tmp_path)["split"] == "test"
    final, overlay = tmp_path / "checkpoints" / "final.ckpt", "recipes/evaluation/distortions.yaml"
    run("test", "--ckpt_path", final, "--config", overlay, "--trainer.default_root_dir", tmp_path)
    assert f"{tmp_path}/figures/distortions.png" in capsys.readouterr().out
    tests = json.loads((tmp_path / "figures" / "distortions.json").read_text())["tests"]
    assert [test["strength"] for test in tests] == [0, 0.8, 1.0, 1.3, 1.5]
    assert [test["name"] for test in tests[:2]] == ["none", "distortion_1"]
    assert tests[0]["metrics"]["fine/accuracy"] == pytest.approx(summary(tmp_path)["after"]["fine/accuracy"])
    assert tests[0]["metrics"] != tests[4]["metrics"]


def test_what_cannot_be_asked_for():
    with pytest.raises(ConfigurationError, match="one of stages, end, never; got 'always'"):
        Figures(draw="always")
    with pytest.raises(ConfigurationError, match="samples must be at least 0, got -1"):
        Figures(samples=-1)

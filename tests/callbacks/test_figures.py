"""The callback draws every figure, writes its files, and does not change the training."""

import json
import shutil
import warnings
from unittest.mock import MagicMock

import datasets
import numpy as np
import pytest
import torch
from helpers.commands import run
from helpers.toy import TAXONOMY, loader, toy_fit, toy_module, toy_trainer
from helpers.witnesses import copy_of, same
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning import HierarchicalDataModule
from nested_lightning.callbacks import (
    CascadeTraining,
    Figures,
    RejectionFineTuning,
    Report,
    RunCheckpoint,
    TemperatureScaling,
)
from nested_lightning.callbacks.evaluation import measure, run_network
from nested_lightning.callbacks.figures import viewable, worst_samples
from nested_lightning.data.samplers import TensorRows
from nested_lightning.errors import ConfigurationError
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.evaluation import Measured
from nested_lightning.metrics.predictions import EvaluatedPredictions
from nested_lightning.taxonomy import Taxonomy

LEVELS = ["reliability", "confusion-1-kind", "confusion-2-group", "confusion-3-leaf"]
END = {*LEVELS, "confidence", "risk_coverage", "depth", "timeline", "samples"}
UNCALIBRATED = {f"uncalibrated/{name}" for name in LEVELS}
STAGES = {f"stage-{n}/{name}" for n, names in (("1-kind", LEVELS[:2]), ("2-group", LEVELS[:3])) for name in names}


def calibrated(figures):
    return CascadeTraining(max_epochs=2), RejectionFineTuning(steps=2), TemperatureScaling(), Report(), figures


def drawn(root) -> set[str]:
    files = (root / "figures").rglob("*.png")
    return {path.relative_to(root / "figures").with_suffix("").as_posix() for path in files}


def summary(root):
    return json.loads((root / "summary.json").read_text())


def test_all_files_and_images_and_the_weights_as_without(tmp_path):
    loggers = [MagicMock(spec=logger, save_dir=None) for logger in (WandbLogger, TensorBoardLogger, MLFlowLogger)]
    wandb, tensorboard, mlflow = loggers
    watched = toy_fit(tmp_path, *calibrated(Figures()), logger=loggers)
    assert drawn(tmp_path) == END | UNCALIBRATED | STAGES
    plain = toy_fit(tmp_path / "plain", *calibrated(Figures())[:-1])
    assert same(copy_of(plain), copy_of(watched))
    images = [
        [(call.args[0], call.args[1][0]) for call in wandb.log_image.call_args_list],
        [(call.args[0], call.args[1]) for call in tensorboard.experiment.add_image.call_args_list],
        [
            (call.kwargs["artifact_file"].removesuffix(".png"), call.args[1])
            for call in mlflow.experiment.log_image.call_args_list
        ],
    ]
    assert tensorboard.experiment.add_image.call_args.kwargs == {"dataformats": "HWC"}
    for logged in images:
        assert sorted(key for key, _ in logged) == sorted(f"figures/{name}" for name in drawn(tmp_path))
        assert all(np.asarray(image).dtype == np.uint8 and np.asarray(image).shape[2] == 3 for _, image in logged)
    assert all(min(Image.open(path).size) > 100 for path in (tmp_path / "figures").rglob("*.png"))


def test_the_summary_of_a_run(tmp_path):
    evaluation = toy_fit(tmp_path, *calibrated(Figures(draw="never"))).evaluation
    assert drawn(tmp_path) == set()
    written = summary(tmp_path)
    assert written["levels"] == list(TAXONOMY.levels) and written["classes"] == list(TAXONOMY.sizes)
    assert written["split"] == "val" and written["rows"] == 32
    for when in ("before", "after"):
        assert written[when]["leaf/ece"] == pytest.approx(getattr(evaluation, when)["leaf/ece"])
    assert [epoch["stage"] for epoch in written["epochs"]] == ["kind", "kind", "group", "group", "leaf", "leaf"]
    assert "val/kind/accuracy" in written["epochs"][0] and "val/group/accuracy" not in written["epochs"][0]
    assert 0 < written["seconds"] < 1000
    assert torch.__version__.startswith(written["versions"]["torch"])


def test_without_cascade_and_calibration(tmp_path):
    toy_fit(tmp_path, Figures(samples=0), max_epochs=2)
    assert drawn(tmp_path) == END - {"samples"}
    assert summary(tmp_path)["before"] == {}


def test_a_metric_that_is_not_a_number_is_null_and_is_measured_once(tmp_path, monkeypatch):
    measured = []
    counting = lambda *args: measured.append(1) or measure(*args)  # noqa: E731
    monkeypatch.setattr("nested_lightning.callbacks.evaluation.measure", counting)
    trainer = toy_trainer(tmp_path, Report(), Figures(draw="never"), max_epochs=1)
    trainer.fit(toy_module(), loader(), loader(depth=2, seed=1))
    assert measured == [1]
    assert summary(tmp_path)["after"]["leaf/accuracy"] is None


def test_nothing_of_a_run_that_is_not_finished(tmp_path):
    with pytest.warns(UserWarning, match="Training stopped"):
        toy_fit(tmp_path, CascadeTraining(max_epochs=2), Figures(), max_epochs=3)
    assert drawn(tmp_path) == {f"stage-1-kind/{name}" for name in LEVELS[:2]}
    assert not (tmp_path / "summary.json").exists()
    toy_fit(tmp_path / "quick", CascadeTraining(), Figures(), fast_dev_run=True)
    assert not (tmp_path / "quick").exists()


def test_a_plot_that_fails_ends_nothing(tmp_path, monkeypatch):
    def failing(*args):
        raise ValueError("no such thing")

    monkeypatch.setattr("nested_lightning.callbacks.run_figures.confusion_by_taxonomy", failing)
    (tmp_path / "summary.json").mkdir()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        toy_fit(tmp_path, *calibrated(Figures("end", samples=0)), RunCheckpoint())
    messages = [str(warning.message) for warning in warned]
    assert sum("confusion-2-group could not be drawn" in m and "ValueError: no such thing" in m for m in messages) == 2
    assert any("summary.json cannot be written" in m for m in messages)
    assert drawn(tmp_path) == END - {*LEVELS[1:], "samples"} | {"uncalibrated/reliability"}
    assert (tmp_path / "checkpoints" / "final.ckpt").exists()


def test_a_resumed_run_has_all_its_epochs(tmp_path):
    class Killed(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 5:  # epochs of two steps
                raise KeyboardInterrupt

    def callbacks():
        return *calibrated(Figures(draw="never")), RunCheckpoint()

    toy_fit(tmp_path / "whole", *callbacks())
    with pytest.raises(SystemExit):
        toy_fit(tmp_path / "cut", *callbacks(), Killed())
    toy_fit(tmp_path / "cut", *callbacks(), ckpt_path="last")
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert cut["epochs"] == whole["epochs"] and cut["after"] == whole["after"]
    (tmp_path / "cut" / "summary.json").unlink()
    complete = toy_fit(tmp_path / "cut", *callbacks(), ckpt_path="last")
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert (complete.evaluation.before, complete.evaluation.after) == (whole["before"], whole["after"])


def test_samples_are_those_of_the_predictions(tmp_path):
    trainer = toy_trainer(tmp_path, max_epochs=1)
    trainer.fit(module := toy_module(), loader(), loader(seed=1))
    inputs = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 1, 2, 3)
    rows = DataLoader(TensorDataset(torch.randn(12, 6), torch.zeros(12, 3, dtype=torch.long)), batch_size=5)
    measured = measure(module, run_network(trainer, module, rows))._replace(dataset=TensorRows(inputs, None))
    predictions = measured.predictions
    for sample, i in zip(worst_samples(measured, TAXONOMY, 4), predictions.worst_first().tolist(), strict=False):
        assert sample.row == i and (sample.input == i).all()
        path = [TAXONOMY.names(level)[k] for level, k in enumerate(predictions.path[i].tolist())]
        assert sample.prediction == path and sample.truth == ["a", "p", "1"] and sample.label == "a/p/1"
        assert sample.correct == [name == truth for name, truth in zip(path, sample.truth, strict=True)]
    shuffled = DataLoader(rows.dataset, batch_size=5, shuffle=True)
    assert run_network(trainer, module, shuffled).rows is None
    unknown = worst_samples(measured._replace(rows=None), TAXONOMY, 1)
    assert unknown[0].row == -1 and unknown[0].input is None


def test_labels_of_short_leaves_on_the_sheet_of_samples():
    tree = Taxonomy(
        ["species", "health", "kind"], [("grape", "healthy"), ("grape", "rot", "black"), ("fig", "healthy")]
    )
    logs = [torch.zeros(3, k) - torch.arange(k) for k in tree.sizes]
    target = torch.tensor([[1, 2, 2], [1, -1, -1], [-1, -1, -1]])
    metrics = NestedMetrics(tree)
    predictions = EvaluatedPredictions.from_log_probabilities(logs, target, tree)
    samples = worst_samples(Measured(metrics, predictions, None, None), tree, 3)
    assert [sample.label for sample in samples] == ["fig/healthy", "fig", ""]
    assert samples[0].truth == ["fig", "fig/healthy", "fig/healthy"]
    assert samples[0].prediction == ["grape", "grape/healthy", "grape/healthy"]


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


def test_invalid_arguments():
    with pytest.raises(ConfigurationError, match="one of stages, end, never; got 'always'"):
        Figures(draw="always")
    with pytest.raises(ConfigurationError, match="samples must be at least 0, got -1"):
        Figures(samples=-1)


# ------------------------------------------------------------------------------------------------------------ viewable


def test_a_text_is_viewed_as_it_was_written():
    texts = [f"Text NUMBER {i}, as it was written!" for i in range(20)]
    source = datasets.Dataset.from_dict({"text": texts, "kind": ["a", "b"] * 10, "sort": ["a1", "b1", "a2", "b2"] * 5})
    data = HierarchicalDataModule(source, input_column="text", label_columns=["kind", "sort"], validation=5, seed=0)
    data.setup("validate")
    rows = data.val_dataloader().dataset
    assert [viewable(rows, i) for i in range(5)] == [texts[i] for i in data.partition.validation.tolist()]


def test_an_image_is_viewed_as_before_its_transforms():
    taxonomy = {"levels": ["all", "digit"], "leaves": [[("even", "odd")[int(d) % 2], d] for d in "0123456789"]}
    data = HierarchicalDataModule("digits", taxonomy, validation=5, seed=0, transform=lambda x: 2 * x - 1)
    data.setup("validate")
    rows = data.val_dataloader().dataset
    image = viewable(rows, 2)
    assert image.shape == (8, 8) and image.dtype == np.uint8
    assert np.allclose(2 * (image / 255) - 1, rows[2][0][0], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_other_datasets(channels):
    x = torch.rand(2, channels, 4, 5)
    assert np.allclose(np.atleast_3d(viewable(TensorDataset(x), 1)), 255 * x[1].permute(1, 2, 0), atol=0.51)
    normalised = viewable(TensorDataset(10 * x - 5), 0)
    assert normalised.min() == 0 and normalised.max() == 255


def test_numbers_cannot_be_viewed():
    assert viewable(TensorDataset(torch.rand(2, 7)), 0) is None
    assert [viewable([(x, 0)], 0) for x in ("a text", 3)] == ["a text", None]

"""Every line of docs/lightning.md: what of Lightning works beside cascade and calibration, and what is refused."""

import inspect
import re
from pathlib import Path

import lightning as L
import pytest
import torch
from helpers.toy import backbone, loader, rows, toy_module, toy_trainer
from helpers.witnesses import copy_of, uneven
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.callbacks.finetuning import BaseFinetuning
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning import NestedLightningModule
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, TemperatureScaling
from nested_lightning.errors import ConfigurationError

PAGE = (Path(__file__).parents[1] / "docs" / "lightning.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """Return the cells of a table of the page: names of the first column, verdicts of the second."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    return {name.strip("` "): cells[1] for cells in lines for name in cells[0].split("`, `")}


CALLBACKS, OPTIONS, PARTS, TUNERS = map(table, ("Callbacks", "Options of the trainer", "Your own parts", "Tuners"))


def try_all(root, *added, data=None, module=None, train=None, **options):
    """Train two stages and calibrate; return the trainer and the module."""
    module = module or toy_module()
    own = CascadeTraining(["kind", "leaf"], max_epochs=2), RejectionFineTuning(steps=2), TemperatureScaling("nll")
    trainer = toy_trainer(root, *added, *own, **options)
    loaders = {"datamodule": data} if data else {"train_dataloaders": train or loader(48)}
    trainer.fit(module, **loaders, **({} if data else {"val_dataloaders": loader(48, seed=1)}))
    return trainer, module


def works(root, *added, **options):
    trainer, module = try_all(root, *added, **options)
    assert module.stage.finished
    assert not torch.equal(module.temperatures, torch.ones(3))
    return trainer, module


def refused(verdict: str, run) -> None:
    """Check that ``run`` is refused with the words that the page quotes."""
    (words,) = re.findall(r'"(.+?)"', verdict)
    with pytest.raises(ConfigurationError) as caught:
        run()
    assert words in str(caught.value)


class Unfreezing(BaseFinetuning):
    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.network.backbone)

    def finetune_function(self, pl_module, epoch, optimizer):
        pass


class WithBackbone(NestedLightningModule):
    @property
    def backbone(self):
        return self.network.backbone


class Writer(callbacks.BasePredictionWriter):
    def write_on_batch_end(self, *arguments):
        self.written = arguments


# What each callback is built from: a folder.
BUILT = {
    "WeightAveraging": lambda _: callbacks.WeightAveraging(),
    "EMAWeightAveraging": lambda _: callbacks.EMAWeightAveraging(decay=0.9),
    "StochasticWeightAveraging": lambda _: callbacks.StochasticWeightAveraging(0.1, 1),
    "ModelPruning": lambda _: callbacks.ModelPruning("l1_unstructured", amount=0.2),
    "BackboneFinetuning": lambda _: callbacks.BackboneFinetuning(1),
    "BaseFinetuning": lambda _: Unfreezing(),
    "BatchSizeFinder": lambda _: callbacks.BatchSizeFinder(max_trials=2, steps_per_trial=1),
    "LearningRateFinder": lambda _: callbacks.LearningRateFinder(),
    "EarlyStopping": lambda _: callbacks.EarlyStopping("val/correct_levels", mode="max", patience=9),
    "ModelCheckpoint": lambda root: callbacks.ModelCheckpoint(root, monitor="val/correct_levels", mode="max"),
    "OnExceptionCheckpoint": lambda root: callbacks.OnExceptionCheckpoint(root),
    "GradientAccumulationScheduler": lambda _: callbacks.GradientAccumulationScheduler({1: 2}),
    "LearningRateMonitor": lambda _: callbacks.LearningRateMonitor(),
    "DeviceStatsMonitor": lambda _: callbacks.DeviceStatsMonitor(cpu_stats=False),
    "ThroughputMonitor": lambda _: callbacks.ThroughputMonitor(
        batch_size_fn=lambda batch: len(batch[0]), window_size=5
    ),
    "Timer": lambda _: callbacks.Timer("00:01:00:00"),
    "SpikeDetection": lambda root: callbacks.SpikeDetection(exclude_batches_path=root / "spikes.json", rtol=100.0),
    "LambdaCallback": lambda _: LambdaCallback(on_fit_end=lambda *_: None),
    "BasePredictionWriter": lambda _: Writer("batch"),
    "ModelSummary": lambda _: callbacks.ModelSummary(),
    "RichModelSummary": lambda _: callbacks.RichModelSummary(),
    "RichProgressBar": lambda _: callbacks.RichProgressBar(),
    "TQDMProgressBar": lambda _: callbacks.TQDMProgressBar(),
}


def test_the_page_lists_every_callback_and_every_option():
    bases = {"Callback", "Checkpoint", "ProgressBar"}
    assert set(CALLBACKS) == set(callbacks.__all__) - bases == set(BUILT)
    assert set(OPTIONS) == set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    assert all(re.match("works|refused", verdict) for verdict in (*CALLBACKS.values(), *OPTIONS.values()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BUILT)
def test_callbacks(tmp_path, name):
    callback = BUILT[name](tmp_path)
    options = {
        "logger": CSVLogger(tmp_path),
        "enable_checkpointing": True,
        "enable_progress_bar": "ProgressBar" in name,
    }
    options |= {"data": uneven(24, 24, 24)} if name == "BatchSizeFinder" else {}
    options |= {"module": toy_module(WithBackbone)} if "Finetuning" in name else {}
    if CALLBACKS[name].startswith("refused"):
        refused(CALLBACKS[name], lambda: try_all(tmp_path, callback, **options))
        return
    trainer, module = works(tmp_path, callback, **options)
    if name == "BasePredictionWriter":
        trainer.predict(module, loader())
        assert callback.written


def test_tuners(tmp_path):
    assert set(TUNERS) == {"scale_batch_size", "lr_find"}
    data, cascade = uneven(24, 24, 24), CascadeTraining(["kind", "leaf"], max_epochs=1)
    tuner = Tuner(toy_trainer(tmp_path, cascade))
    with pytest.warns(UserWarning, match="tries the first of 2 stages"):
        assert tuner.scale_batch_size(toy_module(), datamodule=data, max_trials=2) == data.batch_size == 4
    refused(TUNERS["lr_find"], lambda: Tuner(toy_trainer(tmp_path, cascade)).lr_find(toy_module(), loader(), loader()))


STOPPED = "Training (was )?stopped"
TRIED = {
    "accumulate_grad_batches": [{"accumulate_grad_batches": 2}],
    "gradient_clip_val": [{"gradient_clip_val": 0.1}],
    "gradient_clip_algorithm": [{"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}],
    "precision": [{"precision": p} for p in ("32-true", "64-true", "bf16-mixed", "bf16-true")],
    "fast_dev_run": [{"fast_dev_run": True}],
    "overfit_batches": [{"overfit_batches": 1}],
    "limit_train_batches": [{"limit_train_batches": 1}],
    "limit_val_batches": [{"limit_val_batches": 1}],
    "limit_test_batches": [{"limit_test_batches": 1}],
    "limit_predict_batches": [{"limit_predict_batches": 1}],
    "max_epochs": [{"max_epochs": 10}],
    "max_steps": [{"max_steps": 3}],
    "max_time": [{"max_time": {"milliseconds": 1}}],
    "min_epochs": [{"min_epochs": 5}],
    "min_steps": [{"min_steps": 5}],
    "val_check_interval": [{"val_check_interval": 0.5}],
    "check_val_every_n_epoch": [{"check_val_every_n_epoch": 2}],
    "num_sanity_val_steps": [{"num_sanity_val_steps": 0}],
    "reload_dataloaders_every_n_epochs": [{"reload_dataloaders_every_n_epochs": 1}],
    "profiler": [{"profiler": p} for p in ("simple", "advanced", "pytorch")],
    "logger": [{"logger": logger} for logger in (CSVLogger, TensorBoardLogger)],
    "log_every_n_steps": [{"log_every_n_steps": 1}],
    "enable_checkpointing": [{"enable_checkpointing": True}],
    "enable_progress_bar": [{"enable_progress_bar": True}],
    "enable_model_summary": [{"enable_model_summary": True}],
    "deterministic": [{"deterministic": True}],
    "benchmark": [{"benchmark": True}],
    "detect_anomaly": [{"detect_anomaly": True}],
    "inference_mode": [{"inference_mode": False}],
    "barebones": [{"barebones": True}],
}
# Tried in nearly every test, by the tests of several processes, or refused in test_cascade_limits.
ELSEWHERE = {
    *("strategy", "accelerator", "devices", "num_nodes", "sync_batchnorm", "use_distributed_sampler", "callbacks"),
    *("plugins", "default_root_dir", "enable_autolog_hparams", "model_registry"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options"), [(name, options) for name, tried in TRIED.items() for options in tried])
def test_options(tmp_path, monkeypatch, name, options):
    monkeypatch.chdir(tmp_path)
    assert set(TRIED) | ELSEWHERE == set(OPTIONS)
    if name == "logger":
        options = {"logger": options["logger"](tmp_path)}
    if name == "deterministic":
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if OPTIONS[name].startswith("refused"):
        refused(OPTIONS[name], lambda: try_all(tmp_path, **options))
    elif "stops wherever" in OPTIONS[name]:
        with pytest.warns(UserWarning, match=STOPPED):
            assert not try_all(tmp_path, **options)[1].stage.finished
    else:
        works(tmp_path, **options)
    torch.use_deterministic_algorithms(False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"overfit_batches": 2}, {"fast_dev_run": 2}, {"accumulate_grad_batches": 2}])
def test_options_with_the_data_module(tmp_path, options):
    works(tmp_path, data=uneven(24, 24, 24), **options)


def test_reloading_as_often_as_the_trainer_says(tmp_path):
    class Counted(type(uneven(1, 1, 1))):
        loaded = 0

        def train_dataloader(self):
            self.loaded += 1
            return super().train_dataloader()

    def loaded(**options):
        data = uneven(24, 24, 24)
        data.__class__ = Counted
        works(tmp_path, data=data, **options)
        return data.loaded

    assert loaded() == 2  # one per stage
    assert loaded(reload_dataloaders_every_n_epochs=1) == 4


def test_a_compiled_module(tmp_path):
    module = toy_module()
    compiled = torch.compile(module, backend="eager")
    own = CascadeTraining(max_epochs=1), TemperatureScaling("nll")
    toy_trainer(tmp_path, *own).fit(compiled, loader(33), loader(48, seed=1))  # with a last batch of one sample
    assert module.stage.finished
    assert not torch.equal(module.temperatures, torch.ones(3))


def test_own_parts(tmp_path):
    known = {"torch.compile", "data loaders", "a last batch of one sample", "training_step", "optimizer"}
    assert set(PARTS) == known | {"configure_optimizers", "frozen backbone"}

    class Own(NestedLightningModule):
        def training_step(self, batch, batch_idx):
            x, target = batch
            return self.loss(self(x, up_to=self.stage.level), target)

        def configure_optimizers(self):
            return SGD([p for p in self.network.parameters() if p.requires_grad], lr=0.1)

    module = toy_module(Own, backbone=backbone().requires_grad_(False))
    before = copy_of(module.network.backbone)
    x, target = rows(33)
    trainer, _ = works(tmp_path, module=module, train=DataLoader(TensorDataset(x, target), batch_size=16))
    assert all(torch.equal(before[name], value) for name, value in copy_of(module.network.backbone).items())
    assert len(trainer.test(module, [loader(), loader()], verbose=False)) == 2
    refused(PARTS["data loaders"], lambda: trainer.predict(module, [loader(), loader()]))

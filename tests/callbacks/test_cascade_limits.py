"""The cascade stopped, resumed, and refused."""

import importlib.util
import warnings
from types import SimpleNamespace

import pytest
import torch
from helpers.refusing import refusing
from helpers.toy import loader, toy_fit, toy_module, toy_trainer
from helpers.witnesses import Scripted, copy_of, fit, same, uneven
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, TemperatureScaling
from nested_lightning.errors import ConfigurationError

# --------------------------------------------------------------------------------------------- limits of the trainer


def test_max_epochs_of_the_trainer_stops_in_the_middle(tmp_path):
    calibrators = RejectionFineTuning(steps=2), TemperatureScaling()
    checkpoint = RunCheckpoint()
    with pytest.warns(UserWarning, match=r"max_epochs=3 epochs, in stage 2 of 3.*finer levels are not trained.*resume"):
        _, module, diary = fit(tmp_path, CascadeTraining(max_epochs=2), None, *calibrators, checkpoint, max_epochs=3)
    assert diary.levels == [0, 0, 1]
    assert not module.stage.finished
    assert not any(c.done for c in calibrators)
    assert torch.equal(module.temperatures, torch.ones(3))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt"]


@pytest.mark.parametrize("cap", [3, 4])  # within a stage, and at the end of one
def test_a_capped_run_resumes_as_if_it_had_not_stopped(tmp_path, cap):
    def run(name, max_epochs, **resume):
        callbacks = CascadeTraining(max_epochs=2), RunCheckpoint()
        return toy_fit(tmp_path / name, *callbacks, max_epochs=max_epochs, **resume)

    whole = run("whole", -1)
    with pytest.warns(UserWarning, match="Training stopped"):
        run("capped", cap)
    with pytest.warns(UserWarning, match="Training stopped"):  # the limit is reached: not one epoch more
        assert run("capped", cap, ckpt_path="last").trainer.global_step == 2 * cap
    resumed = run("capped", 50, ckpt_path="last")
    assert resumed.trainer.global_step == 12
    assert same(copy_of(whole), copy_of(resumed))


def test_max_epochs_of_the_trainer_in_the_last_stage_finishes(tmp_path):
    module = toy_module(Scripted)
    module.script = (5, 5, 3, 4)
    temperature = TemperatureScaling()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Training stopped")
        _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=[1, 1, 50]), module, temperature, max_epochs=4)
    assert diary.levels == [0, 1, 2, 2]
    assert module.stage.finished
    assert temperature.done
    assert same(copy_of(module.network), diary.ended[2])


@pytest.mark.parametrize("batches", [True, 2])
def test_fast_dev_run_tries_every_stage_and_calibration(tmp_path, batches):
    calibrators = RejectionFineTuning(), TemperatureScaling()
    trainer, module, diary = fit(
        tmp_path, CascadeTraining(), None, *calibrators, RunCheckpoint(), train=loader(64), fast_dev_run=batches
    )
    assert trainer.global_step == 3 * batches
    assert diary.levels == [0, 1, 2]
    assert module.stage.finished
    assert all(c.done for c in calibrators)
    assert len(module.evaluation.outputs["val"].target) == 16 * batches
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_fit_starts_anew(tmp_path):
    cascade, temperature = CascadeTraining(max_epochs=1), TemperatureScaling()
    for _ in range(2):
        _, module, diary = fit(tmp_path, cascade, toy_module(), temperature)
        assert diary.levels == [0, 1, 2]
        assert temperature.done
        assert not torch.equal(module.temperatures, torch.ones(3))


@pytest.mark.parametrize("interrupted_at", [3, 7, 10, 13])  # steps; an epoch has two
def test_stages_that_stagnate_after_an_interruption(tmp_path, interrupted_at):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == interrupted_at:
                raise InterruptedError

    def run(name, *callbacks, **resume):
        module = toy_module(Scripted)
        module.script = (5, 4, 4.5, 4.4, 3, 3.5, 3.2, 9, 8, 8)
        callbacks = CascadeTraining(patience=2, plateau_patience=1), RunCheckpoint(every_n_steps=1), *callbacks
        return toy_fit(tmp_path / name, *callbacks, module=module, data=uneven(16, 16, 16), **resume)

    whole = run("whole")
    with pytest.raises(InterruptedError):
        run("run", Stop())
    resumed = run("run", ckpt_path="last")
    assert whole.trainer.global_step == resumed.trainer.global_step == 22  # 4, 3 and 4 epochs
    assert same(copy_of(resumed), copy_of(whole))


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(("validation", "options"), [(None, {}), (loader(), {"limit_val_batches": 0})])
def test_no_validation_data(tmp_path, validation, options):
    trainer = toy_trainer(tmp_path, CascadeTraining(), **options)
    with pytest.raises(ConfigurationError, match=r"no validation\s+data: set data.validation, or pass val_dataloaders"):
        trainer.fit(toy_module(), loader(), validation)


def test_a_data_module_without_validation_rows(tmp_path):
    data = HierarchicalDataModule("digits", "taxonomies/digits.yaml", budgets=[20, 20, 20], validation=0)
    module = toy_module(backbone=nn.Flatten(), feature_channels=64, taxonomy=data.taxonomy)
    with pytest.raises(ConfigurationError, match="no validation data"):
        toy_trainer(tmp_path, CascadeTraining()).fit(module, data)


def test_a_strategy_that_shards_weights():
    trainer = SimpleNamespace(strategy=object.__new__(FSDPStrategy))  # the real one wants a GPU
    with pytest.raises(ConfigurationError, match=r"FSDPStrategy splits.*ddp.*freeze the backbone.*bf16.*accumulate"):
        CascadeTraining().setup(trainer, toy_module(), "fit")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"stages": ["kind", "leave"]}, {}, r"'leave' is not a level.*Did you mean 'leaf'"),
        ({"patience": 0}, {}, "at least 1"),
        ({"plateau_patience": 0}, {}, "at least 1"),
        ({}, {"check_val_every_n_epoch": 2}, "check_val_every_n_epoch to 1, got 2"),
    ],
)
def test_arguments_that_are_refused(tmp_path, arguments, options, message):
    with pytest.raises(ConfigurationError, match=message):
        fit(tmp_path, CascadeTraining(**arguments), **options)


def test_a_module_that_logs_no_validation_loss(tmp_path):
    class Silent(NestedLightningModule):
        def validation_step(self, batch, batch_idx):
            pass

    with pytest.raises(ConfigurationError, match="'val/loss', which Silent does not log"):
        fit(tmp_path, CascadeTraining(), toy_module(Silent))


def test_another_kind_of_module(tmp_path):
    from lightning.pytorch.demos.boring_classes import BoringModel

    with pytest.raises(ConfigurationError, match="need a NestedLightningModule or a subclass, got BoringModel"):
        toy_trainer(tmp_path, CascadeTraining()).fit(BoringModel())


def test_resuming_with_other_stages(tmp_path):
    fit(tmp_path, CascadeTraining(max_epochs=1), None, RunCheckpoint())
    trainer = toy_trainer(tmp_path, CascadeTraining(stages=["kind", "leaf"]), RunCheckpoint())
    with refusing(ConfigurationError, "['kind', 'group', 'leaf']", "['kind', 'leaf']", "cascade.stages"):
        trainer.fit(toy_module(), loader(), loader(), ckpt_path="last")


@pytest.mark.skipif(not importlib.util.find_spec("pytorch_lightning"), reason="pytorch_lightning is not installed")
def test_a_trainer_of_the_other_package_is_refused(tmp_path, monkeypatch):
    from lightning_utilities.core import rank_zero

    monkeypatch.setattr(rank_zero, "log", rank_zero.log)  # the other package puts its own logger there
    import pytorch_lightning as pl

    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", callbacks=[CascadeTraining()], **quiet)
    module = toy_module()
    before = copy_of(module)
    with pytest.raises(TypeError, match=r"must be a `LightningModule`.*got `NestedLightningModule`"):
        trainer.fit(module, loader(), loader())
    assert same(copy_of(module), before)

import shutil
import warnings

import pytest
import torch
from helpers.interrupted import KilledError, SaveAndDie
from helpers.locked import locked_by_another_process
from helpers.refusing import refusing
from helpers.toy import loader, rows, toy_module, toy_trainer
from helpers.witnesses import same
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning.callbacks import CascadeTraining, RunCheckpoint, TemperatureScaling
from nested_lightning.errors import CheckpointError, ConfigurationError, WriteError


class Writes(Callback):
    """Which file was written after how many steps; put it before the checkpoint callback."""

    def __init__(self):
        self.written = []

    def setup(self, trainer, module, stage):
        save = trainer.save_checkpoint

        def record(path, *arguments, **options):
            self.written.append((trainer.global_step, path.rpartition("/")[2]))
            save(path, *arguments, **options)

        trainer.save_checkpoint = record


def fit(root, *callbacks, **options):
    """Two epochs of four steps, then calibration."""
    fitting = {"ckpt_path": options.pop("ckpt_path", None)}
    trainer = toy_trainer(root, *callbacks, **{"max_epochs": 2, **options})
    module = toy_module()
    trainer.fit(module, loader(64), loader(seed=1), **fitting)
    return trainer, module


def load(path):
    return torch.load(path, weights_only=True)


# ------------------------------------------------------------------------------------------------------- RunCheckpoint


def test_files_and_steps(tmp_path):
    writes = Writes()
    fit(tmp_path, writes, TemperatureScaling(), RunCheckpoint(every_n_steps=2))
    # Not after step 4 and 8 as such: the end of the epoch, after its validation, saves instead.
    assert writes.written == [*((step, "last.ckpt") for step in (2, 4, 6, 8)), (8, "final.ckpt"), (8, "last.ckpt")]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["final.ckpt", "last.ckpt"]


def test_not_between_the_steps_of_accumulated_gradients(tmp_path):
    writes = Writes()
    fit(tmp_path, writes, RunCheckpoint(every_n_steps=1), accumulate_grad_batches=2)
    # Two steps of two batches an epoch; the second is its last.
    assert writes.written == [*((step, "last.ckpt") for step in (1, 2, 3, 4)), (4, "final.ckpt"), (4, "last.ckpt")]


def test_steps_between_checkpoints_are_positive():
    with pytest.raises(ConfigurationError, match=r"checkpoint\.every_n_steps must be at least 1, got 0"):
        RunCheckpoint(every_n_steps=0)


def test_final_is_calibrated_and_so_is_last(tmp_path):
    _, module = fit(tmp_path, RunCheckpoint(), TemperatureScaling())  # in any order
    assert not torch.equal(module.temperatures, torch.ones(3))
    for name in ("final.ckpt", "last.ckpt"):
        state = load(tmp_path / "checkpoints" / name)["state_dict"]
        assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


def test_final_only_when_everything_is_done(tmp_path):
    with pytest.warns(UserWarning, match="Training stopped"):
        fit(tmp_path, CascadeTraining(), TemperatureScaling(), RunCheckpoint(), max_epochs=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_last_belongs_to_the_end_of_its_epoch(tmp_path):
    cascade = CascadeTraining(max_epochs=[1, 5, 5])

    class Look(Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch:
                saved = load(tmp_path / "checkpoints" / "last.ckpt")
                state = saved["callbacks"]["CascadeTraining"]
                assert (state["index"], state["epoch"]) == (cascade.index, cascade.epoch)
                weights = saved["state_dict"]
                assert all(torch.equal(weights[k], v) for k, v in module.state_dict().items())

    with pytest.warns(UserWarning, match="Training stopped"):
        fit(tmp_path, cascade, Look(), RunCheckpoint(), max_epochs=3)


def test_another_run_is_not_overwritten(tmp_path):
    fit(tmp_path, RunCheckpoint())
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with refusing(CheckpointError, str(tmp_path / "checkpoints" / "last.ckpt"), 'ckpt_path="last"', "default_root_dir"):
        fit(tmp_path, RunCheckpoint())
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    fit(tmp_path, RunCheckpoint(), fast_dev_run=True)  # writes nothing, so nothing is in its way
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


def test_two_runs_into_one_folder(tmp_path):
    with locked_by_another_process(tmp_path) as process:
        with refusing(ConfigurationError, str(tmp_path), f"process {process} on ", "in use by another run"):
            fit(tmp_path, RunCheckpoint())
        fit(tmp_path, RunCheckpoint(), fast_dev_run=True)  # writes nothing

    class Look(Callback):
        def on_train_epoch_start(self, trainer, module):
            assert (tmp_path / "run.lock").exists()
            if trainer.current_epoch:
                raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        fit(tmp_path, Look(), RunCheckpoint())
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    fit(tmp_path, RunCheckpoint(), ckpt_path="last")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("ckpt_path", ["last", "path"])
def test_last_is_found_whatever_the_logger(tmp_path, ckpt_path):
    fit(tmp_path, RunCheckpoint(), logger=CSVLogger(tmp_path / "logs"))
    path = "last" if ckpt_path == "last" else tmp_path / "checkpoints" / "last.ckpt"
    trainer, _ = fit(tmp_path, RunCheckpoint(), logger=CSVLogger(tmp_path / "logs"), ckpt_path=path, max_epochs=3)
    assert trainer.global_step == 12
    assert not list((tmp_path / "logs").rglob("*.ckpt"))


def test_last_before_there_is_one_starts_anew(tmp_path):
    with pytest.warns(UserWarning, match="no last checkpoint"):
        trainer, _ = fit(tmp_path, RunCheckpoint(), ckpt_path="last")
    assert trainer.global_step == 8


def test_how_to_resume_after_an_interruption(tmp_path, capsys, caplog):
    class Fail(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 6:
                raise RuntimeError("out of luck")

    with caplog.at_level("INFO"), pytest.raises(RuntimeError, match="out of luck"):
        fit(tmp_path, Fail(), RunCheckpoint())
    shown = caplog.text + capsys.readouterr().err
    assert f"{tmp_path / 'checkpoints' / 'last.ckpt'} is saved" in shown
    assert 'ckpt_path="last"' in shown


def test_a_full_disk_in_the_middle_of_a_run(tmp_path, monkeypatch):
    saves, save = [], torch.save

    def save_twice(checkpoint, file):
        saves.append(checkpoint["global_step"])
        if len(saves) > 2:
            file.write(b"half of a chec")
            raise OSError(28, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", save_twice)
    with pytest.raises(WriteError, match=r"last\.ckpt cannot be written.*No space left on device"):
        fit(tmp_path, CascadeTraining(), RunCheckpoint(every_n_steps=3), max_epochs=4)
    assert saves == [3, 4, 6]
    assert load(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 4
    monkeypatch.undo()
    trainer, _ = fit(tmp_path, CascadeTraining(max_epochs=1), RunCheckpoint(), ckpt_path="last", max_epochs=-1)
    assert trainer.global_step > 4


# ---------------------------------------------------------------------------------------- own loaders that keep a place


class Keeping(DataLoader):
    """A shuffling loader with torchdata's protocol: its state is that of the generator, and the batches yielded."""

    skip = 0

    def __iter__(self):
        skip, self.skip = self.skip, 0
        self.began = self.generator.get_state()
        for i, batch in enumerate(super().__iter__()):
            self.yielded = i + 1
            if i >= skip:
                yield batch

    def state_dict(self):
        return {"began": self.began, "now": self.generator.get_state(), "yielded": self.yielded}

    def load_state_dict(self, state):
        within = state["yielded"] < len(self)
        self.generator.set_state(state["began" if within else "now"])
        self.skip = state["yielded"] if within else 0


def shuffling(kind):
    if kind == "torchdata":
        reason = "torchdata is not installed, whose StatefulDataLoader this test is about"
        kind = pytest.importorskip("torchdata.stateful_dataloader", reason=reason).StatefulDataLoader
        return kind(TensorDataset(*rows(64)), batch_size=16, shuffle=True)
    return kind(TensorDataset(*rows(64)), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [Keeping, "torchdata", DataLoader])
@pytest.mark.parametrize("step", [6, 8, 14])  # within an epoch, at the end of one, and in the second stage
def test_own_loaders_resume_where_they_were(tmp_path, kind, step):
    def train(*callbacks, **options):
        trainer = toy_trainer(tmp_path, CascadeTraining(max_epochs=2), *callbacks, RunCheckpoint())
        module = toy_module()
        trainer.fit(module, shuffling(kind), loader(seed=1), **options)
        return module.state_dict()

    whole = train()
    shutil.rmtree(tmp_path / "checkpoints")
    path = tmp_path / "cut" / "cut.ckpt"
    with pytest.raises(KilledError):
        train(SaveAtTheEnd(path, step) if step == 8 else SaveAndDie(path, step))
    shutil.rmtree(tmp_path / "checkpoints")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumed = train(ckpt_path=path)
    lines = [str(w.message) for w in caught if "keeps no place" in str(w.message)]
    if kind is DataLoader:
        assert len(lines) == 1
        assert ("shuffles in another order" if step == 8 else "begins the interrupted epoch's samples anew") in lines[0]
        assert "StatefulDataLoader" in lines[0]
    else:
        assert lines == []
        assert same(resumed, whole)


class SaveAtTheEnd(SaveAndDie):
    """Save at the end of the epoch instead."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step > self.step:
            raise KilledError

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)

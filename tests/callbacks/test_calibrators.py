import math
import os
import signal

import lightning as L
import pytest
import torch
from helpers.refusing import refusing
from helpers.toy import TAXONOMY, loader, rows, toy_fit, toy_module, toy_trainer
from helpers.witnesses import copy_of, same
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from nested_lightning.callbacks import (
    CascadeTraining,
    RejectionFineTuning,
    Report,
    RunCheckpoint,
    TemperatureScaling,
    evaluation,
)
from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.errors import CalibrationError
from nested_lightning.functional.calibration import fit_temperature, log_probabilities, sample_rejection
from nested_lightning.functional.combination import nested
from nested_lightning.functional.reliability import level_accuracy, level_confidence, level_ece

TRAIN, VALIDATION = loader(128, seed=2), loader(128, seed=3)


class Before(Callback):
    """Keep the state of the module when training ends; place it before the calibrators."""

    def on_train_end(self, trainer, module):
        self.state = copy_of(module)


def fit(tmp_path, *callbacks, train=TRAIN, validation=VALIDATION, **options):
    """Train without the cascade; return the module, its state before calibration, and what calibration changed."""
    module, before = toy_module(), Before()
    options = {"max_epochs": 2, **options}
    toy_trainer(tmp_path, before, *callbacks, **options).fit(module, train, validation)
    after = module.state_dict()
    changed = {name for name in before.state if not torch.equal(before.state[name], after[name])}
    return module, before.state, changed


@torch.no_grad()
def outputs(module, data):
    """Return logits per level and targets of all rows of ``data``."""
    module.eval()
    x, target = (torch.cat(column) for column in zip(*data, strict=True))
    return module(x), target


# ----------------------------------------------------------------------------------------------------------- rejection


@pytest.mark.parametrize("distribution", ["sphere", "orthant", "ball"])
def test_rejection_trains_the_linear_heads_and_nothing_else(tmp_path, distribution):
    rejection = RejectionFineTuning(distribution, steps=5)
    module, _, changed = fit(tmp_path, rejection)
    names = ("linear.weight", "linear.bias", "rejection_fitted")
    assert changed == {f"network.heads.{i}.{name}" for i in range(3) for name in names}
    assert rejection.done
    logits, _ = outputs(module, VALIDATION)
    assert all(torch.isfinite(level).all() for level in logits)


def test_the_weights_of_real_classes_can_be_kept(tmp_path):
    module, state, _ = fit(tmp_path, RejectionFineTuning(steps=50, refit_classes=False))
    for i, head in enumerate(module.network.heads):
        for name in ("weight", "bias"):
            old, new = state[f"network.heads.{i}.linear.{name}"], getattr(head.linear, name)
            assert torch.equal(old[:-1], new[:-1])
            assert not torch.equal(old[-1], new[-1])


@pytest.mark.parametrize("refit_classes", [True, False])
def test_synthetic_embeddings_are_rejected_and_real_ones_are_not(tmp_path, refit_classes):
    def rejected(head, embeddings):
        with torch.no_grad():
            return (1 - log_probabilities(head.classify(embeddings)).exp().sum(1)).mean()

    module, state, _ = fit(tmp_path, RejectionFineTuning(steps=200, refit_classes=refit_classes), max_epochs=20)
    x, _ = rows(100, seed=4)
    with torch.no_grad():
        embeddings = module.network.embed(x)
    for i, head in enumerate(module.network.heads):
        synthetic = sample_rejection(500, 4, "sphere", torch.Generator().manual_seed(7))
        assert not state[f"network.heads.{i}.rejection_fitted"]
        assert rejected(head, synthetic) > rejected(head, embeddings[i]) + 0.2


def test_rejection_depends_on_the_seed_of_the_run_alone(tmp_path, monkeypatch):
    class Disturb(Callback):
        def on_train_end(self, trainer, module):
            torch.seed()

    def run(seed):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        module, _, _ = fit(tmp_path, Disturb(), RejectionFineTuning(steps=5))
        return module.network.heads[1].linear.weight

    first, again, other = run(1), run(1), run(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_steps_leave_everything_as_it_is(tmp_path):
    _, _, changed = fit(tmp_path, RejectionFineTuning(steps=0))
    assert changed == set()


def test_rejection_uses_only_the_rows_known_at_a_level(tmp_path):
    def run(value):
        data = loader(64, seed=5)
        x, target = data.dataset.tensors
        target[:32, 2] = -1

        class Spoil(Callback):
            def on_train_end(self, trainer, module):
                x[target[:, 2] < 0] = value

        module, _, _ = fit(tmp_path, Spoil(), RejectionFineTuning(steps=5), train=data)
        return [head.linear.weight for head in module.network.heads]

    near, far = run(0.0), run(100.0)
    assert not torch.equal(near[0], far[0])
    assert not torch.equal(near[1], far[1])
    assert torch.equal(near[2], far[2])


# --------------------------------------------------------------------------------------------------------- temperature


@pytest.mark.parametrize("method", ["ece_grid", "nll"])
def test_temperatures_are_those_of_the_validation_data(tmp_path, method):
    module, _, changed = fit(tmp_path, TemperatureScaling(method, bins=10), max_epochs=10)
    logits, target = outputs(module, VALIDATION)
    expected, coarser = [], []
    for i, z in enumerate(logits):
        combine = lambda own, coarser=tuple(coarser): nested([*coarser, own], module.taxonomy)[-1]  # noqa: E731
        expected.append(fit_temperature(z, target[:, i], method, 10, combine))
        coarser.append(log_probabilities(z.double(), expected[-1]))
    torch.testing.assert_close(module.temperatures, torch.tensor(expected))
    assert changed == {"temperatures"}


@pytest.mark.parametrize("method", ["ece_grid", "nll"])
@pytest.mark.parametrize("combination", ["nested", "mean"])
def test_batches_change_nothing(tmp_path, monkeypatch, method, combination):
    def run(cells):
        monkeypatch.setattr(evaluation, "CELLS", cells)
        steps = RejectionFineTuning(steps=20), TemperatureScaling(method)
        return toy_fit(tmp_path, *steps, module=toy_module(combination=combination), max_epochs=5)

    whole, parts = run(2**18), run(7 * 5)
    torch.testing.assert_close(parts.temperatures, whole.temperatures)
    measured, expected = parts.evaluation.measured, whole.evaluation.measured
    assert measured.values() == pytest.approx(expected.values(), nan_ok=True)
    assert {name: tensor.shape for name, tensor in vars(measured.predictions).items()} == {
        name: tensor.shape for name, tensor in vars(expected.predictions).items()
    }


class AskToEnd(Callback):
    """Send SIGTERM at the ``n``-th step of calibration."""

    def __init__(self, n, monkeypatch):
        def tracked(trainer, steps, description, *_):
            for step in steps:
                if description.startswith(("rejection", "temperature")):
                    self.steps.append(description)
                    if len(self.steps) == n:
                        os.kill(os.getpid(), signal.SIGTERM)
                yield step

        self.steps = []
        monkeypatch.setattr(evaluation, "tracked", tracked)


@pytest.mark.parametrize(("n", "during"), [(5, "rejection, kind"), (66, "temperature, group")])
def test_sigterm_ends_calibration_at_its_next_step_and_resuming_repeats_it(tmp_path, monkeypatch, n, during):
    monkeypatch.setattr(evaluation, "CELLS", 20)

    def run(root, *more, **resume):
        steps = RejectionFineTuning(steps=20), TemperatureScaling(), *more, RunCheckpoint()
        return toy_fit(root, CascadeTraining(max_epochs=2), *steps, **resume)

    handler = signal.getsignal(signal.SIGTERM)
    whole = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        asking = AskToEnd(n, patch)
        with pytest.raises(SIGTERMException):
            run(tmp_path / "run", asking)
    signal.signal(signal.SIGTERM, handler)
    assert len(asking.steps) == n and asking.steps[-1] == during
    assert not (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()
    assert same(copy_of(whole), copy_of(run(tmp_path / "run", ckpt_path="last")))
    assert (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()


def test_sigterm_ends_calibration_without_checkpoints_too(tmp_path, monkeypatch):
    # Lightning listens only where nobody else does, and coverage does.
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asking, temperature = AskToEnd(2, monkeypatch), TemperatureScaling()
    with pytest.raises(SIGTERMException):
        fit(tmp_path, temperature, asking)
    signal.signal(signal.SIGTERM, handler)
    assert len(asking.steps) == 2 and not temperature.done


def test_temperature_changes_confidence_and_no_decision(tmp_path):
    module, _, _ = fit(tmp_path, TemperatureScaling("nll"), max_epochs=10)
    x, _ = rows(50, seed=6)
    scaled = module.predict(x).own_probabilities
    module.temperatures.fill_(1)
    plain = module.predict(x).own_probabilities
    for a, b in zip(scaled, plain, strict=True):
        assert torch.equal(a.argmax(1), b.argmax(1))
        assert not torch.allclose(a.max(1).values, b.max(1).values)


def test_test_data_are_measured_on_and_decide_nothing(tmp_path):
    def run(test):
        data = L.LightningDataModule.from_datasets(None)
        data.has_test, data.train_dataloader, data.val_dataloader = True, lambda: TRAIN, lambda: VALIDATION
        data.test_dataloader = lambda: test
        callbacks = RejectionFineTuning(steps=3), TemperatureScaling("nll")
        return toy_fit(tmp_path, *callbacks, data=data, max_epochs=2)

    one, other = run(loader(64, seed=8)), run(loader(64, seed=9))
    assert same(copy_of(one), copy_of(other))
    assert one.evaluation.split == "test"
    assert one.evaluation.after != other.evaluation.after


# ----------------------------------------------------------------------------------------------------- what both share


def test_the_measurements_are_those_of_the_metrics(tmp_path):
    """Before and after calibration, on the validation data where there is no test data."""
    module, _, _ = fit(tmp_path, RejectionFineTuning(steps=20), TemperatureScaling(), max_epochs=5)
    evaluation = module.evaluation
    assert evaluation.split == "val"
    assert evaluation.before != evaluation.after
    assert (evaluation.uncalibrated.values(), evaluation.measured.values()) == (evaluation.before, evaluation.after)
    _, target = outputs(module, VALIDATION)
    x = torch.cat([batch[0] for batch in VALIDATION])
    with torch.no_grad():
        probabilities = module.predict(x).probabilities
    for i, level in enumerate(TAXONOMY.levels):
        for name, function in (("accuracy", level_accuracy), ("confidence", level_confidence), ("ece", level_ece)):
            expected = float(function(probabilities[i], target[:, i]))
            assert evaluation.after[f"{level}/{name}"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("callback", [RejectionFineTuning(steps=2), TemperatureScaling()])
def test_a_run_that_only_tries_the_code_calibrates_on_one_batch(tmp_path, callback):
    x, target = rows(64, depth=2)  # no sample is labelled at the last level, as may be in one batch
    batches = DataLoader(TensorDataset(x, target), batch_size=16)
    module, _, changed = fit(tmp_path, callback, train=batches, validation=batches, fast_dev_run=True)
    assert changed
    assert callback.done
    assert {len(outputs.target) for outputs in module.evaluation.outputs.values()} == {16}


@pytest.mark.parametrize("callback", [RejectionFineTuning(steps=2), TemperatureScaling()])
@pytest.mark.parametrize("options", [{"validation": None}, {"limit_val_batches": 0}, {"validation": []}])
def test_validation_data_are_needed(tmp_path, callback, options):
    with refusing(
        CalibrationError,
        type(callback).__name__,
        "data.validation",
        "val_dataloaders",
        f"remove {type(callback).__name__}",
    ):
        fit(tmp_path, callback, **options)


def test_a_list_of_one_loader(tmp_path):
    one, _, _ = fit(tmp_path, RejectionFineTuning(steps=3), TemperatureScaling())
    listed, _, _ = fit(tmp_path, RejectionFineTuning(steps=3), TemperatureScaling(), validation=[VALIDATION])
    assert torch.equal(one.temperatures, listed.temperatures)


@pytest.mark.parametrize(
    ("callback", "what"), [(RejectionFineTuning(steps=2), "training"), (TemperatureScaling(), "validation")]
)
def test_a_level_without_any_label(tmp_path, callback, what):
    unlabelled = loader(32, depth=2)
    with refusing(CalibrationError, f"no {what} sample", "'leaf'", f"remove {type(callback).__name__}"):
        toy_trainer(tmp_path, callback, max_epochs=1).fit(toy_module(), unlabelled, unlabelled)


class Stream(IterableDataset):
    """Samples whose labels are not known before they are read."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)


@pytest.mark.parametrize(("stream", "epochs"), [(False, 0), (True, 1)])
def test_validation_labels_that_are_missing_are_found_before_the_stages(tmp_path, stream, epochs):
    validation = loader(32, depth=2)
    trainer = toy_trainer(tmp_path, CascadeTraining(max_epochs=2), TemperatureScaling())
    if stream:
        validation = DataLoader(Stream(validation), batch_size=None)
    with refusing(CalibrationError, "no validation sample", "'leaf'", "remove TemperatureScaling"):
        trainer.fit(toy_module(), TRAIN, validation)
    assert trainer.current_epoch < max(epochs, 1) and (trainer.global_step > 0) == stream


def test_labels_that_a_stream_has_are_enough(tmp_path):
    _, _, changed = fit(tmp_path, TemperatureScaling("nll"), validation=DataLoader(Stream(VALIDATION), batch_size=None))
    assert changed == {"temperatures"}


def test_with_other_callbacks_that_end_training(tmp_path):
    temperature = TemperatureScaling()
    fit(tmp_path, EarlyStopping("val/loss", patience=1, min_delta=1e9), temperature, max_epochs=50)
    assert temperature.done


def test_behind_the_cascade_the_weights_are_its_best(tmp_path):
    class Remembering(CascadeTraining):
        def _end_stage(self, *arguments):
            self.last_best = self.best_state
            super()._end_stage(*arguments)

    cascade = Remembering(max_epochs=3, learning_rate=0.3, min_delta=10.0)  # the first epoch of a stage is its best
    _, state, changed = fit(tmp_path, cascade, TemperatureScaling("nll"), max_epochs=-1)
    assert changed <= {"temperatures"}
    assert all(torch.equal(state[name], value) for name, value in cascade.last_best.items())
    assert cascade.best_state is None


def test_a_finished_step_is_not_repeated(tmp_path):
    class Counting(Calibrator):
        runs = 0

        def calibrate(self, trainer, module, validation):
            self.runs += 1

    class Done(Counting):
        """As when resumed from a checkpoint that was written after this step."""

        def on_fit_start(self, trainer, module):
            self.load_state_dict({"done": True})

    counting, done = Counting(), Done()
    module, _, _ = fit(tmp_path, counting, done)
    assert (counting.runs, done.runs) == (1, 0)
    assert counting.state_dict()["done"]
    assert math.isfinite(module.evaluation.after["kind/accuracy"])


def test_a_run_killed_between_two_steps_knows_the_metrics_before_the_first(tmp_path):
    class Save(Callback):
        def on_train_end(self, trainer, module):
            trainer.save_checkpoint(tmp_path / "between.ckpt")

    def run(*callbacks, **resume):
        module, calibration = toy_module(), (RejectionFineTuning(steps=5), *callbacks, TemperatureScaling("nll"))
        trainer = toy_trainer(tmp_path, CascadeTraining(max_epochs=1), *calibration, Report())
        trainer.fit(module, TRAIN, VALIDATION, **resume)
        return module

    whole = run(Save())
    resumed = run(ckpt_path=tmp_path / "between.ckpt")
    assert same(copy_of(whole), copy_of(resumed))
    assert resumed.evaluation.state_dict() == whole.evaluation.state_dict()
    assert resumed.evaluation.uncalibrated is None


# ---------------------------------------------------------------------------------------------------- in plain Python


def test_calibration_without_any_trainer():
    """Calibrate with the functions that the callbacks use, after a plain training loop."""
    module = toy_module()
    optimizer = module.configure_optimizers()
    x, target = rows(200, seed=2)
    for _ in range(150):
        optimizer.zero_grad()
        module.loss(module(x), target).backward()
        optimizer.step()
    x, target = rows(200, seed=3, spread=1.5)
    module.eval()
    with torch.no_grad():
        uncalibrated = nll(module, x, target)
        for i, logits in enumerate(module(x)):
            module.temperatures[i] = fit_temperature(logits, target[:, i], "nll")
        assert nll(module, x, target) < uncalibrated - 0.01


def nll(module, x, target):
    own = module.own_log_probabilities(module(x))
    return sum(torch.nn.functional.nll_loss(p, target[:, i]) for i, p in enumerate(own))

import pytest
import torch
from helpers.refusing import refusing
from helpers.toy import TAXONOMY, loader, toy_fit, toy_module, toy_trainer
from helpers.witnesses import Diary, Scripted, copy_of, fit, same, uneven
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.callbacks.finetuning import BaseFinetuning
from lightning.pytorch.tuner import Tuner
from torch.optim import SGD, Adam

from nested_lightning import NestedLightningModule
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, TemperatureScaling
from nested_lightning.errors import ConfigurationError

TRAIN, VALIDATION = loader(128, seed=2), loader(128, seed=3)


def calibrators():
    return RejectionFineTuning(steps=20), TemperatureScaling("nll")


# ------------------------------------------------------------------------------------------------ averages of weights


@pytest.mark.parametrize("cascade", [True, False])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("average", [WeightAveraging, lambda: EMAWeightAveraging(decay=0.9)])
def test_the_averaged_weights_are_calibrated_and_saved(tmp_path, average, first, cascade):
    own = [CascadeTraining(max_epochs=2)] * cascade + [*calibrators()]
    callbacks = [average(), *own] if first else [*own, average()]
    module, trainer = toy_module(), toy_trainer(tmp_path, *callbacks, RunCheckpoint(), max_epochs=-1 if cascade else 3)
    trainer.fit(module, TRAIN, VALIDATION)
    saved = torch.load(tmp_path / "checkpoints" / "final.ckpt", weights_only=True)
    assert same(saved["state_dict"], copy_of(module))
    assert not torch.equal(module.temperatures, torch.ones(3))
    assert all(head.rejection_fitted == 1 for head in module.network.heads)
    accuracy = trainer.validate(module, VALIDATION, verbose=False)[0]["val/leaf/accuracy"]
    assert accuracy == pytest.approx(module.evaluation.after["leaf/accuracy"])


class ByHand(Callback):
    """Averages the backbone's weights since the stage began; keeps those of each validation."""

    def __init__(self):
        self.averages, self.sum, self.n = [], 0, 0

    def on_train_batch_end(self, trainer, module, *_):
        self.sum, self.n = self.sum + module.network.backbone[0].weight.detach().double(), self.n + 1

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.averages.append(self.sum / self.n)

    def on_stage_end(self, trainer, module, stage):
        self.sum, self.n = 0, 0


def test_an_average_begins_anew_in_every_stage_and_the_best_one_is_restored(tmp_path):
    module, by_hand, restored = toy_module(Scripted), ByHand(), []
    module.script = (5, 4, 4.5, 9, 8, 8.5, 3, 3.5)  # best in the second, second and first epoch of the stages

    class Restored(Callback):
        def on_stage_end(self, trainer, module, stage):
            restored.append(module.network.backbone[0].weight.detach().double().clone())

    fit(tmp_path, CascadeTraining(patience=1, max_epochs=3), module, WeightAveraging(), by_hand, Restored())
    expected = [by_hand.averages[epoch] for epoch in (1, 4, 6)]
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)
    assert torch.equal(module.network.backbone[0].weight.double(), restored[-1])


def test_until_it_begins_an_average_is_the_network_as_it_is(tmp_path):
    average = EMAWeightAveraging(update_starting_at_step=10**6)
    trainer, with_average, _ = fit(tmp_path, CascadeTraining(max_epochs=2), None, average)
    _, without, _ = fit(tmp_path, CascadeTraining(max_epochs=2))
    assert same(copy_of(with_average), copy_of(without))
    # As in an untrained network Lightning would validate otherwise.
    untrained = copy_of(toy_module())
    assert not torch.equal(with_average.network.heads[2].linear.weight, untrained["network.heads.2.linear.weight"])
    assert trainer.global_step == 12


@pytest.mark.parametrize("interrupted_at", [3, 8])
def test_an_interrupted_run_with_an_average_ends_as_without_interruption(tmp_path, interrupted_at):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == interrupted_at:
                raise InterruptedError

    def run(name, *callbacks, **resume):
        own = CascadeTraining(max_epochs=2), EMAWeightAveraging(decay=0.8), *calibrators(), RunCheckpoint(1)
        return toy_fit(tmp_path / name, *own, *callbacks, data=uneven(16, 16, 16), **resume)

    whole = run("whole")
    with pytest.raises(InterruptedError):
        run("run", Stop())
    assert same(copy_of(run("run", ckpt_path="last")), copy_of(whole))


def test_weights_that_swa_would_replace_after_calibration(tmp_path):
    swa = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    with refusing(ConfigurationError, "after RejectionFineTuning has calibrated", "place it before"):
        toy_fit(tmp_path, *calibrators(), swa, max_epochs=2)
    module = toy_module()
    trainer = toy_trainer(tmp_path, swa, *calibrators(), RunCheckpoint(), max_epochs=2)
    trainer.fit(module, TRAIN, VALIDATION)
    accuracy = trainer.validate(module, VALIDATION, verbose=False)[0]["val/leaf/accuracy"]
    assert accuracy == pytest.approx(module.evaluation.after["leaf/accuracy"])


# ------------------------------------------------------------------------------------------------------------ pruning


@pytest.mark.parametrize("first", [True, False])
def test_pruned_weights_train_and_the_best_are_restored(tmp_path, first):
    module = toy_module(Scripted)
    module.script = (3, 4, 5)  # the best epoch of a stage is the first, before anything is pruned
    part = module.network.backbone[0]
    pruning = ModelPruning("l1_unstructured", [(part, "weight")], amount=0.25, use_lottery_ticket_hypothesis=False)
    cascade, diary = CascadeTraining(max_epochs=2), Diary()
    own = (pruning, cascade) if first else (cascade, pruning)
    trainer = toy_trainer(tmp_path, *own, diary)
    trainer.fit(module, loader(), loader(seed=1))
    assert [id(part.weight_orig) in held if hasattr(part, "weight_orig") else None for held in diary.optimized]
    moved = [not torch.equal(_weight(a), _weight(b[1])) for a, b in zip(diary.ended, diary.begun, strict=True)]
    assert moved == [True] * 6
    best, final = diary.ended[4]["backbone.0.weight_orig"], part.weight
    assert (final == 0).float().mean() >= 0.7  # pruned six times
    kept = final != 0
    assert torch.equal(final[kept], best[kept])


def _weight(state):
    return state.get("backbone.0.weight_orig", state.get("backbone.0.weight"))


# --------------------------------------------------------------------------------------------------------- refusals


class Unfreezing(BaseFinetuning):
    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.network.backbone)

    def finetune_function(self, pl_module, epoch, optimizer):
        pass


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (StochasticWeightAveraging(0.1), ["StochasticWeightAveraging", "EMAWeightAveraging"]),
        (Unfreezing(), ["Unfreezing freezes", "backbone.requires_grad_(False)"]),
        (LearningRateFinder(), ["LearningRateFinder", "cascade.learning_rate", "lr_find"]),
        (EarlyStopping("val/loss"), ["EarlyStopping(monitor='val/loss')", "'val/correct_levels'", "mode='max'"]),
        (EarlyStopping("train/loss"), ["cannot be compared", "cascade.patience"]),
        (EarlyStopping("val/leaf/accuracy"), ["trains up to 'kind'", "no metrics of 'leaf'"]),
        (ModelCheckpoint(monitor="val/loss"), ["ModelCheckpoint(monitor='val/loss')", "'val/correct_levels'"]),
        (ModelCheckpoint(monitor="val/path/f1"), ["each stage adds a level", "'val/correct_levels'"]),
        (ModelCheckpoint(monitor="val/group/ece"), ["no metrics of 'group'"]),
    ],
)
def test_callbacks_that_cannot_work_beside_stages(tmp_path, callback, words):
    with refusing(ConfigurationError, *words):
        fit(tmp_path, CascadeTraining(max_epochs=1), None, callback)


def test_in_a_single_stage_every_metric_can_be_monitored(tmp_path):
    stop = EarlyStopping("val/leaf/accuracy", mode="max", patience=1, min_delta=2)
    best = ModelCheckpoint(tmp_path, "{epoch}", monitor="val/loss")
    trainer, _, _ = fit(tmp_path, CascadeTraining(stages=["leaf"], max_epochs=5), None, stop, best)
    assert trainer.current_epoch == 2
    assert best.best_model_path


def test_a_metric_that_can_be_compared_across_stages(tmp_path):
    seen = []

    class Read(Callback):
        def on_train_epoch_end(self, trainer, module):
            metrics = trainer.callback_metrics
            known = [float(metrics[key]) for level in TAXONOMY.levels if (key := f"val/{level}/accuracy") in metrics]
            seen.append((len(known), sum(known), float(metrics["val/correct_levels"])))

    best = ModelCheckpoint(tmp_path / "best", "{epoch}", monitor="val/correct_levels", mode="max")
    stop = EarlyStopping("val/correct_levels", mode="max", patience=50)
    cascade = CascadeTraining(max_epochs=3, learning_rate=0.03)
    toy_trainer(tmp_path, Read(), cascade, best, stop).fit(toy_module(), TRAIN, VALIDATION)
    assert all(total == pytest.approx(logged) for _, total, logged in seen)
    logged = [value for *_, value in seen]
    assert best.best_model_path.endswith(f"epoch={logged.index(max(logged))}.ckpt")
    assert logged.index(max(logged)) >= 6  # in the last stage


# ------------------------------------------------------------------------------------------------------------ tuners


def test_a_batch_size_that_is_found_is_used(tmp_path):
    class Sizes(Callback):
        def __init__(self):
            self.sizes = []

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.sizes.append(len(batch[0]))

    data, sizes = uneven(40, 40, 40), Sizes()
    finder = BatchSizeFinder(init_val=4, max_trials=3, steps_per_trial=1)
    with pytest.warns(UserWarning, match="tries the first of 3 stages"):
        toy_fit(tmp_path, finder, CascadeTraining(max_epochs=1), sizes, data=data)
    assert finder.optimal_batch_size == data.batch_size == 16
    assert sizes.sizes == [16, 16, 8] * 3


def test_the_batch_size_of_evaluation_is_another(tmp_path):
    data, module = uneven(8, 8, 8), toy_module()
    with refusing(ConfigurationError, "batch_arg_name", "eval_batch_size"):
        toy_trainer(tmp_path, BatchSizeFinder()).validate(module, data)
    data.eval_batch_size = data.hparams.eval_batch_size = 1
    finder = BatchSizeFinder(init_val=1, max_trials=2, batch_arg_name="eval_batch_size")
    toy_trainer(tmp_path, finder).validate(module, data, verbose=False)
    assert data.eval_batch_size == 2


def test_a_learning_rate_that_is_found_without_a_cascade_is_used(tmp_path):
    module, trainer = toy_module(), toy_trainer(tmp_path)
    found = Tuner(trainer).lr_find(module, TRAIN, VALIDATION, num_training=40).suggestion()
    assert module.learning_rate == found is not None
    diary = Diary()
    toy_trainer(tmp_path, diary, max_epochs=1).fit(module, TRAIN, VALIDATION)
    assert diary.rates == [found]


# ----------------------------------------------------------------------------------------------------- learning rates


def test_parameter_groups_keep_their_ratio(tmp_path):
    def grouped(parameters):
        backbone, *others = parameters
        return Adam([{"params": [backbone], "lr": 1e-3}, {"params": others, "lr": 1e-2}])

    class Rates(Callback):
        rates = ()

        def on_train_epoch_start(self, trainer, module):
            self.rates += (tuple(group["lr"] for group in trainer.optimizers[0].param_groups),)

    rates, module = Rates(), toy_module(Scripted, optimizer=grouped)
    module.script = (1,)
    cascade = CascadeTraining(learning_rate=[0.5, 0.2, 0.1], max_epochs=[3, 1, 1], plateau_patience=1)
    fit(tmp_path, cascade, module, rates)
    expected = [(0.05, 0.5)] * 2 + [(0.01, 0.1), (0.02, 0.2), (0.01, 0.1)]
    assert [pytest.approx(pair) for pair in expected] == list(rates.rates)


class OwnOptimizer(NestedLightningModule):
    def configure_optimizers(self):
        return SGD([p for p in self.network.parameters() if p.requires_grad], lr=0.125)


def test_a_learning_rate_that_is_not_used_is_reported(tmp_path, recwarn):
    def warnings_of(learning_rate, cls):
        recwarn.clear()
        cascade = CascadeTraining(max_epochs=1, learning_rate=learning_rate)
        fit(tmp_path, cascade, toy_module(cls))
        return [str(warning.message) for warning in recwarn if "cascade.learning_rate" in str(warning.message)]

    (message,) = warnings_of(0.5, OwnOptimizer)
    assert "is not used: OwnOptimizer.configure_optimizers sets the learning rate 0.125" in message
    assert not warnings_of(0.125, OwnOptimizer)
    assert not warnings_of(None, OwnOptimizer)
    assert not warnings_of(0.5, NestedLightningModule)

import logging
import warnings

import pytest
import torch
from helpers.refusing import refusing
from helpers.toy import TAXONOMY, backbone, loader, toy_module, toy_trainer
from helpers.witnesses import Diary, Scripted, copy_of, fit, same, uneven
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import SGD

from nested_lightning.callbacks import CascadeTraining
from nested_lightning.errors import DataError


def level_of(network, name: str) -> int:
    """Return the level in whose stage the entry ``name`` of the network's state starts to train."""
    parts = name.split(".")
    return 0 if parts[0] == "backbone" else int(parts[1])


class Normed(nn.Module):
    """A bottleneck with batch normalisation, whose runs are counted."""

    def __init__(self, previous_channels, skip_channels, channels):
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(previous_channels + skip_channels, channels), nn.BatchNorm1d(channels))
        self.trained_runs = 0

    def forward(self, previous, skip):
        self.trained_runs += torch.is_grad_enabled()
        return self.mix(skip if previous is None else torch.cat([previous, skip], 1))


def test_a_stage_changes_and_runs_nothing_finer_than_its_level(tmp_path):
    module = toy_module(bottleneck=Normed)
    _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=[1, 2, 1]), module)
    assert diary.levels == [0, 1, 1, 2]
    assert [part.trained_runs for part in module.network.bottlenecks] == [8, 6, 2]
    for (level, before), after in zip(diary.begun, diary.ended, strict=True):
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert {level_of(module.network, name) for name in moved} == set(range(level + 1))
        trained = {name for name, _ in module.network.named_parameters() if level_of(module.network, name) <= level}
        statistics = {name for name in before if "running" in name and level_of(module.network, name) <= level}
        assert moved >= statistics
        # The rejection logit is masked: its row has no gradient, but the row of its classes has.
        assert moved >= trained


class WithTable(nn.Sequential):
    """A backbone with a table that was learned before training."""

    fitted_buffers = ("table",)

    def __init__(self):
        super().__init__(backbone())
        self.register_buffer("table", torch.ones(1000))
        self.is_fitted = True

    def fit_inputs(self, batches):
        raise AssertionError("it is fitted")


def test_the_best_weights_are_all_that_a_stage_changes_and_no_more(tmp_path):
    class Kept(CascadeTraining):
        names = ()

        def on_train_epoch_end(self, trainer, pl_module):
            level = pl_module.stage.level
            super().on_train_epoch_end(trainer, pl_module)
            if self.best_state is not None and self.epoch == 1:
                self.names += ((level, set(self.best_state)),)

    module, cascade = toy_module(backbone=WithTable()), Kept(max_epochs=2)
    _, _, diary = fit(tmp_path, cascade, module)
    assert [level for level, _ in cascade.names] == [0, 1, 2]
    for level, names in cascade.names:
        begun, ended = diary.begun[2 * level][1], diary.ended[2 * level]
        moved = {f"network.{name}" for name in begun if not torch.equal(begun[name], ended[name])}
        assert moved <= names
        assert "network.backbone.table" not in names
        assert {int(name.split(".")[2]) for name in names if "heads.0." not in name and ".linear." in name} <= set(
            range(level + 1)
        )


def test_each_stage_has_a_fresh_optimizer_of_its_own(tmp_path):
    module = toy_module()
    _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=2, learning_rate=[1e-2, 3e-3, 1e-3]), module)
    assert diary.levels == [0, 0, 1, 1, 2, 2]
    assert diary.fresh == [True, False] * 3
    assert diary.rates == [1e-2, 1e-2, 3e-3, 3e-3, 1e-3, 1e-3]
    expected = [
        {id(p) for i in range(n) for part in module.network.parts(i) for p in part.parameters()} for n in (1, 2, 3)
    ]
    assert diary.optimized[::2] == expected


def test_any_optimizer_at_the_rate_of_the_stage(tmp_path):
    module = toy_module(optimizer=lambda parameters: SGD(parameters, lr=9.0, momentum=0.5))
    trainer, _, diary = fit(tmp_path, CascadeTraining(max_epochs=1), module)
    assert isinstance(trainer.optimizers[0], SGD)
    assert trainer.optimizers[0].param_groups[0]["momentum"] == 0.5
    assert diary.rates == [2e-3, 1e-3, 5e-4]


def test_stagnation_plateaus_and_best_weights(tmp_path):
    module = toy_module(Scripted)
    # Stage 1: best in epoch 2; plateau after 2 epochs without improvement, end after 3.
    # Stage 2: 7 would be worse than anything in stage 1, but is the first of its own; ends after 3 more.
    # Stage 3: improves until its maximum of 2 epochs.
    module.script = (5, 4, 4.5, 4.4, 4.3, 7, 8, 9, 9, 3, 2)
    cascade = CascadeTraining(
        learning_rate=1e-2, patience=3, plateau_patience=2, plateau_factor=[0.5, 0.1, 0.5], max_epochs=[9, 9, 2]
    )
    _, _, diary = fit(tmp_path, cascade, module)
    assert diary.levels == [0] * 5 + [1] * 4 + [2] * 2
    torch.testing.assert_close(diary.rates, [1e-2] * 4 + [5e-3] + [1e-2] * 3 + [1e-3] + [1e-2] * 2)
    assert same(diary.begun[5][1], diary.ended[1])
    assert not same(diary.begun[5][1], diary.ended[4])
    assert same(diary.begun[9][1], diary.ended[5])
    assert same(copy_of(module.network), diary.ended[10])


def test_the_best_weights_of_the_last_stage_are_restored_at_the_end(tmp_path):
    module = toy_module(Scripted)
    module.script = (3, 2, 2.5)
    _, _, diary = fit(tmp_path, CascadeTraining(stages=[-1], patience=2), module)
    assert diary.levels == [2] * 4
    assert same(copy_of(module.network), diary.ended[1])


def test_an_improvement_must_exceed_min_delta(tmp_path):
    module = toy_module(Scripted)
    module.script = (5, 4.9, 4.8, 4.7, 4.6)  # each step is smaller than 0.25; epoch 4 is 0.3 below the first
    _, _, diary = fit(tmp_path, CascadeTraining(stages=[-1], patience=3, min_delta=0.25), module)
    assert len(diary.levels) == 7
    assert same(copy_of(module.network), diary.ended[3])


def test_a_tie_is_no_improvement(tmp_path):
    module = toy_module(Scripted)
    module.script = (5,)
    _, _, diary = fit(tmp_path, CascadeTraining(stages=[-1], patience=2), module)
    assert len(diary.levels) == 3
    assert same(copy_of(module.network), diary.ended[0])


def test_logged_are_stage_epoch_and_learning_rate(tmp_path):
    seen = []

    class Read(Callback):
        def on_train_epoch_start(self, trainer, module):
            seen.append({k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("cascade/")})

    fit(tmp_path, CascadeTraining(stages=[1, 2], max_epochs=2, learning_rate=[0.5, 0.25]), None, Read())
    assert seen[1:] == [
        {"cascade/stage": stage, "cascade/epoch": epoch, "cascade/learning_rate": rate}
        for stage, epoch, rate in [(1, 1, 0.5), (1, 2, 0.5), (2, 1, 0.25)]
    ]


def test_every_callback_with_the_hook_is_called_at_the_end_of_each_stage(tmp_path):
    class Ends(Callback):
        ends = ()

        def on_stage_end(self, trainer, module, stage):
            place = (stage.number, stage.count, stage.level, stage.epoch, stage.best_loss, stage.patience_left)
            self.ends += ((*place, stage.finished, copy_of(module.network)),)

    module, ends = toy_module(Scripted), Ends()
    module.script = (5, 4, 6, 7, 6, 3)
    _, _, diary = fit(tmp_path, CascadeTraining(stages=[0, 2], patience=1, max_epochs=3), module, ends)
    assert [end[:-1] for end in ends.ends] == [(1, 2, 0, 3, 4, 0, False), (2, 2, 2, 3, 3, 1, True)]
    assert all(same(end[-1], diary.ended[epoch]) for end, epoch in zip(ends.ends, (1, 5), strict=True))
    assert module.stage.finished


def test_all_levels_at_once(tmp_path):
    _, module, diary = fit(tmp_path, CascadeTraining(stages=["leaf"], stage_data="all", max_epochs=3))
    assert diary.levels == [2, 2, 2]
    assert diary.rates[0] == 1e-3
    assert module.stage.finished


# ------------------------------------------------------------------------------------------------ frozen by the user


def test_parts_frozen_by_the_user_stay_frozen(tmp_path):
    module = toy_module(backbone=nn.Sequential(backbone(), nn.Linear(8, 8)))
    module.network.backbone[0].requires_grad_(False)
    module.network.heads[1].linear.bias.requires_grad_(False)
    before = copy_of(module.network)
    _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=1), module)
    after = copy_of(module.network)
    kept = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith("backbone.0.")}  # with the statistics of its BatchNorm
    assert frozen | {"heads.1.linear.bias"} == kept - {f"heads.{i}.rejection_fitted" for i in range(3)}
    assert id(module.network.heads[1].linear.bias) not in set().union(*diary.optimized)
    assert not module.network.heads[1].linear.bias.requires_grad


# ------------------------------------------------------------------------------------------------------ data of stages


@pytest.mark.parametrize(
    ("stage_data", "seen"),
    [
        ("exact", {0: set(range(20)), 1: set(range(20, 35)), 2: set(range(35, 45))}),
        ("all", {level: set(range(45)) for level in range(3)}),
    ],
)
def test_the_rows_of_each_stage(tmp_path, stage_data, seen):
    diary = Diary()
    cascade = CascadeTraining(stage_data=stage_data, max_epochs=1)
    toy_trainer(tmp_path, cascade, diary).fit(toy_module(), uneven(20, 15, 10))
    assert diary.inputs == seen


def test_other_data_loaders_give_the_same_in_every_stage(tmp_path):
    _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=1, stage_data="exact"), train=loader(24))
    assert [len(diary.inputs[level]) for level in range(3)] == [24, 24, 24]


def test_a_stage_without_rows_of_its_own_takes_those_labelled_further(tmp_path):
    diary = Diary()
    toy_trainer(tmp_path, CascadeTraining(max_epochs=1), diary).fit(toy_module(), uneven(20, 0, 10))
    assert diary.inputs == {0: set(range(20)), 1: set(range(20, 30)), 2: set(range(20, 30))}


@pytest.mark.parametrize(("stage_data", "counts"), [("exact", (1, 35, 10)), ("all", (46, 46, 46))])
def test_the_samples_of_each_stage_are_printed_and_a_handful_is_warned_of(tmp_path, caplog, stage_data, counts):
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.INFO):
        warnings.simplefilter("always")
        cascade = CascadeTraining(stage_data=stage_data, max_epochs=2)
        toy_trainer(tmp_path, cascade).fit(toy_module(backbone=nn.Linear(6, 8)), uneven(1, 35, 10))
    printed = [message for message in caplog.messages if message.startswith("Stage ")]
    for i, (message, level, count) in enumerate(zip(printed, TAXONOMY.levels, counts, strict=True)):
        assert f"Stage {i + 1} of 3 ({level}) trains on {count} of 46 samples" in message
    few = [str(w.message) for w in caught if "training samples" in str(w.message)]
    assert len(few) == (stage_data == "exact")
    if few:
        assert "stage 1 (kind) has only 1 of 46 training samples, of 1 class" in few[0]
        assert "set cascade.stage_data to all" in few[0]


def test_a_level_that_no_row_is_labelled_to(tmp_path):
    with refusing(DataError, "'leaf'", "20, 10, 0", "data.budgets"):
        toy_trainer(tmp_path, CascadeTraining()).fit(toy_module(), uneven(20, 10, 0))

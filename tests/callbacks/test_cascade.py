import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import SGD
from toy import TAXONOMY, backbone, loader, toy_module, toy_trainer

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, TemperatureScaling
from nested_lightning.errors import ConfigurationError, DataError


class Scripted(NestedLightningModule):
    """Its validation loss after each epoch of training is the next one of ``script``; the last goes on for ever."""

    script: tuple[float, ...] = ()

    def validation_step(self, batch, batch_idx):
        epoch = self.trainer.current_epoch
        self.log("val/loss", self.script[min(epoch, len(self.script) - 1)], batch_size=len(batch[0]))

    def on_validation_epoch_end(self):
        pass


class Diary(Callback):
    """What the network, its optimizer and the batches were like; put it behind the cascade."""

    def __init__(self):
        self.begun = []  # per epoch: stage level, state of the network before its first step
        self.ended = []  # per epoch: state of the network after its last step, before the cascade's decision
        self.rates = []
        self.fresh = []  # per epoch: whether the optimizer has no state
        self.optimized = []
        self.inputs = {}  # per stage level: ids of the rows seen

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.inputs.setdefault(module.stage.level, set()).update(batch[0][:, 0].tolist())
        if batch_idx == 0:
            optimizer = trainer.optimizers[0]
            self.begun.append((module.stage.level, copy_of(module.network)))
            self.rates.append(optimizer.param_groups[0]["lr"])
            self.fresh.append(len(optimizer.state) == 0)
            self.optimized.append({id(p) for group in optimizer.param_groups for p in group["params"]})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.ended.append(copy_of(module.network))

    @property
    def levels(self):
        return [level for level, _ in self.begun]


def copy_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def level_of(network, name: str) -> int:
    """Return the level in whose stage the entry ``name`` of the network's state starts to train."""
    parts = name.split(".")
    return 0 if parts[0] == "backbone" else int(parts[1])


def fit(tmp_path, cascade, module=None, *callbacks, train=None, **options):
    diary, module = Diary(), module or toy_module()
    trainer = toy_trainer(tmp_path, cascade, diary, *callbacks, **options)
    trainer.fit(module, train or loader(), loader(seed=1))
    return trainer, module, diary


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


def test_all_levels_at_once(tmp_path):
    _, module, diary = fit(tmp_path, CascadeTraining(stages=["leaf"], stage_data="all", max_epochs=3))
    assert diary.levels == [2, 2, 2]
    assert diary.rates[0] == 1e-3
    assert module.stage.finished


# --------------------------------------------------------------------------------------------- limits of the trainer


def test_max_epochs_of_the_trainer_stops_in_the_middle(tmp_path):
    calibrators = RejectionFineTuning(steps=2), TemperatureScaling()
    checkpoint = RunCheckpoint()
    with pytest.warns(UserWarning, match=r"max_epochs=3 epochs, in stage 2 of 3.*finer levels are not trained.*resume"):
        _, module, diary = fit(
            tmp_path,
            CascadeTraining(max_epochs=2),
            None,
            *calibrators,
            checkpoint,
            max_epochs=3,
            enable_checkpointing=True,
        )
    assert diary.levels == [0, 0, 1]
    assert not module.stage.finished
    assert not any(c.done for c in calibrators)
    assert torch.equal(module.temperatures, torch.ones(3))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt"]


@pytest.mark.parametrize("cap", [3, 4])  # within a stage, and at the end of one
def test_a_capped_run_goes_on_as_if_it_had_not_stopped(tmp_path, cap):
    def run(name, max_epochs, **resume):
        trainer = toy_trainer(
            tmp_path / name,
            CascadeTraining(max_epochs=2),
            RunCheckpoint(),
            max_epochs=max_epochs,
            enable_checkpointing=True,
        )
        module = toy_module()
        trainer.fit(module, loader(), loader(seed=1), **resume)
        return trainer, module

    _, whole = run("whole", -1)
    with pytest.warns(UserWarning, match="Training stopped"):
        run("capped", cap)
    with pytest.warns(UserWarning, match="Training stopped"):
        trainer, _ = run("capped", cap, ckpt_path="last")  # the limit is reached: not one epoch more
    assert trainer.global_step == 2 * cap
    trainer, resumed = run("capped", 50, ckpt_path="last")
    assert trainer.global_step == 12
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


def test_fast_dev_run(tmp_path):
    callbacks = RejectionFineTuning(), TemperatureScaling(), RunCheckpoint()
    trainer, _, diary = fit(tmp_path, CascadeTraining(), None, *callbacks, fast_dev_run=True, enable_checkpointing=True)
    assert trainer.global_step == 1
    assert diary.levels == [0]
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_fit_starts_anew(tmp_path):
    cascade, temperature = CascadeTraining(max_epochs=1), TemperatureScaling()
    for _ in range(2):
        _, module, diary = fit(tmp_path, cascade, toy_module(), temperature)
        assert diary.levels == [0, 1, 2]
        assert temperature.done
        assert not torch.equal(module.temperatures, torch.ones(3))


# ------------------------------------------------------------------------------------------------ frozen by the user


def test_what_the_user_froze_stays_frozen(tmp_path):
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


def uneven(*sizes: int) -> HierarchicalDataModule:
    """Rows whose first input is their number: as many labelled to kind, group and leaf; and 6 for validation."""
    depths = [depth for depth, size in enumerate(sizes, start=1) for _ in range(size)] + [3] * 6
    columns = dict(zip(TAXONOMY.levels, zip(*TAXONOMY.nodes(2), strict=True), strict=True))
    table = {
        name: [labels[row % 5] if depth > level else None for row, depth in enumerate(depths)]
        for level, (name, labels) in enumerate(columns.items())
    }
    table["x"] = [[float(row), *[float(row % 5 == k) for k in range(5)]] for row in range(len(depths))]
    rows = datasets.Dataset.from_dict(table)
    n = sum(sizes)
    source = {"train": rows.select(range(n)), "validation": rows.select(range(n, n + 6))}
    return HierarchicalDataModule(source, TAXONOMY, "x", list(TAXONOMY.levels), batch_size=8)


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


def test_data_loaders_of_ones_own_give_what_they_give(tmp_path):
    _, _, diary = fit(tmp_path, CascadeTraining(max_epochs=1, stage_data="exact"), train=loader(24))
    assert [len(diary.inputs[level]) for level in range(3)] == [24, 24, 24]


def test_a_stage_without_rows(tmp_path):
    with pytest.raises(DataError) as error:
        toy_trainer(tmp_path, CascadeTraining()).fit(toy_module(), uneven(20, 0, 10))
    for word in ("'group'", "kind: 20, group: 0, leaf: 10", "stage_data", "cascade.stages", "data.budgets"):
        assert word in str(error.value)
    for way_out in (CascadeTraining(stages=[0, 2], max_epochs=1), CascadeTraining(stage_data="all", max_epochs=1)):
        module = toy_module()
        toy_trainer(tmp_path, way_out).fit(module, uneven(20, 0, 10))
        assert module.stage.finished


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


def test_stages_that_the_taxonomy_does_not_have(tmp_path):
    with pytest.raises(ConfigurationError, match=r"'leave' is not a level.*Did you mean 'leaf'"):
        fit(tmp_path, CascadeTraining(stages=["kind", "leave"]))


def test_patience_must_be_positive():
    for name in ("patience", "plateau_patience"):
        with pytest.raises(ConfigurationError, match="at least 1"):
            CascadeTraining(**{name: 0})


def test_validation_every_other_epoch(tmp_path):
    with pytest.raises(ConfigurationError, match="check_val_every_n_epoch to 1, got 2"):
        fit(tmp_path, CascadeTraining(), check_val_every_n_epoch=2)


def test_a_module_that_logs_no_validation_loss(tmp_path):
    class Silent(NestedLightningModule):
        def validation_step(self, batch, batch_idx):
            pass

    with pytest.raises(ConfigurationError, match="'val/loss', which Silent does not log"):
        fit(tmp_path, CascadeTraining(), toy_module(Silent))


def test_another_kind_of_module(tmp_path):
    from lightning.pytorch.demos.boring_classes import BoringModel

    with pytest.raises(ConfigurationError, match="needs a NestedLightningModule or a subclass of it, got BoringModel"):
        toy_trainer(tmp_path, CascadeTraining()).fit(BoringModel())


def test_resuming_with_other_stages(tmp_path):
    fit(tmp_path, CascadeTraining(max_epochs=1), None, RunCheckpoint(), enable_checkpointing=True)
    trainer = toy_trainer(
        tmp_path, CascadeTraining(stages=["kind", "leaf"]), RunCheckpoint(), enable_checkpointing=True
    )
    with pytest.raises(ConfigurationError) as error:
        trainer.fit(toy_module(), loader(), loader(), ckpt_path="last")
    for word in ("['kind', 'group', 'leaf']", "['kind', 'leaf']", "cascade.stages"):
        assert word in str(error.value)


@pytest.mark.skipif(not importlib.util.find_spec("pytorch_lightning"), reason="pytorch_lightning is not installed")
def test_a_trainer_of_the_other_package_is_refused(tmp_path):
    import pytorch_lightning as pl

    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        callbacks=[CascadeTraining()],
        logger=False,
        enable_checkpointing=False,
    )
    module = toy_module()
    before = copy_of(module)
    with pytest.raises(TypeError, match=r"must be a `LightningModule`.*got `NestedLightningModule`"):
        trainer.fit(module, loader(), loader())
    assert same(copy_of(module), before)


@pytest.mark.slow
def test_two_processes_keep_the_same_weights(tmp_path):
    options = "--data.budgets [96,96,96] --cascade.max_epochs 2 --rejection.steps 5 --seed_everything 1"
    parallel = "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp --trainer.callbacks+=toy.Fingerprint"
    command = f"fit --config recipes/digits.yaml --trainer.default_root_dir {tmp_path / 'run'} {options} {parallel}"
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "nested_lightning", *command.split()],
        env={**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1"},
        cwd=Path(tests).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ranks = [(tmp_path / "run" / f"rank{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    assert [line[0] for line in ranks[0][::2]] == ["0", "0", "1", "1", "2", "2"]
    assert len(set(ranks[0])) >= 7
    assert (tmp_path / "run" / "checkpoints" / "final.ckpt").exists()


@pytest.mark.parametrize("interrupted_at", [3, 7, 10, 13])  # steps; an epoch has two
def test_stages_that_stagnate_after_an_interruption(tmp_path, interrupted_at):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == interrupted_at:
                raise InterruptedError

    def run(name, *callbacks, **resume):
        module = toy_module(Scripted)
        module.script = (5, 4, 4.5, 4.4, 3, 3.5, 3.2, 9, 8, 8)
        cascade = CascadeTraining(patience=2, plateau_patience=1)
        checkpoint = RunCheckpoint(every_n_steps=1)
        trainer = toy_trainer(tmp_path / name, cascade, checkpoint, *callbacks, enable_checkpointing=True)
        trainer.fit(module, uneven(16, 16, 16), **resume)
        return trainer, module

    trainer, whole = run("whole")
    assert trainer.global_step == 22  # 4, 3 and 4 epochs
    with pytest.raises(InterruptedError):
        run("run", Stop())
    trainer, resumed = run("run", ckpt_path="last")
    assert trainer.global_step == 22
    assert same(copy_of(resumed), copy_of(whole))

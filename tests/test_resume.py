"""A run that was killed anywhere and started again ends with the very weights of one that was not."""

import random
from pathlib import Path

import pytest
import torch
from helpers.killed_run import SMALL_RUN, Server
from helpers.witnesses import same

CASCADE = "nested_lightning.callbacks.CascadeTraining"
FIT = ["fit", *SMALL_RUN, "--data.batch_size=16"]


class Run:
    """A run in a folder of its own."""

    def __init__(self, server: Server, folder: Path, *options: str) -> None:
        self.server, self.folder = server, folder
        self.args = [*FIT, *options, f"--trainer.default_root_dir={folder}"]
        folder.mkdir()

    def start(self, *more: str) -> int:
        return self.server.run([*self.args, *more], self.folder / "log")

    def kill_at(self, call: str, count: int) -> None:
        assert self.start(*kill(call, count)) == -9, self.log

    def finish(self) -> dict[str, torch.Tensor]:
        assert self.start() == 0, self.log
        return self.checkpoint("final")["state_dict"]

    def checkpoint(self, name: str):
        return torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def kill(call: str, count: int) -> list[str]:
    option = "--trainer.callbacks"
    return [f"{option}+=helpers.killed_run.Kill", f"{option}.call={call}", f"{option}.count={count}"]


def place(checkpoint) -> tuple[int, int, int]:
    """Return stage, finished epochs of it, and steps in all."""
    cascade = checkpoint["callbacks"]["CascadeTraining"]
    return cascade["index"], cascade["epoch"], checkpoint["global_step"]


@pytest.fixture(scope="module")
def uninterrupted(server, tmp_path_factory):
    return Run(server, tmp_path_factory.mktemp("whole") / "run").finish()


# In the order of a run, each continuing the one before: the call of which number kills it, and where the checkpoint
# then stands: stage, finished epochs of it, steps in all.
KILLED = {
    "before the first checkpoint": (f"{CASCADE}.on_train_batch_start", 3, None),
    "in stage 1": (f"{CASCADE}.on_train_batch_start", 10, (0, 1, 8)),
    "within an epoch of stage 2": (f"{CASCADE}.on_train_batch_start", 10, (1, 0, 16)),
    "in the validation of stage 2": ("nested_lightning.NestedLightningModule.on_validation_epoch_end", 1, (1, 0, 16)),
    "at the end of a stage, before it is saved": (f"{CASCADE}._end_stage", 1, (1, 1, 20)),
    "at the end of a stage, after it is saved": (f"{CASCADE}.on_train_epoch_start", 1, (2, 0, 24)),
    "while a checkpoint is being written": ("os.fsync", 2, (2, 0, 28)),
    "before calibration": ("nested_lightning.callbacks.RejectionFineTuning.calibrate", 1, (2, 2, 36)),
    "within calibration": ("nested_lightning.callbacks.TemperatureScaling.calibrate", 1, (2, 2, 36)),
    "between the last two checkpoints": ("os.fsync", 2, (2, 2, 36)),
}


def test_killed_everywhere(server, uninterrupted, tmp_path):
    run = Run(server, tmp_path / "run")
    for where, (call, count, expected) in KILLED.items():
        run.kill_at(call, count)
        last = run.folder / "checkpoints" / "last.ckpt"
        assert (place(run.checkpoint("last")) if last.exists() else None) == expected, where
    finished = run.finish()
    assert same(finished, uninterrupted)
    assert place(run.checkpoint("last")) == (2, 2, 36)
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["final.ckpt", "last.ckpt"]
    # A complete run is shown, not repeated.
    shown = run.log.count("stage 3/3")
    assert same(run.finish(), finished)
    assert run.log.count("stage 3/3") == shown


def test_the_same_seed_gives_the_same_bits(server, uninterrupted, tmp_path):
    assert same(Run(server, tmp_path / "again").finish(), uninterrupted)


def test_sigterm_saves_and_ends(server, uninterrupted, tmp_path):
    run = Run(server, tmp_path / "run")
    moment = {"at": f"before [Callback]{CASCADE.rpartition('.')[2]}.on_train_batch_start", "count": 9, "signum": 15}
    options = [f"--trainer.profiler.init_args.{name}={value}" for name, value in moment.items()]
    assert run.start("--trainer.profiler=faults.moments.Moments", *options) == 143, run.log
    assert place(run.checkpoint("last")) == (0, 1, 9)
    assert same(run.finish(), uninterrupted)


ALONE = {
    "in stage 1": (f"{CASCADE}.on_train_batch_start", 10),
    "within an epoch of stage 2": (f"{CASCADE}.on_train_batch_start", 18),
    "at the end of an epoch of stage 2": (f"{CASCADE}.on_train_epoch_start", 4),
    "at the end of stage 2": (f"{CASCADE}.on_train_epoch_start", 5),
    "while a checkpoint is being written": ("os.fsync", 8),
    "within calibration": ("nested_lightning.callbacks.TemperatureScaling.calibrate", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ALONE)
def test_killed_once(server, uninterrupted, tmp_path, where):
    run = Run(server, tmp_path / "run")
    run.kill_at(*ALONE[where])
    assert same(run.finish(), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--cascade.max_epochs=6", "--cascade.patience=1", "--cascade.learning_rate=0.1"],  # stages end by stagnation
        ["--cascade.stage_data=all", "--cascade.stages=[coarse,fine]", "--cascade.learning_rate=0.002"],
        ["--data.num_workers=1"],
        ["--trainer.precision=64-true"],
        ["--trainer.accumulate_grad_batches=2", "--checkpoint.every_n_steps=1"],
    ],
)
def test_killed_with_other_options(server, tmp_path, options):
    whole = Run(server, tmp_path / "whole", *options)
    expected = whole.finish()
    first_stage = whole.log.count("stage 1/")
    steps = whole.checkpoint("last")["global_step"]
    run = Run(server, tmp_path / "run", *options)
    run.kill_at(f"{CASCADE}.on_train_epoch_end", first_stage)
    run.kill_at(f"{CASCADE}.on_train_batch_start", 6)
    run.kill_at("nested_lightning.callbacks.TemperatureScaling.calibrate", 1)
    assert same(run.finish(), expected)
    assert run.checkpoint("last")["global_step"] == steps


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random(server, uninterrupted, tmp_path, seed):
    run, chance = Run(server, tmp_path / "run"), random.Random(seed)
    calls = [f"{CASCADE}.on_train_batch_start", "os.fsync", "torch.Tensor.backward", "torch.save"]
    kills = 0
    while run.start(*kill(chance.choice(calls), chance.randint(2, 12))) == -9:
        kills += 1
    assert kills
    assert same(run.finish(), uninterrupted)

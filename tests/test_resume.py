"""A run that is killed anywhere and resumed ends with the same weights as one that is not."""

import signal

import pytest
import torch
from faults.runs import Moment, Run
from helpers.once import made_once
from helpers.witnesses import same

CASCADE = "before [Callback]CascadeTraining"
STEP, EPOCH, EPOCH_END = (f"{CASCADE}.on_train_{name}" for name in ("batch_start", "epoch_start", "epoch_end"))
VALIDATED = "before [LightningModule]NestedLightningModule.on_validation_epoch_end"
REJECTION = "before [Callback]RejectionFineTuning.on_train_end"
TEMPERATURE = "before [Callback]TemperatureScaling.on_train_end"
WRITING = "before os.fsync"


def kill(run: Run, moment: str, count: int) -> None:
    assert run.strike(Moment(moment, count))[0] == [-9], run.log


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.checkpoint("final")["state_dict"]


@pytest.fixture(scope="module")
def uninterrupted(server, tmp_path_factory):
    folder = made_once(tmp_path_factory, "resume", lambda folder: Run(server, folder).finish())
    return weights(Run(server, folder))


# In the order of a run, each continuing the one before: the moment that kills it, and where the checkpoint then stands.
KILLED = {
    "before the first checkpoint": (STEP, 3, "from the beginning"),
    "in stage 1": (STEP, 10, "stage 1, epoch 2, step 8"),
    "within an epoch of stage 2": (STEP, 10, "stage 2, epoch 1, step 16"),
    "in the validation of stage 2": (VALIDATED, 1, "stage 2, epoch 1, step 16"),
    "at the end of a stage, before it is saved": (EPOCH_END, 2, "stage 2, epoch 2, step 20"),
    "at the end of a stage, after it is saved": (EPOCH, 1, "stage 3, epoch 1, step 24"),
    "while a checkpoint is being written": (WRITING, 2, "stage 3, epoch 1, step 28"),
    "before calibration": (REJECTION, 1, "stage 3, epoch 3, step 36"),
    "within calibration": (TEMPERATURE, 1, "stage 3, epoch 3, step 36"),
    "between the last two checkpoints": (WRITING, 2, "stage 3, epoch 3, step 36"),
}


def test_killed_everywhere(server, uninterrupted, tmp_path):
    run = Run(server, tmp_path / "run")
    for where, (moment, count, expected) in KILLED.items():
        kill(run, moment, count)
        assert run.place == expected, where
    run.finish()
    finished = weights(run)
    assert same(finished, uninterrupted)
    assert run.place == "stage 3, epoch 3, step 36"
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["final.ckpt", "last.ckpt"]
    # A complete run is shown, not repeated.
    shown = run.log.count("stage 3/3")
    assert same(run.finish()["state_dict"], finished)
    assert run.log.count("stage 3/3") == shown


def test_the_same_seed_gives_the_same_bits(server, uninterrupted, tmp_path):
    assert same(Run(server, tmp_path / "again").finish()["state_dict"], uninterrupted)


def test_sigterm_saves_and_ends(server, uninterrupted, tmp_path):
    run = Run(server, tmp_path / "run")
    assert run.strike(Moment(STEP, 9), signal.SIGTERM)[0] == [143], run.log
    assert run.place == "stage 1, epoch 2, step 9"
    assert same(run.finish()["state_dict"], uninterrupted)


ALONE = {
    "in stage 1": (STEP, 10),
    "within an epoch of stage 2": (STEP, 18),
    "at the end of an epoch of stage 2": (EPOCH, 4),
    "at the end of stage 2": (EPOCH, 5),
    "while a checkpoint is being written": (WRITING, 8),
    "within calibration": (TEMPERATURE, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ALONE)
def test_killed_once(server, uninterrupted, tmp_path, where):
    run = Run(server, tmp_path / "run")
    kill(run, *ALONE[where])
    assert same(run.finish()["state_dict"], uninterrupted)


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
    run = Run(server, tmp_path / "run", *options)
    kill(run, EPOCH_END, whole.log.count("stage 1/"))
    kill(run, STEP, 6)
    kill(run, TEMPERATURE, 1)
    assert same(run.finish()["state_dict"], expected["state_dict"])
    assert run.checkpoint("last")["global_step"] == whole.checkpoint("last")["global_step"]

"""A run that is killed anywhere and resumed ends with the same weights as one that is not."""

import random
import signal
from pathlib import Path

import datasets
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


def other_kind(server, folder: Path, kind: str) -> Run:
    """Return a run of three stages of two epochs on texts or vectors with labels of uneven depth."""
    chance, rows = random.Random(0), []
    for i in range(240):
        label = [chance.choice("ab"), chance.choice("pq"), chance.choice("xy")]
        words = [word + str(chance.randint(0, 9)) for word in label] + [
            f"w{chance.randint(0, 60)}" for _ in range(i % 40)
        ]
        numbers = [chance.gauss(ord(name) % 2, 1) for name in label]
        path = label[0], label[0] + label[1], "".join(label)
        cells = {f"l{k + 1}": name if i % 3 >= k else None for k, name in enumerate(path)}
        rows.append({"text": " ".join(words), "vector": numbers, **cells})
    folder.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(rows).to_parquet(folder / "data.parquet")
    backbones = {
        "text": "nested_lightning.models.NGramBag {n_grams: 500, channels: 16, vocabulary_size: 200}",
        "vector": "torchvision.ops.MLP {in_channels: 3, hidden_channels: [8, 8], dropout: 0.1}",
    }
    backbone, _, arguments = backbones[kind].partition(" ")
    (folder / "recipe.yaml").write_text(f"""
data:
  {{source: {folder}/data.parquet, input_column: {kind}, label_columns: [l1, l2, l3], validation: 0.1, batch_size: 16}}
model:
  backbone: {{class_path: {backbone}, init_args: {arguments}}}
  bottleneck: {{class_path: nested_lightning.models.DenseBottleneck, init_args: {{dropout: 0.5}}}}
  bottleneck_channels: 8
  feature_channels: {16 if kind == "text" else 8}
cascade: {{stage_data: all, max_epochs: 2}}
rejection: {{steps: 20}}
checkpoint: {{every_n_steps: 4}}
figures: {{draw: never}}
trainer: {{accelerator: cpu, max_epochs: -1, default_root_dir: {folder}}}
""")
    run = Run(server, folder)
    run.args = ["fit", f"--config={folder}/recipe.yaml", "--seed_everything=3", "--ckpt_path=last"]
    return run


@pytest.mark.parametrize("kind", ["text", "vector"])
def test_killed_with_other_inputs(server, tmp_path, kind):
    expected = other_kind(server, tmp_path / "whole", kind).finish()
    run = other_kind(server, tmp_path / "run", kind)
    for moment, count in ((STEP, 6), (STEP, 3), (EPOCH_END, 2), (EPOCH, 2), (EPOCH, 2), (TEMPERATURE, 1)):
        kill(run, moment, count)
    result = run.finish()
    assert same(result["state_dict"], expected["state_dict"])
    assert same(result["evaluation"], expected["evaluation"])


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

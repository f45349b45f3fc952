"""Files of the weights at the end of stages: names, content, and after an interrupted run."""

import pytest
import torch
from helpers.commands import SHORT, run
from helpers.toy import toy_fit, toy_module
from helpers.witnesses import Diary, Scripted, same, uneven
from lightning.pytorch.callbacks import Callback

from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, StageWeights
from nested_lightning.loading import load_run


def network_in(path):
    weights = torch.load(path, weights_only=True)["state_dict"]
    return {name.removeprefix("network."): w for name, w in weights.items() if name.startswith("network.")}


def stage_files(root):
    return sorted(path.name for path in (root / "checkpoints").glob("stage-*"))


def test_the_best_weights_of_each_stage(tmp_path):
    class Best(Scripted):
        script = (3.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.5)  # best: epochs 2, 4, 9; three epochs a stage

    diary, calibration = Diary(), RejectionFineTuning(steps=2)
    toy_fit(tmp_path, StageWeights(), CascadeTraining(max_epochs=3), diary, calibration, module=toy_module(Best))
    assert stage_files(tmp_path) == ["stage-1-kind.ckpt", "stage-2-group.ckpt", "stage-3-leaf.ckpt"]
    for name, epoch in zip(stage_files(tmp_path), (2, 4, 9), strict=True):
        assert same(network_in(tmp_path / "checkpoints" / name), diary.ended[epoch - 1]), name
    assert not network_in(tmp_path / "checkpoints" / "stage-3-leaf.ckpt")["heads.2.rejection_fitted"]


def test_training_in_one_stage_has_the_finest_level_s_name(tmp_path):
    toy_fit(tmp_path, StageWeights(), CascadeTraining(stages=["leaf"], max_epochs=2))
    assert stage_files(tmp_path) == ["stage-3-leaf.ckpt"]


def test_resumed_in_the_middle_of_the_epoch_that_ends_a_stage(tmp_path):
    def callbacks():
        return CascadeTraining(max_epochs=1), StageWeights(), RunCheckpoint(every_n_steps=3)

    class Killed(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 7:  # epochs of four steps: the second stage's, after its last.ckpt of step 6
                raise KeyboardInterrupt

    toy_fit(tmp_path / "whole", *callbacks(), data=uneven(32, 32, 32))
    with pytest.raises(SystemExit):
        toy_fit(tmp_path / "cut", *callbacks(), Killed(), data=uneven(32, 32, 32))
    assert stage_files(tmp_path / "cut") == ["stage-1-kind.ckpt"]
    toy_fit(tmp_path / "cut", *callbacks(), data=uneven(32, 32, 32), ckpt_path="last")
    assert stage_files(tmp_path / "cut") == stage_files(tmp_path / "whole")
    for name in stage_files(tmp_path / "whole"):
        a, b = (network_in(tmp_path / run / "checkpoints" / name) for run in ("whole", "cut"))
        assert same(a, b), name


def test_a_finished_run_resumed_leaves_them_alone(tmp_path):
    def callbacks():
        return CascadeTraining(max_epochs=1), StageWeights(), RunCheckpoint(), RejectionFineTuning(steps=2)

    toy_fit(tmp_path, *callbacks())
    before = {name: (tmp_path / "checkpoints" / name).read_bytes() for name in stage_files(tmp_path)}
    toy_fit(tmp_path, *callbacks(), ckpt_path="last")
    assert {name: (tmp_path / "checkpoints" / name).read_bytes() for name in stage_files(tmp_path)} == before


def test_from_the_command_line_and_back_into_python(tmp_path):
    callback = ["--trainer.callbacks+", "nested_lightning.callbacks.StageWeights"]
    run("fit", "--config", "recipes/digits.yaml", "--trainer.default_root_dir", tmp_path, *SHORT, *callback)
    final, _ = load_run(tmp_path / "checkpoints" / "final.ckpt")
    last, data = load_run(tmp_path / "checkpoints" / "stage-3-fine.ckpt")
    first, _ = load_run(tmp_path / "checkpoints" / "stage-1-coarse.ckpt")
    data.setup("test")
    x, _ = next(iter(data.test_dataloader()))
    with torch.no_grad():
        assert all(map(torch.equal, last.network.embed(x), final.network.embed(x)))
        assert not torch.equal(first.network.embed(x)[0], last.network.embed(x)[0])
    assert (last.temperatures == 1).all() and not last.network.heads[0].rejection_fitted
    assert final.network.heads[0].rejection_fitted

"""Two processes train what one process would, and report an error when one of them is killed."""

from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import Moment, Run
from helpers.killed_run import GRACE, Server
from helpers.locked import locked_by_another_process
from helpers.witnesses import same

pytestmark = pytest.mark.slow

# Dropout would draw different numbers in each process. 203 samples are two batches for one process, one for the other.
COMPARABLE = [
    "--model.backbone.init_args.dropout=0",
    "--data.validation=203",
    "--data.eval_batch_size=101",
    "--cascade.learning_rate=0.004",
]
STAGNATING = ["--cascade.max_epochs=6", "--cascade.patience=1", "--cascade.plateau_patience=1"]
TOGETHER = "--trainer.plugins+=faults.synchronised.ProcessBatchNorm"


@pytest.mark.parametrize(
    "options",
    [
        # Rounding errors grow; after 36 steps in single precision a sample may cross a threshold.
        pytest.param(["--cascade.max_epochs=1"], id="single precision, 18 steps"),
        pytest.param([*STAGNATING, "--trainer.precision=64-true"], id="double precision, stages that stagnate"),
        pytest.param(
            [*STAGNATING, "--trainer.precision=64-true", "--cascade.stage_data=all", "--temperature.method=nll"],
            id="double precision, all samples in every stage",
        ),
    ],
)
def test_the_same_as_one_process(server: Server, tmp_path: Path, options: list[str]) -> None:
    alone = Run(server, tmp_path / "one", *COMPARABLE, *options).finish()
    together = Run(server, tmp_path / "two", *COMPARABLE, *options, TOGETHER, processes=2).finish()
    one, two = alone["callbacks"], together["callbacks"]
    gaps = {}
    for name in ("index", "epoch", "epochs_in_all", "bad_epochs", "finished"):
        assert one["CascadeTraining"][name] == two["CascadeTraining"][name]
    assert alone["global_step"] == together["global_step"]
    for when in ("before", "after"):
        values = alone["evaluation"][when], together["evaluation"][when]
        assert values[0].keys() == values[1].keys()
        gaps[when] = max(abs(values[0][key] - values[1][key]) for key in values[0])
    temperatures = alone["state_dict"]["temperatures"] - together["state_dict"]["temperatures"]
    gaps["temperatures"] = float(temperatures.abs().max())
    print(f"\n{options}: {gaps}")
    assert gaps.pop("temperatures") <= 1e-3
    assert max(gaps.values()) <= 1e-5


def test_equal_weights_after_every_stage(server: Server, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run", "--trainer.callbacks+=helpers.toy.Fingerprint", processes=2)
    run.finish()
    ranks = [(run.folder / f"rank{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    assert [line.split()[0] for line in ranks[0][::2]] == ["0", "0", "1", "1", "2", "2", "2"]
    assert len(set(ranks[0])) >= 8  # after each epoch, and after calibration


def test_fewer_validation_samples_than_processes(server: Server, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run", "--data.validation=1", processes=2)
    codes, _ = run.start()
    assert set(codes) <= {1, 2} and 2 in codes
    assert "error: there are 1 rows to validate or test on and 2 processes" in run.log
    assert "Traceback" not in run.log


def test_the_folder_of_another_run_ends_both_processes(server: Server, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run", processes=2)
    with locked_by_another_process(run.folder):
        codes, _ = run.start()
    assert set(codes) <= {1, 2} and 2 in codes
    assert "in use by another run (process " in run.log
    assert "Traceback" not in run.log
    run.finish()
    assert not (run.folder / "run.lock").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_an_error(server: Server, two: Whole, tmp_path: Path, rank: int) -> None:
    run = Run(server, tmp_path / "run", processes=2)
    codes, seconds = run.strike(Moment("before [Callback]CascadeTraining.on_train_batch_start", 15, rank))
    assert codes[rank] == -9
    assert codes[1 - rank] == 1
    assert seconds < GRACE
    assert "error: another process of this run has ended" in run.log
    assert "--ckpt_path last" in run.log
    assert "Traceback" not in run.log
    assert same(run.finish(), two.result)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_resuming_with_another_number_of_processes(server: Server, tmp_path: Path, before: int, after: int) -> None:
    """With equally many samples per step only rounding changes."""
    options = [*COMPARABLE, "--cascade.max_epochs=2", "--trainer.precision=64-true"]
    together = {1: [], 2: [TOGETHER]}
    expected = Run(server, tmp_path / "whole", *options).finish()
    first = Run(server, tmp_path / "run", *options, *together[before], processes=before)
    first.strike(Moment("before [Callback]CascadeTraining.on_train_batch_start", 18))
    assert first.place == "stage 2, epoch 1, step 16"
    second = Run(server, tmp_path / "run", *options, *together[after], processes=after)
    result = second.finish()
    assert "a step takes" not in second.log
    assert result["global_step"] == expected["global_step"]
    for name, value in result["state_dict"].items():
        assert (value.double() - expected["state_dict"][name].double()).abs().max() < 1e-9, name


def test_resuming_with_other_samples_per_step_warns(server: Server, tmp_path: Path) -> None:
    first = Run(server, tmp_path / "run", processes=1)
    first.strike(Moment("before [Callback]CascadeTraining.on_train_batch_start", 18))
    second = Run(server, tmp_path / "run", "--data.batch_size=16", processes=2)
    second.finish()
    assert second.log.count("warning: a step takes 32 rows") == 1
    assert "in the checkpoint it was 16" in second.log

"""A backbone that is split over two processes: the bits of ``ddp``, killed or not, and half the weights in each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from faults.conftest import Whole
from faults.runs import COMMAND_ENVIRONMENT, Moment, Run
from helpers.killed_run import Server, free_port
from helpers.witnesses import same

pytestmark = pytest.mark.slow

SPLIT = "--trainer.strategy=sharded_backbone"
STEP = "before [Callback]CascadeTraining.on_train_batch_start"


def test_the_bits_of_ddp(server: Server, two: Whole, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run", SPLIT, "--trainer.callbacks+=faults.parts.Parts", processes=2)
    assert same(run.finish(), two.result)
    whole, *parts = ([int(n) for n in (run.folder / f"{name}.txt").read_text().split()] for name in ("all", "0", "1"))
    assert [sum(each) for each in zip(*parts, strict=True)] == whole
    assert all(0.4 < part / n < 0.6 for part, n in zip(parts[0], whole, strict=True))


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        pytest.param(Moment(STEP, 18), SPLIT, id="within an epoch"),
        pytest.param(Moment(STEP, 31, rank=1), SPLIT, id="at the beginning of an epoch, the other process"),
        pytest.param(Moment("before [Callback]TemperatureScaling.on_train_end"), SPLIT, id="in calibration"),
        pytest.param(Moment(STEP, 18), "--trainer.strategy=ddp", id="then whole in each process"),
    ],
)
def test_killed(server: Server, two: Whole, tmp_path: Path, moment: Moment, then: str) -> None:
    first = Run(server, tmp_path / "run", SPLIT, processes=2)
    first.strike(moment)
    assert "Traceback" not in first.log
    assert same(Run(server, tmp_path / "run", then, processes=2).finish(), two.result)


def test_a_run_in_two_goes_on_in_one(server: Server, tmp_path: Path) -> None:
    Run(server, tmp_path / "run", SPLIT, processes=2).strike(Moment(STEP, 18))
    result = Run(server, tmp_path / "run").finish()
    assert result["callbacks"]["CascadeTraining"]["finished"]


def test_processes_that_start_from_other_weights(tmp_path: Path) -> None:
    """As with ``ddp`` all take those of the first."""
    environment, script = {**os.environ, **COMMAND_ENVIRONMENT}, Path(__file__).with_name("unlike.py")
    for strategy in ("ddp", "sharded_backbone"):
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
        subprocess.run(
            [sys.executable, *torchrun, script, tmp_path, strategy], env=environment, check=True, timeout=200
        )
    whole, split = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("ddp", "sharded_backbone"))
    assert same(dict(whole["state_dict"]), dict(split["state_dict"]))

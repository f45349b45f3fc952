"""A run that gets SIGTERM saves a checkpoint, exits cleanly, and resumes bit by bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import COMMAND_ENVIRONMENT, Moment, Run
from helpers.killed_run import Server
from helpers.witnesses import same

pytestmark = pytest.mark.slow

CASCADE = "before [Callback]CascadeTraining"
STEP = f"{CASCADE}.on_before_optimizer_step"
VALIDATION = "before [LightningModule]NestedLightningModule.on_validation_epoch_end"
# The moment of the signal, and where the run then resumes.
MOMENTS = {
    "before the first step": (f"{CASCADE}.on_sanity_check_end", 1, "from the beginning"),
    "in a step": (STEP, 8, "stage 1, epoch 2, step 8"),
    "in a step that saves no checkpoint": (STEP, 9, "stage 1, epoch 2, step 9"),
    "in the last step of an epoch": (STEP, 6, "stage 1, epoch 2, step 6"),
    "in a validation": (VALIDATION, 3, "stage 2, epoch 1, step 12"),
    "at the end of a stage": (f"{CASCADE}.on_train_epoch_end", 4, "stage 3, epoch 1, step 24"),
    "while a checkpoint is written": ("within torch.save", 2, "stage 1, epoch 2, step 6"),
}


@pytest.mark.parametrize("when", MOMENTS)
def test_one_process(server: Server, one: Whole, tmp_path: Path, when: str) -> None:
    at, count, place = MOMENTS[when]
    run = Run(server, tmp_path / "run")
    codes, _ = run.strike(Moment(at, count), signal.SIGTERM)
    assert codes == [143], run.log
    assert run.place == place
    assert "Traceback" not in run.log
    assert ("last.ckpt is saved. To resume: python" in run.log) == (when != "before the first step")
    assert same(run.finish(), one.result)


def test_calibration_ends_and_is_repeated(server: Server, one: Whole, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run")
    codes, _ = run.strike(Moment("before [Callback]TemperatureScaling.on_train_end"), signal.SIGTERM)
    assert codes == [143], run.log
    assert "last.ckpt is saved. To resume: python" in run.log
    assert same(run.finish(), one.result)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_processes(server: Server, two: Whole, tmp_path: Path, rank: int) -> None:
    run = Run(server, tmp_path / "run", processes=2)
    codes, _ = run.strike(Moment(STEP, 9, rank), signal.SIGTERM)
    assert codes == [143, 0], run.log
    assert run.place == "stage 1, epoch 2, step 9"
    assert same(run.finish(), two.result)


def test_the_signal_of_slurm(server: Server, one: Whole, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run")
    job = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "digits", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}
    job |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", "SLURM_NTASKS_PER_NODE": "1"}
    codes, _ = run.strike(Moment(STEP, 9), signal.SIGUSR1, environment=job)
    assert codes == [143], run.log
    assert run.place == "stage 1, epoch 2, step 9"
    assert not list(run.folder.glob("hpc_ckpt*"))  # Lightning's own checkpoint
    assert same(run.finish(), one.result)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_processes_that_lightning_starts(server: Server, tmp_path: Path, signum: int) -> None:
    """Start the command as a user does; send it SIGTERM, or kill one of its processes."""
    run = Run(server, tmp_path / "run", "--cascade.max_epochs=50", processes=2)
    with run.log_file.open("w") as log:
        command = [sys.executable, "-m", "nested_lightning", *run.args]
        main = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **COMMAND_ENVIRONMENT})
    try:
        while "epoch 2" not in run.log:
            assert main.poll() is None, run.log
            time.sleep(0.1)
        other = int(Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()[0])
        os.kill(main.pid if signum == signal.SIGTERM else other, signum)
        code = main.wait(timeout=30)
    finally:
        main.kill()
    if signum == signal.SIGTERM:
        assert code == 143
        assert "error" not in run.log
    else:
        assert code in (1, -9)  # -9: Lightning noticed it first
        assert "another process of this run has ended" in run.log or "Forcefully terminating" in run.log
    assert "Traceback" not in run.log
    codes, _ = run.start("--cascade.max_epochs=2")
    assert codes == [0, 0]

"""Every launcher of docs/scaling.md that runs on one machine gives the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import COMMAND_ENVIRONMENT, Run
from helpers.killed_run import Server, free_port
from helpers.witnesses import same

pytestmark = pytest.mark.slow

SLURM = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "digits", "SLURM_JOB_ID": "7"}
SLURM |= {"SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0"}


def commands(launcher: str, args: list[str]) -> list[tuple[list[str], dict[str, str]]]:
    """Return the commands to start at the same time, each with its environment."""
    port = free_port()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--master-addr=127.0.0.1", f"--master-port={port}"]
    program = ["-m", "nested_lightning", *args]
    if launcher == "torchrun":
        return [([*torchrun, "--nproc-per-node=2", *program], {})]
    if launcher == "two nodes":
        program += ["--trainer.devices=1", "--trainer.num_nodes=2"]
        return [([*torchrun, "--nnodes=2", f"--node-rank={i}", "--nproc-per-node=1", *program], {}) for i in (0, 1)]
    place = {**SLURM, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [([sys.executable, *program], {**place, "SLURM_PROCID": f"{i}", "SLURM_LOCALID": f"{i}"}) for i in (0, 1)]


@pytest.mark.parametrize("launcher", ["torchrun", "two nodes", "SLURM"])
def test_launcher(server: Server, two: Whole, tmp_path: Path, launcher: str) -> None:
    run = Run(server, tmp_path / "run", processes=2)
    with run.log_file.open("w") as log:
        started = [
            subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **COMMAND_ENVIRONMENT, **environment})
            for command, environment in commands(launcher, run.args)
        ]
        codes = [process.wait(timeout=200) for process in started]
    assert set(codes) == {0}, run.log
    assert same(run.result(), two.result)

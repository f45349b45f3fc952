"""Run the command line in processes that get a signal after a time, or keys on a terminal.

As a script this is a server. It imports the package once, which takes seconds. For each line it reads, it forks a
process, or several that train together. The line is a JSON object: ``args`` of the command, file ``log`` for its
output, number of ``processes``, ``signal`` to send ``after`` some seconds to the process of a ``rank``,
``environment``, working ``folder``, and a ``module`` to run instead of the command line. The server prints their exit
codes (-9 after SIGKILL) and the seconds between the first and the last exit. With ``keys`` the command runs on a
terminal, and the keys are pressed when the text ``at`` appears. An alarm ends a process that hangs.
"""

import atexit
import json
import math
import os
import pty
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import datasets  # noqa: F401  imported now, not in every fork
import torch
from lightning.pytorch.utilities import rank_zero_only

from nested_lightning.cli.main import main

# Three stages of two epochs of six steps of 16 samples. Dropout and an augmentation draw random numbers in every step.
SMALL_RUN = [
    "--config=recipes/digits.yaml",
    "--data.budgets=[96,96,96]",
    "--data.augmentation=helpers.killed_run.Noise",
    "--model.backbone.init_args.channels=[4,8]",
    "--model.backbone.init_args.dropout=0.1",
    "--model.bottleneck_channels=8",
    "--cascade.max_epochs=2",
    "--rejection.steps=20",
    "--checkpoint.every_n_steps=4",
    "--trainer.accelerator=cpu",
    "--seed_everything=3",
    "--ckpt_path=last",
]


class Noise:
    """Augmentation that draws from torch's generator."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image + 0.05 * torch.randn(image.shape)


class Server:
    """Starts the script and sends it commands."""

    def __enter__(self) -> "Server":
        folders = Path(__file__).parents[1:3]  # of helpers, which options name, and of benchmarks
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), *map(str, folders))))
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        env.pop("WANDB_SERVICE", None)  # each command starts its own, as outside of tests
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def run(self, args: list[str], log: Path, **more: str) -> int:
        """Run a command in a new process and return its exit code."""
        return self.run_together(args, log, **more)[0][0]

    def run_together(self, args: list[str], log: Path, processes: int = 1, **more: Any) -> tuple[list[int], float]:
        """Run a command in processes that train together; return exit codes and seconds between their exits."""
        assert self.process.stdin
        assert self.process.stdout
        job = {"args": args, "log": str(log), "processes": processes, **more}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        codes, seconds = json.loads(self.process.stdout.readline())
        return codes, seconds


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        if "keys" in job:
            child, terminal = pty.fork()
            if child == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
                run_and_exit(job)
            press(terminal, job)
            print(json.dumps(wait([child], job)), flush=True)
            continue
        port = free_port()
        children = []
        for rank in range(job["processes"]):
            children.append(os.fork())
            if children[-1] == 0:
                if job["processes"] > 1:
                    join(rank, job["processes"], port)
                run_and_exit(job)
        print(json.dumps(wait(children, job)), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def join(rank: int, processes: int, port: int) -> None:
    """Set the environment of one of several processes of a run, as torchrun does."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": processes, "NODE_RANK": 0}
    os.environ.update({name: str(value) for name, value in {**place, "LOCAL_RANK": rank}.items()})
    rank_zero_only.rank = rank


LIMIT = 900  # seconds that a process may take
GRACE = 10.0  # seconds after the exit of one process after which the others are killed


def wait(children: list[int], job: dict[str, Any]) -> tuple[list[int], float]:
    """Send a signal if the job says so; return exit codes and the seconds between the first and the last exit."""
    strike = time.monotonic() + job.get("after", math.inf)
    ends: dict[int, tuple[int, float]] = {}
    while len(ends) < len(children):
        time.sleep(0.005)
        for child in set(children) - ends.keys():
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                ends[child] = os.waitstatus_to_exitcode(status), time.monotonic()
        if time.monotonic() > strike:
            strike = math.inf
            if (struck := children[job.get("rank", 0)]) not in ends:
                os.kill(struck, job["signal"])
        if ends and time.monotonic() > min(when for _, when in ends.values()) + GRACE:
            for child in set(children) - ends.keys():
                os.kill(child, signal.SIGKILL)
    times = [when for _, when in ends.values()]
    return [ends[child][0] for child in children], max(times) - min(times)


def press(terminal: int, job: dict[str, Any]) -> None:
    """Press the keys once when the text appears on the terminal; write all output to the log."""
    seen, pressed = b"", False
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # on Linux when the process with the terminal ends
            part = b""
        if not part:
            break
        seen += part
        if not pressed and job["at"].encode() in seen:
            os.write(terminal, job["keys"].encode())
            pressed = True
    os.close(terminal)
    Path(job["log"]).write_bytes(seen)


def run_and_exit(job: dict[str, Any]) -> None:
    code = 1
    signal.alarm(LIMIT)
    os.environ.update(job.get("environment", {}))
    os.chdir(job.get("folder", "."))
    try:
        if "keys" not in job:
            with open(job["log"], "a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
        if "module" in job:
            sys.argv = [job["module"], *job["args"]]
            runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        else:
            main(job["args"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # a fork does not run them; W&B writes its data there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

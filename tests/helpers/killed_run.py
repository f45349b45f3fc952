"""Runs of the command line that are killed at a chosen call or after a time, or get keys pressed on a terminal.

As a script it is a server: it imports the package once, which takes seconds, and forks a process, or several that
train together, for each line it reads: a JSON object of ``args``, the file ``log`` for what the command prints, the
number of ``processes``, the ``signal`` to send ``after`` so many seconds to the one of a ``rank``, and an
``environment``. It answers with their exit codes, -9 after a SIGKILL, and the seconds from the first end of one to the
last. With ``keys`` the command runs on a terminal, where these are pressed when ``at`` is seen. An alarm ends a process
that hangs, so that none outlives the tests.
"""

import atexit
import json
import math
import os
import pty
import pydoc
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
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from nested_lightning.cli.main import main

# Three stages of two epochs of six steps, with 16 rows a step. Dropout and an augmentation draw random numbers in each.
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


class Kill(Callback):
    """SIGKILL this process at the ``count``-th call of a function or method, named by its import path.

    Before that it waits for ``wait`` seconds, in which other processes may do what they do from time to time.
    """

    def __init__(self, call: str, count: int, wait: float = 0.0) -> None:
        owner, _, name = call.rpartition(".")
        place: Any = pydoc.locate(owner)
        original = getattr(place, name)
        self.calls = 0

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == count:
                time.sleep(wait)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(place, name, counted)


class Noise:
    """An augmentation that draws from torch's generator."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image + 0.05 * torch.randn(image.shape)


class Server:
    """The other end of the script, for a test."""

    def __enter__(self) -> "Server":
        tests = str(Path(__file__).parents[1])  # where options find classes such as helpers.killed_run.Noise
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), tests)))
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        env.pop("WANDB_SERVICE", None)  # each command starts its own, as it would outside of tests
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def run(self, args: list[str], log: Path, **terminal: str) -> int:
        """Run the command line in a new process and return its exit code; ``keys`` and ``at``: see above."""
        return self.run_together(args, log, **terminal)[0][0]

    def run_together(self, args: list[str], log: Path, processes: int = 1, **more: Any) -> tuple[list[int], float]:
        """Run it in processes that train together; return their exit codes and the seconds between their ends."""
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
    """Be one of several processes of a run, as torchrun would have started it."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": processes, "NODE_RANK": 0}
    os.environ.update({name: str(value) for name, value in {**place, "LOCAL_RANK": rank}.items()})
    rank_zero_only.rank = rank


LIMIT = 900
"""Seconds that a process may take."""
GRACE = 10.0
"""Seconds after the end of one process in which the others must have noticed; then they are killed."""


def wait(children: list[int], job: dict[str, Any]) -> tuple[list[int], float]:
    """Return the exit codes of processes, after sending one of them a signal, and the seconds between their ends."""
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
    """Press the keys once, when the text is on the terminal, and keep what comes there in the log."""
    seen, pressed = b"", False
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # on Linux the end of the process that has the terminal
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
    try:
        if "keys" not in job:
            with open(job["log"], "a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
        main(job["args"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # as at the end of a process that is not a fork: W&B writes what it holds
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

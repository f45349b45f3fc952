"""Runs of the command line that are killed at a chosen call, or get keys pressed on a terminal.

As a script it is a server: it imports the package once, which takes seconds, and forks a process for each line it
reads: a JSON object of ``args`` and of the file ``log`` for what the command prints. It answers with the exit code,
which is -9 after a SIGKILL. With ``keys`` the command runs on a terminal, where these are pressed when ``at`` is seen.
"""

import atexit
import json
import os
import pty
import pydoc
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import datasets  # noqa: F401  imported now, not in every fork
import torch
from lightning.pytorch.callbacks import Callback

from nested_lightning.cli import main


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
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        env.pop("WANDB_SERVICE", None)  # each command starts its own, as it would outside of tests
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def run(self, args: list[str], log: Path, **terminal: str) -> int:
        """Run the command line in a new process and return its exit code; ``keys`` and ``at``: see above."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"args": args, "log": str(log), **terminal}), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        child, terminal = pty.fork() if "keys" in job else (os.fork(), None)
        if child == 0:
            run_and_exit(job)
        if terminal is not None:
            press(terminal, job)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


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

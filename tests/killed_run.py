"""Runs of the command line that are killed at a chosen call.

As a script it is a server: it imports the package once (seconds) and forks a process for each line it reads, a
JSON object of ``args`` and the file ``log`` for what the command prints; it answers with the exit code, -9 after a
SIGKILL.
"""

import json
import os
import pydoc
import signal
import sys
import traceback
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from nested_lightning import HierarchicalDataModule
from nested_lightning.cli import main


class Kill(Callback):
    """SIGKILL this process at the ``count``-th call of a function or method, named by its import path."""

    def __init__(self, call: str, count: int) -> None:
        owner, _, name = call.rpartition(".")
        place: Any = pydoc.locate(owner)
        original = getattr(place, name)
        self.calls = 0

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(place, name, counted)


class NoisyData(HierarchicalDataModule):
    """The data module with an augmentation that draws from torch's generator."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(augmentation=lambda x: x + 0.05 * torch.randn(x.shape), **kwargs)


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with open(job["log"], "a") as log:
                    os.dup2(log.fileno(), 1)
                    os.dup2(log.fileno(), 2)
                main(job["args"], data_class=NoisyData)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()

"""Moments at which a run can be killed: before and after everything Lightning does, and while a file is written."""

import io
import json
import os
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler


class Moments(Profiler):
    """Counts the moments of this process, and at one of them sends a signal to it or fills a disk.

    Lightning calls a profiler at every hook of every callback, module, data module and strategy, and in the loops.
    Writing a checkpoint (its first half, the rest, the flush) and renaming a file are added to these.

    Args:
        record: File for the counts of moments by name, written when the run is complete.
        at: Name of a moment.
        count: Number of the moment of this name at which the signal is sent, from 1.
        rank: Rank of the process that gets it.
        signum: The signal.
        fill: File to write until its disk is full, instead of sending the signal.
        wait: Seconds to wait before the signal, for what other processes do from time to time.
    """

    def __init__(
        self,
        record: str | None = None,
        at: str = "",
        count: int = 0,
        rank: int = 0,
        signum: int = 9,
        fill: str | None = None,
        wait: float = 0.0,
    ) -> None:
        super().__init__()
        self._record, self._at, self._signum, self._fill, self._wait = record, (at, count), signum, fill, wait
        self._here = int(os.environ.get("LOCAL_RANK", 0)) == rank
        self._passed: Counter[str] = Counter()
        torch.save = self._saving(torch.save)
        os.fsync = self._around("os.fsync", os.fsync)
        os.replace = self._around("os.replace", os.replace)

    def start(self, action_name: str) -> None:
        self._pass(f"before {_without_options(action_name)}")

    def stop(self, action_name: str) -> None:
        self._pass(f"after {_without_options(action_name)}")

    def teardown(self, stage: str | None) -> None:
        if self._record and self._here:
            Path(self._record).write_text(json.dumps(self._passed))

    def _pass(self, moment: str) -> None:
        self._passed[moment] += 1
        if not self._here or (moment, self._passed[moment]) != self._at:
            return
        if self._fill is None:
            time.sleep(self._wait)
            os.kill(os.getpid(), self._signum)
            return
        with suppress(OSError), open(self._fill, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1000))

    def _around(self, name: str, function: Any) -> Any:
        def around(*args: Any, **kwargs: Any) -> Any:
            self._pass(f"before {name}")
            result = function(*args, **kwargs)
            self._pass(f"after {name}")
            return result

        return around

    def _saving(self, save: Any) -> Any:
        def in_two_parts(checkpoint: Any, file: Any, **options: Any) -> None:
            if isinstance(file, io.BytesIO):  # sent to another process
                return save(checkpoint, file, **options)
            self._pass("before torch.save")
            content = io.BytesIO()
            save(checkpoint, content)
            half = len(content.getvalue()) // 2
            file.write(content.getvalue()[:half])
            file.flush()
            self._pass("within torch.save")
            file.write(content.getvalue()[half:])
            self._pass("after torch.save")
            return None

        return in_two_parts


def _without_options(action: str) -> str:
    """Remove the options that Lightning appends to the name of a checkpoint callback."""
    return re.sub(r"\{.*\}", "", action)

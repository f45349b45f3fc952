"""Small runs of the command line on the digits that can be killed and compared."""

import json
import random
import re
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from helpers.killed_run import SMALL_RUN, Server
from helpers.toy import read_metrics

OPTIONS = [*SMALL_RUN, "--figures.draw=never"]

COMMAND_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
"""For commands in a process of their own, whose options name classes in the folder of the tests."""

MILLISECONDS = "milliseconds"


class Moment(NamedTuple):
    """When to send a signal to the process of a rank: at the ``count``-th moment ``at``, or after milliseconds."""

    at: str
    count: int = 1
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.at}: {self.count}" + (f", rank {self.rank}" if self.rank else "")


class Run:
    """A run in its own folder, in one or two processes, with 16 samples per step in total."""

    def __init__(self, server: Server, folder: Path, *options: str, processes: int = 1) -> None:
        self.server, self.folder, self.processes = server, folder, processes
        self.log_file = folder / "log"
        batch = f"--data.batch_size={16 // processes}"
        together = [f"--trainer.devices={processes}", "--trainer.strategy=ddp"] if processes > 1 else []
        self.args = ["fit", *OPTIONS, batch, f"--trainer.default_root_dir={folder}", *together, *options]
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *more: str, **job: Any) -> tuple[list[int], float]:
        """Start or resume the run; return the exit codes and the seconds between the first and the last exit."""
        return self.server.run_together([*self.args, *more], self.log_file, self.processes, **job)

    def strike(self, moment: Moment, signum: int = signal.SIGKILL, **job: Any) -> tuple[list[int], float]:
        """Start or resume it and send a signal at a moment; return the same."""
        if moment.at == MILLISECONDS:
            return self.start(after=moment.count / 1000, rank=moment.rank, signal=signum, **job)
        return self.start(*at_moment({**moment._asdict(), "signum": int(signum)}), **job)

    def fill_disk(self, moment: Moment, file: Path) -> tuple[list[int], float]:
        """Start or resume it and fill the disk of ``file`` at a moment; return the same."""
        return self.start(*at_moment({**moment._asdict(), "fill": str(file)}))

    def finish(self) -> dict[str, Any]:
        """Start or resume it, let it end, and return its result."""
        codes, _ = self.start()
        assert codes == [0] * self.processes, self.log
        return self.result()

    def moments(self) -> dict[str, int]:
        """Run it and return how often each moment occurs, and the milliseconds that it takes."""
        record, began = self.folder / "moments.json", time.monotonic()
        codes, _ = self.start(*at_moment({"record": str(record)}))
        assert codes == [0] * self.processes, self.log
        return {**json.loads(record.read_text()), MILLISECONDS: int(1000 * (time.monotonic() - began))}

    def checkpoint(self, name: str) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)

    def result(self) -> dict[str, Any]:
        """Return weights, temperatures, metrics, position, optimizer state and logged rows of the finished run."""
        final = self.checkpoint("final")
        callbacks = {name.partition("{")[0]: state for name, state in final["callbacks"].items()}
        callbacks.pop("RunCheckpoint")  # has paths
        callbacks["Figures"].pop("seconds")  # wall time
        kept = ("state_dict", "optimizer_states", "global_step", "epoch", "config", "evaluation")
        return {**{key: final[key] for key in kept}, "callbacks": callbacks, "rows": self.rows()}

    def rows(self) -> set[tuple[tuple[str, str], ...]]:
        """Return the logged rows; a row that a resumed run logged again counts once."""
        return {tuple((k, v) for k, v in sorted(row.items()) if v) for row in read_metrics(self.folder)}

    @property
    def place(self) -> str:
        """Where the run would resume: stage, epoch and step of its last checkpoint."""
        if not (self.folder / "checkpoints" / "last.ckpt").exists():
            return "from the beginning"
        last = self.checkpoint("last")
        cascade = last["callbacks"]["CascadeTraining"]
        return f"stage {cascade['index'] + 1}, epoch {cascade['epoch'] + 1}, step {last['global_step']}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()


KINDS = {
    "by the clock": MILLISECONDS,
    "while a file is written": r"torch\.save|os\.(fsync|replace)",
    "at the end of an epoch, a stage or the training": r"on_train_epoch_end|on_train_end|on_fit_end|teardown",
    "at any other hook": "",
}
"""Patterns of the names of moments by kind; the first that matches counts."""


def kind_of(name: str) -> str:
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))


def draw(moments: dict[str, int], chance: random.Random, processes: int = 1) -> Moment:
    """Draw a kind, then a name of it, then a count, so that rare moments are as likely as those of every batch."""
    kind = chance.choice(list(KINDS))
    name = chance.choice(sorted(name for name in moments if kind_of(name) == kind))
    return Moment(name, chance.randint(1, moments[name]), chance.randrange(processes))


def at_moment(options: dict[str, Any]) -> list[str]:
    """Return the options of a run with a :class:`faults.moments.Moments` of these arguments."""
    given = [f"--trainer.profiler.init_args.{name}={value}" for name, value in options.items()]
    return ["--trainer.profiler=faults.moments.Moments", *given]

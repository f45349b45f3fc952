"""Train and evaluate the runs that are missing, several at a time, and show the remaining time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.paper.experiments import Experiment
from nested_lightning.errors import NestedLightningError
from nested_lightning.utils.files import replacing


@dataclass(frozen=True)
class Workspace:
    """The folders of data and runs.

    Attributes:
        data: folder of the data sets.
        runs: folder of the runs.
        jobs: runs at a time, one thread each.
    """

    data: Path
    runs: Path
    jobs: int = 1


class RunError(NestedLightningError):
    """A run failed, or was trained with other options."""


def read_versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    names = ("torch", "lightning", "torchmetrics", "numpy", "scikit-learn")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


def complete(experiments: Iterable[Experiment], workspace: Workspace, measured: bool = True) -> None:
    """Train and evaluate the experiments that are not finished; interrupted runs resume from their last checkpoint.

    Args:
        experiments: what is needed.
        workspace: the folders.
        measured: whether their ``evaluation.json`` is needed.

    Raises:
        RunError: a run failed, or a finished one has other options than ``experiments.yaml``.
    """
    todo = [e for e in dict.fromkeys(experiments) if not is_complete(e, workspace, measured)]
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("remaining"), TimeRemainingColumn())
    console = Console(stderr=True)
    progress = Progress(TextColumn("{task.description}"), *columns, console=console, speed_estimate_period=1e5)
    with progress, ThreadPoolExecutor(workspace.jobs) as pool:
        bar = progress.add_task("runs", total=len(todo))
        futures = {pool.submit(_complete, e, workspace, measured): e for e in todo}
        try:
            for future in as_completed(futures):
                future.result()
                done = futures[future]
                progress.update(bar, advance=1, description=f"{done.dataset} {done.variant} {done.seed}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def is_complete(experiment: Experiment, workspace: Workspace, measured: bool = True) -> bool:
    """Return whether the run is trained, and evaluated if it must be.

    Raises:
        RunError: it was trained with other options.
    """
    folder = experiment.folder(workspace.runs)
    if not (folder / "run.json").exists():
        return False
    trained, wanted = read(folder / "run.json")["options"], experiment.options("{data}")
    if trained != wanted:
        raise RunError(
            f"{folder} was trained with the options {' '.join(trained)}, but experiments.yaml has {' '.join(wanted)}: "
            "move that folder away to train the run again"
        )
    return not measured or (folder / "evaluation.json").exists()


def read(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    with replacing(path) as beside:
        Path(beside).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _complete(experiment: Experiment, workspace: Workspace, measured: bool) -> None:
    folder = experiment.folder(workspace.runs)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "run.json").exists():
        resumed = (folder / "checkpoints" / "last.ckpt").exists()
        start = time.perf_counter()
        fit = ["nested_lightning", "fit", *experiment.options(workspace.data)]
        fit += ["--trainer.callbacks+", "nested_lightning.callbacks.StageWeights"]
        fit += ["--seed_everything", str(experiment.seed), "--trainer.default_root_dir", str(folder)]
        _call([*fit, "--ckpt_path", "last"], folder)
        seconds = None if resumed else round(time.perf_counter() - start)  # a resumed run has not measured its time
        # The recipes use a GPU if there is one.
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        made = {"options": experiment.options("{data}"), "seconds": seconds, "device": device}
        write(folder / "run.json", {**made, "versions": read_versions()})
    if measured:
        _call(["benchmarks.paper.evaluation", str(folder), experiment.test_source(workspace.data)], folder)


def _call(module: list[str], folder: Path) -> None:
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        command = [sys.executable, "-m", *module]
        code = subprocess.call(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if code:
        lines = (folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()
        raise RunError(f"the run in {folder} failed (exit code {code}), see log.txt there: {' '.join(lines[-3:])}")

"""Loggers of a run's folder: the default one, which writes ``metrics.csv``, and W&B's; pictures for any logger."""

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from nested_lightning.writing import replacing, writing

if TYPE_CHECKING:
    from PIL.Image import Image

_FLUSH = "x_transaction_log_flush_interval"
"""W&B's option for the seconds after which what was logged is on disk; without it a kill loses 15 seconds, or more."""


class RunCSVLogger(Logger):
    """Append every set of metrics to ``<save_dir>/metrics.csv``, one row each, with its ``step``.

    Lightning's ``CSVLogger`` makes the folder before the run is known to be possible, and deletes the rows there are
    when a run is resumed.

    Args:
        save_dir: the folder of the run; made with the first row. The command line always gives its own.
    """

    def __init__(self, save_dir: str | Path = ".") -> None:
        super().__init__()
        self._save_dir = os.fspath(save_dir)

    @property
    def name(self) -> str:
        """Nothing: the folder holds one run."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: see ``name``."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return self._save_dir

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self._save_dir, "metrics.csv")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Append the provenance of a start to ``provenance.yaml``; options are in ``config.yaml`` and checkpoints."""
        if "provenance" in params:
            path = os.path.join(self._save_dir, "provenance.yaml")
            with writing(path):
                os.makedirs(self._save_dir, exist_ok=True)
                with open(path, "a") as file:
                    file.write(yaml.safe_dump([params["provenance"]], sort_keys=False))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append a row; a new metric is a new column, empty in the rows above."""
        row = {"step": "" if step is None else step, **{name: float(value) for name, value in metrics.items()}}
        with writing(self.path):
            columns = self._columns()
            if new := [name for name in row if name not in columns]:
                columns = self._add_columns(columns, new)
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, columns).writerow(row)

    def _columns(self) -> list[str]:
        if not os.path.exists(self.path):
            return []
        _cut_incomplete_row(self.path)
        with open(self.path, newline="") as file:
            return next(csv.reader(file), [])

    def _add_columns(self, columns: list[str], new: list[str]) -> list[str]:
        """Write the file anew with more columns, beside the old one so that a kill leaves one of the two whole."""
        rows: list[dict[str, str]] = []
        if columns:
            with open(self.path, newline="") as file:
                rows = list(csv.DictReader(file))
        with replacing(self.path) as beside, open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns + new)
            writer.writeheader()
            writer.writerows(rows)
        return columns + new


def _cut_incomplete_row(path: str) -> None:
    """Remove what a process that was killed, or a full disk, has left of a row."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


class RunWandbLogger(WandbLogger):
    """Lightning's ``WandbLogger`` with one W&B run for everything that happens in one folder.

    A run that was killed and goes on, and a test of its checkpoint in the same folder, continue the W&B run there.

    Args:
        save_dir: the folder of the run; W&B writes into its folder ``wandb``. The command line always gives its own.
        project: where W&B puts the run.
        name: the run's name in W&B. None: that of the folder.
        id: of the W&B run. None: that of the folder, if there is one yet.
        **kwargs: those of ``WandbLogger`` and ``wandb.init``.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        project: str = "nested-lightning",
        name: str | None = None,
        id: str | None = None,
        **kwargs: Any,
    ) -> None:
        import wandb

        if kwargs.get("settings") is None and _FLUSH in wandb.Settings.model_fields:
            kwargs["settings"] = {_FLUSH: 1.0}
        name = name or Path(save_dir).absolute().name
        os.makedirs(save_dir, exist_ok=True)  # or else W&B writes somewhere else
        super().__init__(name=name, save_dir=save_dir, id=id or wandb_run_id(save_dir), project=project, **kwargs)


def wandb_run_id(save_dir: str | os.PathLike[str]) -> str | None:
    """Return the id of the newest W&B run in a folder, None if there is none.

    For a plain logger: ``WandbLogger(save_dir=folder, id=wandb_run_id(folder))``.
    """
    files = Path(save_dir).glob("wandb/*run-*-*/run-*.wandb")
    # The folders are named after the time of their beginning, as in offline-run-20270131_235959-ID.
    newest = max(files, key=lambda file: file.parent.name.partition("run-")[2], default=None)
    return None if newest is None else newest.stem.removeprefix("run-")


def keep_wandb_offline(loggers: Iterable[Any]) -> None:
    """Let W&B write to disk alone where the user has not configured it, instead of asking for an account."""
    if "WANDB_MODE" in os.environ or not any(isinstance(logger, WandbLogger) for logger in loggers):
        return
    if not wandb_account():
        import wandb

        wandb.setup(wandb.Settings(mode="offline"))


def wandb_account() -> bool:
    """Return whether the user has configured an account of W&B, without asking for one."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # a wandb that does not know ``prompt`` yet
        return wandb.api.api_key is not None


def log_picture(logger: Logger, key: str, picture: "Image", step: int) -> None:
    """Give a picture to a logger that takes pictures; do nothing with any other.

    Args:
        logger: W&B's, TensorBoard's or MLflow's.
        key: its name, with slashes between sections.
        picture: as MLflow's file, ``key`` with ``.png`` behind it.
        step: optimizer steps so far.
    """
    picture = picture.convert("RGB")
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [picture], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, np.asarray(picture), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, artifact_file=f"{key}.png")

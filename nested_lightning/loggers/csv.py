"""The default logger, which writes ``metrics.csv`` to the folder of the run."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from nested_lightning.utils.files import replacing, writing


class RunCSVLogger(Logger):
    """Append every set of metrics as a row, with its ``step``, to ``<save_dir>/metrics.csv``.

    Lightning's ``CSVLogger`` deletes the rows of a run that is resumed and makes the folder before anything is logged.
    A subclass would have to replace all its methods.

    Args:
        save_dir: the folder of the run, made when the first row is written.
    """

    name = version = ""  # the folder holds one run

    def __init__(self, save_dir: str | Path = ".") -> None:
        super().__init__()
        self._save_dir = os.fspath(save_dir)
        self.path = os.path.join(self._save_dir, "metrics.csv")

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return self._save_dir

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Append the provenance of this start to ``provenance.yaml``; options are in ``config.yaml``."""
        if "provenance" in params:
            path = os.path.join(self._save_dir, "provenance.yaml")
            with writing(path):
                os.makedirs(self._save_dir, exist_ok=True)
                with open(path, "a") as file:
                    file.write(yaml.safe_dump([params["provenance"]], sort_keys=False))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append a row; a new metric adds a column, which is empty in earlier rows."""
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
        """Rewrite the file with more columns; a kill leaves either the old or the new file."""
        rows: list[dict[str, str]] = []
        if columns:
            with open(self.path, newline="") as file:
                rows = list(csv.DictReader(file))
        with replacing(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns + new)
            writer.writeheader()
            writer.writerows(rows)
        return columns + new


def _cut_incomplete_row(path: str) -> None:
    """Remove the incomplete last row that a kill or a full disk may have left."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)

"""Open a source given by name, path or object as one :class:`Split` per split of the data."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nested_lightning.errors import DataError, suggestion
from nested_lightning.taxonomy.build import rows_in_words

if TYPE_CHECKING:
    import datasets

DIGITS = "digits"
_FORMATS = {
    ".parquet": ("parquet", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".arrow": ("arrow", {}),
}
_SPLIT_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}


@dataclass(frozen=True)
class Table:
    """The rows that one source has for one split."""

    source: str
    split: str
    rows: "datasets.Dataset"

    def where(self, rows: Iterable[int] | None = None) -> str:
        """Return the place of some rows in words, for messages."""
        place = f"split {self.split!r} of {self.source}"
        return place if rows is None else f"{rows_in_words(rows)} of {place}"


@dataclass(frozen=True)
class Split:
    """The rows of one split, from one source or several one after the other; numbered from 0 through all tables."""

    tables: tuple[Table, ...]

    def __len__(self) -> int:
        return sum(len(table.rows) for table in self.tables)

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns, in order of first appearance."""
        return list(dict.fromkeys(name for table in self.tables for name in table.rows.column_names))

    def where(self, rows: Iterable[int] | None = None) -> str:
        """Return the places of some rows in words, with their numbers in the tables they are from."""
        if rows is None:
            return " and ".join(table.where() for table in self.tables)
        ascending = torch.tensor(sorted(rows), dtype=torch.long)
        return "; ".join(table.where(numbers) for table, numbers in self.chunks(ascending, size=len(ascending)))

    def chunks(self, rows: Tensor, size: int = 256) -> Iterator[tuple[Table, list[int]]]:
        """Yield ascending ``rows`` in order, a few at a time, as row numbers of the table they are in."""
        start = 0
        for table in self.tables:
            stop = start + len(table.rows)
            for part in (rows[(rows >= start) & (rows < stop)] - start).split(size):
                if len(part):
                    yield table, part.tolist()
            start = stop

    def require(self, column: str, argument: str) -> None:
        """Raise a DataError naming the first table without a column, which ``argument`` asks for."""
        for table in self.tables:
            if column not in table.rows.column_names:
                raise Split((table,)).missing_column(column, argument)

    def missing_column(self, column: str, argument: str) -> DataError:
        """Return the error for a missing column, which ``argument`` asks for; it names the columns there are."""
        return DataError(
            f"{self.where()} has no column {column!r} ({argument}); its columns are "
            f"{', '.join(map(repr, self.columns))}.{suggestion(column, self.columns)} Set {argument} to one of them"
        )


def open_source(source: Any) -> dict[str, Split]:
    """Return the splits of a source by name; ``val``, ``valid`` and ``dev`` are called ``validation``.

    Args:
        source: ``"digits"``; a hub id; the path of a folder (parquet, csv, json or images in folders, or one
            written by ``save_to_disk``) or of a file; a ``datasets.Dataset`` or a ``pandas.DataFrame`` (taken as
            ``train``) or a ``DatasetDict``; a dict from split names to any of these; or a list of these, whose rows are
            put together.

    Raises:
        DataError: the source does not exist, cannot be read, or has no rows.
    """
    splits: dict[str, list[Table]] = {}
    for table in _tables(source):
        splits.setdefault(_SPLIT_ALIASES.get(table.split, table.split), []).append(table)
    opened = {name: Split(tuple(tables)) for name, tables in splits.items()}
    for split in opened.values():
        if not len(split):
            raise DataError(f"{split.where()} has no rows")
    return opened


def _tables(source: Any) -> list[Table]:
    import datasets
    import pandas as pd  # type: ignore[import-untyped]  # datasets requires it

    if isinstance(source, datasets.Dataset):
        return [Table("the given Dataset", "train", source)]
    if isinstance(source, pd.DataFrame):
        try:
            rows = datasets.Dataset.from_pandas(source, preserve_index=False)
        except (ValueError, TypeError) as error:  # cells of one column that have several types
            raise DataError(f"the given DataFrame cannot be read: {error}. Give each column one type") from error
        return [Table("the given DataFrame", "train", rows)]
    if isinstance(source, str | Path):
        return [Table(str(source), split, rows) for split, rows in _load(str(source)).items()]
    if isinstance(source, Mapping):
        return [table for split, part in source.items() for table in _as_split(str(split), _tables(part))]
    if isinstance(source, Sequence) and len(source):
        return [table for one in source for table in _tables(one)]
    raise DataError(
        f"a source cannot be a {type(source).__name__} ({str(source)[:60]!r}): give a hub id, the path of "
        "a folder or file, 'digits', a datasets.Dataset or DatasetDict (loaded without streaming), a "
        "pandas.DataFrame, a dict of these by split, or a list of these"
    )


def _as_split(name: str, tables: list[Table]) -> list[Table]:
    """Return the tables given for split ``name``: those of that split, or those of the only split there is."""
    same = [table for table in tables if table.split == name]
    if same or {table.split for table in tables} == {"train"}:
        return same or [replace(table, split=name) for table in tables]
    raise DataError(
        f"{tables[0].source} is given for the split {name!r}, but has the splits "
        f"{', '.join(dict.fromkeys(repr(table.split) for table in tables))}: name the file of this split"
    )


def _load(source: str) -> Mapping[str, "datasets.Dataset"]:
    """Load a source by name or path; any failure is one DataError."""
    import datasets

    if source == DIGITS:
        return {"train": _digits()}
    # Otherwise each local file opened would be reported to a download counter.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() not in _FORMATS:
        raise DataError(
            f"file {path} has an unknown format {path.suffix!r}: expected one of {', '.join(_FORMATS)}, "
            "or the folder of the images"
        )
    try:
        if path.is_file():
            kind, options = _FORMATS[path.suffix.lower()]
            loaded = datasets.load_dataset(kind, data_files=glob.escape(str(path)), **options)
        elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path) if path.is_dir() else source)
    except Exception as error:  # each reader that load_dataset calls has its own exceptions
        raise _unreadable(source, path, error) from error
    return {"train": loaded} if isinstance(loaded, datasets.Dataset) else loaded


def _unreadable(source: str, path: Path, error: Exception) -> DataError:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    reason = (str(root) or type(root).__name__).strip().splitlines()[0].rstrip(".")
    if not path.exists():
        return DataError(
            f"source {source!r} is not a file or folder here (looked for {os.path.abspath(path)}), and could not be "
            f"loaded from the Hugging Face hub either: {reason}. Correct the path; for a hub id, check its spelling "
            "and the network, or give a local folder with the same data"
        )
    if path.is_dir() and glob.has_magic(str(path.absolute())):
        return DataError(
            f"source {source!r} cannot be read, as [, ], * and ? in the path of a folder mean patterns to the library "
            f"that reads it ({reason}): rename the folder, or give its files one by one"
        )
    broken = [p for p in sorted(path.rglob("*.parquet")) if not _is_parquet(p)] if path.is_dir() else [path]
    what = f"{source!r}: file {broken[0]}" if broken else repr(source)
    return DataError(f"source {what} cannot be read: {reason}. Replace the file, or check its format")


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" and path.stat().st_size >= 12 and file.seek(-4, 2) > 0 and file.read() == b"PAR1"


def _digits() -> "datasets.Dataset":
    """Return scikit-learn's 1,797 digits, 8x8 grey; their values 0..16 are scaled to 0..255."""
    import datasets
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    return datasets.Dataset.from_dict(
        {"image": [Image.fromarray(image) for image in pixels], "label": labels.tolist()},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}),
    )

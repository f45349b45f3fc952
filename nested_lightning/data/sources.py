"""Opening a source: from a name, path or object to one :class:`Split` per split of the data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nested_lightning.errors import DataError, suggestion

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

    def where(self, row: int | None = None) -> str:
        """Return the place in words, for messages."""
        place = f"split {self.split!r} of {self.source}"
        return place if row is None else f"row {row} of {place}"


@dataclass(frozen=True)
class Split:
    """The rows of one split, from one source or several one after the other.

    Rows are numbered from 0 through all tables.
    """

    tables: tuple[Table, ...]

    def __len__(self) -> int:
        return sum(len(table.rows) for table in self.tables)

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns, in order of first appearance."""
        return list(dict.fromkeys(name for table in self.tables for name in table.rows.column_names))

    def where(self, row: int | None = None) -> str:
        """Return the place of a row in words, with its number in the table it is from."""
        if row is None:
            return " and ".join(table.where() for table in self.tables)
        for table in self.tables:
            if row < len(table.rows):
                return table.where(row)
            row -= len(table.rows)
        raise IndexError(row)

    def chunks(self, rows: Tensor, size: int = 256) -> Iterator[tuple[Table, list[int]]]:
        """Yield ascending ``rows`` in order, a few at a time, as row numbers of the table they are in."""
        start = 0
        for table in self.tables:
            stop = start + len(table.rows)
            for part in (rows[(rows >= start) & (rows < stop)] - start).split(size):
                if len(part):
                    yield table, part.tolist()
            start = stop

    def missing_column(self, column: str, option: str) -> DataError:
        """Return the error for a column that is not there, naming those that are."""
        return DataError(
            f"{self.where()} has no column {column!r} ({option}); its columns are "
            f"{', '.join(map(repr, self.columns))}.{suggestion(column, self.columns)} "
            f"Set {option} to one of them"
        )


def open_source(source: Any) -> dict[str, Split]:
    """Return the splits of a source by name; ``val``, ``valid`` and ``dev`` are called ``validation``.

    Args:
        source: ``"digits"``; a hub id; the path of a folder (parquet, csv, json or images in folders, or one
            written by ``save_to_disk``) or of a file; a ``datasets.Dataset`` (taken as ``train``) or
            ``DatasetDict``; a dict from split names to any of these; a list of these, whose rows make up one
            problem.

    Raises:
        DataError: the source does not exist, cannot be read, or has no rows.
    """
    tables = _tables(source)
    splits: dict[str, list[Table]] = {}
    for table in tables:
        splits.setdefault(_SPLIT_ALIASES.get(table.split, table.split), []).append(table)
    opened = {name: Split(tuple(parts)) for name, parts in splits.items()}
    for split in opened.values():
        if not len(split):
            raise DataError(f"{split.where()} has no rows")
    return opened


def _tables(source: Any) -> list[Table]:
    import datasets

    if isinstance(source, datasets.Dataset):
        return [Table("the given Dataset", "train", source)]
    if isinstance(source, str | Path):
        return [Table(str(source), split, rows) for split, rows in _load(str(source)).items()]
    if isinstance(source, Mapping):
        return [table for split, part in source.items() for table in _as_split(str(split), _tables(part))]
    if isinstance(source, Sequence) and len(source):
        return [table for one in source for table in _tables(one)]
    raise DataError(
        f"data.source cannot be a {type(source).__name__} ({str(source)[:60]!r}): give a hub id, the path of "
        "a folder or file, 'digits', a datasets.Dataset or DatasetDict (loaded without streaming), a dict of "
        "these by split, or a list of these"
    )


def _as_split(name: str, tables: list[Table]) -> list[Table]:
    """Return the tables given for split ``name``: of that split, or of the only one there is."""
    same = [table for table in tables if table.split == name]
    if same or {table.split for table in tables} == {"train"}:
        return same or [replace(table, split=name) for table in tables]
    raise DataError(
        f"{tables[0].source} is given for the split {name!r}, but has the splits "
        f"{', '.join(dict.fromkeys(repr(table.split) for table in tables))}: name the file of this split"
    )


def _load(source: str) -> dict[str, "datasets.Dataset"]:
    """Load by name or path with every failure told in one message."""
    import datasets

    if source == DIGITS:
        return {"train": _digits()}
    # Else each local file opened would be reported to a counter of downloads.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    path = Path(source).expanduser()
    try:
        if path.is_file():
            kind, options = _file_format(path)
            loaded = datasets.load_dataset(kind, data_files=str(path), **options)
        elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path) if path.is_dir() else source)
    except DataError:
        raise
    except Exception as error:  # every reader behind load_dataset has exceptions of its own
        raise _unreadable(source, path, error) from error
    return {"train": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def _file_format(path: Path) -> tuple[str, dict[str, str]]:
    if path.suffix.lower() not in _FORMATS:
        raise DataError(
            f"file {path} has an unknown format {path.suffix!r}: expected one of {', '.join(_FORMATS)}, "
            "or the folder of the images"
        )
    return _FORMATS[path.suffix.lower()]


def _unreadable(source: str, path: Path, error: Exception) -> DataError:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    reason = (str(root) or type(root).__name__).strip().splitlines()[0].rstrip(".")
    if not path.exists():
        return DataError(
            f"data.source {source!r} is not a file or folder here (looked for {os.path.abspath(path)}), and "
            f"could not be had from the Hugging Face hub either: {reason}. Correct the path; or for a hub id check "
            "its spelling and the network, or read the same data from a folder of yours: --data.source FOLDER"
        )
    broken = [p for p in sorted(path.rglob("*.parquet")) if not _is_parquet(p)] if path.is_dir() else [path]
    what = f"{source!r}: file {broken[0]}" if broken else repr(source)
    return DataError(f"data.source {what} cannot be read: {reason}. Replace the file, or check its format")


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" and path.stat().st_size >= 12 and file.seek(-4, 2) > 0 and file.read() == b"PAR1"


def _digits() -> "datasets.Dataset":
    """Return scikit-learn's 1,797 digits, 8x8 grey; their 0..16 is spread over 0..255."""
    import datasets
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(digit) for digit in range(10)])}
    )
    columns = {"image": [Image.fromarray(image) for image in pixels], "label": labels.tolist()}
    return datasets.Dataset.from_dict(columns, features=features)

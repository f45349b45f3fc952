"""Open a source given by name, path or object as one :class:`Split` per split of the data."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from nested_lightning.data.digits import load_digits
from nested_lightning.data.folders import FolderRows, read_folder
from nested_lightning.data.reading import READING, ReadOptions
from nested_lightning.data.splits import SPLITS, canonical_names
from nested_lightning.errors import DataError, examples, mistake_behind, rows_in_words, suggestion

if TYPE_CHECKING:
    import datasets

DIGITS = "digits"
_FORMATS = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow")


@dataclass(frozen=True)
class Table:
    """The rows that one source has for one split.

    Attributes:
        source: how messages call the source.
        split: name of the split.
        rows: the rows.
        files: paths of the local files they were read from.
        folder_labels: whether the column ``label`` holds the paths of the folders that images are in.
    """

    source: str
    split: str
    rows: "datasets.Dataset"
    files: tuple[str, ...] = field(default=(), compare=False)
    folder_labels: bool = False

    @property
    def is_untyped(self) -> bool:
        """Whether the rows come from a file without types, in which numbers are text."""
        return bool(self.rows.info.builder_name == "tables")  # named after its module

    def where(self, rows: Iterable[int] | None = None) -> str:
        """Return the place of some rows in words, for messages, with the files of images."""
        place = f"split {self.split!r} of {self.source}"
        if rows is None:
            return place
        numbers = list(rows)
        files = self.files if len(self.files) == len(self.rows) and self.files != (self.source,) else ()
        return f"{rows_in_words(numbers)} of {place}" + (
            f" ({examples(files[row] for row in numbers)})" if files else ""
        )


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


def open_source(source: Any, reading: ReadOptions = READING) -> dict[str, Split]:
    """Return the splits of a source by name: ``train``, ``validation``, ``test``, ``predict``, or a name of its own.

    Args:
        source: ``"digits"``; a hub id; the path of a folder (tables, images, see
            :func:`~nested_lightning.data.folders.read_folder`, or one written by ``save_to_disk``) or of a file; a
            ``datasets.Dataset`` or ``pandas.DataFrame`` (taken as ``train``) or ``DatasetDict``; a dict from split
            names to any of these; or a list of these, whose rows are put together. Alternative names of splits are in
            :data:`~nested_lightning.data.splits.SPLITS`, in upper or lower case.
        reading: how CSV, TSV and JSON files are read; their columns are text until they are used as numbers.

    Raises:
        DataError: the source does not exist, cannot be read, or has no rows.
    """
    tables = _tables(source, reading)
    opened = {
        name: Split(tuple(t for t in tables if t.split == name)) for name in dict.fromkeys(t.split for t in tables)
    }
    for table in tables:
        if table.rows.format["type"] == "custom":
            raise DataError(
                f"{table.where()} has a transform of its own (with_transform or set_transform), which would not be "
                "applied: give it as data.transform or data.augmentation, or apply it once with map"
            )
    for split in opened.values():
        if not len(split):
            raise DataError(f"{split.where()} has no rows")
    unused = [f"{name!r} ({len(split)} rows)" for name, split in opened.items() if name not in SPLITS]
    if unused and len(opened) > 1:
        rank_zero_warn(f"only the splits {', '.join(SPLITS)} are used, not {', '.join(unused)} of {tables[0].source}")
    _warn_of_shared_files(opened)
    _say_if_one_class(tables)
    return opened


def _warn_of_shared_files(splits: Mapping[str, Split]) -> None:
    """Warn of files that are in two splits, links included: their samples are not new to a trained model."""
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for name, split in splits.items() if len(splits) > 1 else ():
        for file in {file for table in split.tables for file in table.files}:
            if not os.path.exists(file):  # a broken link: reading its row raises an error that names it
                continue
            status = os.stat(file)
            first = seen.setdefault((status.st_dev, status.st_ino), (name, file))
            if first[0] != name:
                shared.setdefault((first[0], name), []).append(file)
    for (first_name, name), files in shared.items():
        shown = examples(sorted(files))
        rank_zero_warn(f"the splits {first_name!r} and {name!r} share {len(files)} files: {shown}")


def _say_if_one_class(tables: Sequence[Table]) -> None:
    if all(table.folder_labels for table in tables):
        names = {name for table in tables for name in table.rows.features["label"].names}
        if len(names) == 1:
            n = sum(len(table.rows) for table in tables)
            rank_zero_info(f"All {n} images of {tables[0].source} are in one class folder, {names.pop()!r}: one class")


def _tables(source: Any, reading: ReadOptions) -> list[Table]:
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
        found = _load(str(source), reading)
        names = canonical_names(rows.split for rows in found)
        return [Table(str(source), names[part.split], part.rows, tuple(part.files), part.labelled) for part in found]
    if isinstance(source, Mapping):
        names = canonical_names(map(str, source))
        return [
            table for split, part in source.items() for table in _as_split(names[str(split)], _tables(part, reading))
        ]
    if isinstance(source, Sequence) and len(source):
        return [table for one in source for table in _tables(one, reading)]
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


def _load(source: str, reading: ReadOptions) -> list[FolderRows]:
    """Load a source by name or path; any failure is one DataError."""
    if source == DIGITS:
        return [FolderRows("train", load_digits())]
    import datasets

    from nested_lightning.data.tables import load_by_name  # takes a second

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
            return [FolderRows("train", _read_files([str(path)], reading), [str(path)])]
        saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
        if path.is_dir() and not saved and not _has_configs(path):
            found = read_folder(path, _FORMATS, partial(_read_files, reading=reading))
            if found is not None:
                return found
        loaded = (
            datasets.load_from_disk(str(path))
            if saved
            else load_by_name(str(path) if path.is_dir() else source, *_form(reading))
        )
    except Exception as error:  # each reader that load_dataset calls has its own exceptions
        raise mistake_behind(error) or _unreadable(source, path, error) from error
    splits = {"train": loaded} if isinstance(loaded, datasets.Dataset) else loaded
    return [FolderRows(str(split), rows) for split, rows in splits.items()]


def _read_files(files: list[str], reading: ReadOptions) -> "datasets.Dataset":
    """Return the rows of files of one format, one after the other."""
    import datasets

    from nested_lightning.data.tables import read_tables

    names = [glob.escape(file) for file in files]  # brackets in a name are no pattern
    kind = Path(files[0]).suffix.lower()[1:]
    if kind in ("parquet", "arrow"):
        return datasets.load_dataset(kind, data_files=names, split="train")
    return read_tables({"train": names}, *_form(reading))["train"]


def _form(reading: ReadOptions) -> tuple[str | None, str, bool | None]:
    return reading.separator, reading.encoding, reading.quotes


def _has_configs(folder: Path) -> bool:
    """Return whether a README declares which files are which split, as on the hub."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    return text.startswith("---") and "\nconfigs:" in text.split("\n---")[0]


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
    broken = [p for p in sorted(path.rglob("*.parquet")) if not _is_parquet(p)] if path.is_dir() else [path]
    what = f"{source!r}: file {broken[0]}" if broken else repr(source)
    return DataError(f"source {what} cannot be read: {reason}. Replace the file, or check its format")


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" and path.stat().st_size >= 12 and file.seek(-4, 2) > 0 and file.read() == b"PAR1"

"""Read CSV, TSV and JSON files without guessing types: every cell is the text in the file, an empty one is missing."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TextIO

import datasets
import pyarrow as pa
from datasets.packaged_modules.csv.csv import Csv
from datasets.packaged_modules.json.json import Json
from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.errors import DataError

_CHUNK = 10_000
"""Rows in memory at a time while a file is converted."""
_EXACT = 2**53
"""From here on, not every whole number is a float of its own."""
_LONGEST_CELL = 2**31 - 1


def read_tables(
    files: Mapping[str, Sequence[str]], separator: str | None, encoding: str, quotes: bool | None
) -> "datasets.DatasetDict":
    """Return the rows of CSV, TSV and JSON files by split, in the cache of ``datasets`` on disk.

    Columns are text, except those of lists and objects in JSON. A number or ``true`` in JSON is its text in the file,
    but ``7.0`` is ``"7"``, as files call a whole number beside a missing one. Warns of what is not read as it stands.

    Args:
        files: paths or addresses by split.
        separator: see :class:`~nested_lightning.data.sources.ReadOptions`, as for the others.
        encoding: of the characters.
        quotes: whether cells may stand in quotation marks.

    Raises:
        DataError: a file cannot be read; names the line.
    """
    builder = _TextFiles(data_files=files, separator=separator, encoding=encoding, quotes=quotes)
    builder.download_and_prepare()
    for note in filter(None, builder.info.description.split("\n")):
        rank_zero_warn(note)
    opened: datasets.DatasetDict = builder.as_dataset()
    return opened


def load_by_name(
    source: str, separator: str | None, encoding: str, quotes: bool | None
) -> Mapping[str, "datasets.Dataset"]:
    """Load a folder or hub id as ``datasets`` does, but files of text without guessing types; see above."""
    builder = datasets.load_dataset_builder(source)
    if isinstance(builder, Csv | Json):
        opened: Mapping[str, datasets.Dataset] = read_tables(builder.config.data_files, separator, encoding, quotes)
    else:
        builder.download_and_prepare()
        opened = builder.as_dataset()
    return opened


@dataclass
class _Config(datasets.BuilderConfig):  # type: ignore[misc]
    separator: str | None = None
    encoding: str = "utf-8"
    quotes: bool | None = None


class _TextFiles(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Converts files to Arrow in the cache, where the description keeps the warnings for the next time."""

    BUILDER_CONFIG_CLASS = _Config
    VERSION = datasets.Version("1.0.0")  # of the conversion: another one does not use what is in the cache

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        splits = []
        for split, names in self.config.data_files.items():
            found = zip(names, dl_manager.download_and_extract(list(names)), strict=True)
            files = [(str(name), str(path)) for name, place in found for path in dl_manager.iter_files([place])]
            splits.append(datasets.SplitGenerator(name=split, gen_kwargs={"files": files}))
        return splits

    def _generate_tables(self, files: list[tuple[str, str]]) -> Iterator[tuple[Any, pa.Table]]:
        notes: list[str] = []
        for number, (name, path) in enumerate(files):
            try:
                for part, table in enumerate(self._tables(name, path, notes)):
                    yield datasets.builder.Key(number, part), table
            except (UnicodeError, LookupError) as error:
                raise DataError(
                    f"{name} is not text in {self.config.encoding} ({getattr(error, 'reason', error)}): save it as "
                    "UTF-8, or set reading.encoding, for example to latin-1 or utf-16"
                ) from None
        self.info.description = "\n".join(filter(None, [self.info.description, *notes]))

    def _tables(self, name: str, path: str, notes: list[str]) -> Iterator[pa.Table]:
        options: Any = self.config
        encoding = "utf-8-sig" if options.encoding.lower() in ("utf-8", "utf8") else options.encoding
        if any(suffix in name for suffix in (".json", ".ndjson")):
            with open(path, encoding=encoding) as file:
                yield from _json_tables(name, file)
            return
        separator = options.separator or ("\t" if ".tsv" in name else ",")
        form, found = _csv_form(name, path, encoding, separator, options.quotes)
        if len(form.header) == 1 and not options.separator and (others := set(";\t|,") & set(form.header[0])):
            raise DataError(
                f"{name} has one column, {form.header[0]!r}: set reading.separator to {' or '.join(map(repr, others))}"
            )
        notes += found
        yield from form.tables(path, encoding)


@dataclass
class _Form:
    """What a look at all lines of a CSV file has found."""

    separator: str
    quotes: bool
    header: list[str] = field(default_factory=list)
    problem: str = ""
    short: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    spanning: list[int] = field(default_factory=list)

    @property
    def is_regular(self) -> bool:
        """Whether each line is a row with as many cells as the header."""
        return not (self.problem or self.short or self.long)

    def reader(self, file: TextIO) -> Any:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        csv.field_size_limit(_LONGEST_CELL)
        return csv.reader(file, delimiter=self.separator, quoting=quoting, strict=True)

    def look(self, path: str, encoding: str) -> "_Form":
        with open(path, encoding=encoding, newline="") as file:
            reader, line, blank = self.reader(file), 1, list[int]()
            try:
                for row in reader:
                    if not row:
                        blank.append(line)
                    elif not self.header:
                        self.header = [name or f"Unnamed: {i}" for i, name in enumerate(row)]
                    else:
                        self.blank, blank = self.blank + blank, []
                        if len(row) < len(self.header):
                            self.short.append(line)
                        elif any(row[len(self.header) :]):
                            self.long.append(line)
                        if reader.line_num > line:
                            self.spanning.append(line)
                    line = reader.line_num + 1
            except csv.Error:
                self.problem = f"line {line}: a cell begins with a quotation mark, which is not closed at its end"
        return self

    def tables(self, path: str, encoding: str) -> Iterator[pa.Table]:
        width = len(self.header)
        with open(path, encoding=encoding, newline="") as file:
            rows = filter(None, self.reader(file))
            next(rows, None)
            more = True
            while more:
                chunk = [row[:width] + [""] * (width - len(row)) for row in islice(rows, _CHUNK)]
                more = len(chunk) == _CHUNK
                cells = zip(*chunk, strict=True) if chunk else [()] * width
                columns = [pa.array([cell or None for cell in column], pa.string()) for column in cells]
                yield pa.table(columns, names=self.header)


def _csv_form(name: str, path: str, encoding: str, separator: str, quotes: bool | None) -> tuple[_Form, list[str]]:
    """Return how to read a CSV file, and what to warn of; DataError naming the line if it cannot be read."""
    form, notes = _Form(separator, quotes is not False).look(path, encoding), []
    if quotes is None and (form.problem or form.spanning):
        plain = _Form(separator, quotes=False).look(path, encoding)
        if form.problem and plain.is_regular:
            notes.append(
                f"{name}, {form.problem}. Quotation marks in this file are therefore read as text; set "
                "reading.quotes to false if this is right"
            )
            form = plain
        elif plain.is_regular and len(plain.header) > 1:
            notes.append(
                f"{name}: {len(form.spanning)} rows have cells in quotation marks that go over several lines "
                f"({_lines(form.spanning)}), each of which could be a row of its own: set reading.quotes to false if "
                "it is, else to true"
            )
    if form.problem:
        raise DataError(
            f"{name}, {form.problem}. Close the quotation mark, double it within a quoted cell, or set reading.quotes "
            "to false if marks do not enclose cells"
        )
    if form.long:
        raise DataError(
            f"{name}, {_lines(form.long)}: more cells than the {len(form.header)} columns {', '.join(form.header)}. "
            "Put a cell that contains the separator in quotation marks, or correct reading.separator"
        )
    if twice := {column for column in form.header if form.header.count(column) > 1}:
        raise DataError(f"{name} has two columns {min(twice)!r}: rename or remove one")
    if form.short:
        notes.append(f"{name}: {len(form.short)} rows have too few cells, the rest are empty ({_lines(form.short)})")
    if form.blank:
        notes.append(f"{name}: {len(form.blank)} blank lines between rows are left out ({_lines(form.blank)})")
    return form, notes


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:3]))
    return f"line{'s' * (len(numbers) > 1)} {shown}{', ...' * (len(numbers) > 3)}"


def _json_tables(name: str, file: TextIO) -> Iterator[pa.Table]:
    """Yield the rows of a JSON file (objects in a list, or one in each line), columns with one type throughout."""
    tables, rows, first = [], [], 0
    for row in _json_rows(name, file):
        rows.append(row)
        if len(rows) == _CHUNK:
            tables.append(_json_table(name, rows, first))
            rows, first = [], first + len(rows)
    tables.append(_json_table(name, rows, first))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"{name}: {error}. Write the same kind of value in each row of a column") from None
    kinds = [(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in table.schema]
    yield table.cast(pa.schema(kinds))


def _json_rows(name: str, file: TextIO) -> Iterator[dict[str, Any]]:
    first = file.readline()
    is_by_line = _is_object(first)
    try:
        for number, text in enumerate((first, *file) if is_by_line else [first + file.read()], start=1):
            values = json.loads(text) if text.strip() else []
            rows: list[Any] = values if isinstance(values, list) and not is_by_line else [values] * bool(text.strip())
            for at, row in enumerate(rows):
                if not isinstance(row, dict):
                    place = f"line {number}" if is_by_line else f"item {at}"
                    raise DataError(f'{name}, {place}: expected an object such as {{"label": "owl"}}, got {row!r:.60}')
            written = rows
            if any(type(cell) is float for row in rows for cell in row.values()):
                again = json.loads(text, parse_float=str)
                written = again if isinstance(again, list) else [again]
            for row, texts in zip(rows, written, strict=True):
                yield {column: _json_cell(cell, texts[column]) for column, cell in row.items()}
    except json.JSONDecodeError as error:
        line = number if is_by_line else error.lineno
        raise DataError(f"{name}, line {line}: this is not valid JSON ({error.msg}). Fix it") from None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _json_cell(cell: Any, written: Any) -> Any:
    """Return a scalar as text, with floats as they are written unless they are exact whole numbers."""
    if cell is None or cell == "" or cell != cell:
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _EXACT else str(written)
    return str(cell) if isinstance(cell, int) else cell


def _json_table(name: str, rows: list[dict[str, Any]], first: int) -> pa.Table:
    columns = {}
    for column in dict.fromkeys(key for row in rows for key in row):
        try:
            columns[column] = pa.array([row.get(column) for row in rows])
        except (pa.ArrowException, OverflowError) as error:
            raise DataError(
                f"{name}, rows {first}-{first + len(rows) - 1}, column {column!r}: {str(error).rstrip('.')}. Write the "
                "same kind of value in each row"
            ) from None
    return pa.table(columns)

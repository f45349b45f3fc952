"""``lightning taxonomy build``: turn label columns, folders, pairs, paths or JSON into a taxonomy."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.data.folders import is_hidden, leaf_paths, list_files
from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.reading import READING, ReadOptions, warn_of_lookalikes
from nested_lightning.data.sources import Split
from nested_lightning.data.splits import folder_split
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError
from nested_lightning.taxonomy import Path as Leaf
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.build import leaves_from_parents, numbered_levels
from nested_lightning.taxonomy.names import clean

_IDS = (re.compile(r"(\d+)\s+-\s+"), re.compile(r"(\S+)\s+:\s+"))
"""What stands before the paths in published taxonomies: "1 - animal > owl", "gid://a/1 : animal > owl"."""
_FORM = 'such as {"animal": {"bird": ["owl", "eagle"], "fish": ["cod"]}, "stone": null}'


def columns(
    source: str,
    *,
    columns: list[str],
    output: Path,
    levels: list[str] | None = None,
    allow_repeated_names: bool = False,
    overwrite: bool = False,
    reading: ReadOptions = READING,
) -> None:
    """Build a taxonomy from the label columns of a source.

    Args:
        source: hub id, folder or file.
        columns: one column for each level, coarse to fine.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        allow_repeated_names: a name under two parents means two classes.
        overwrite: overwrite an existing file.
        reading: how to read the source.
    """
    prepare(output, overwrite=overwrite)
    data = LabelledSource(source, None, columns, levels, allow_repeated_names, reading, argument="columns")
    write(data.taxonomy, output)


def folders(folder: Path, *, output: Path, levels: list[str] | None = None, overwrite: bool = False) -> None:
    """Build a taxonomy from folders in folders, such as animal/bird/owl/1.jpg.

    Args:
        folder: the folder of the coarsest classes, or of folders train, test and the like that contain them.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds the folders of the coarsest classes")
    files = [parts for parts in list_files(folder) if not is_hidden(parts)]
    leaves = [parts[bool(folder_split(parts)) : -1] for parts in files]
    if not any(leaves):
        raise DataError(f"{folder} has no folders with files in them: expected, for example, {folder}/animal/owl/1.jpg")
    _write(folder, leaf_paths(leaves), levels, output)


def edges(
    file: Path,
    *,
    output: Path,
    separator: str = ",",
    encoding: str = "utf-8",
    levels: list[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Build a taxonomy from a csv file with the columns child and parent.

    Args:
        file: the csv file; the parent of a root is empty, or the root itself.
        separator: character between two cells.
        encoding: of the characters in the file.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    lines: dict[str, tuple[str | None, int]] = {}
    for line, child, parent in _pairs(file, separator, encoding):
        if not child:
            raise DataError(f"{file}, line {line}: the child has no name. Fill it in, or remove the line")
        known, first = lines.setdefault(child, (parent, line))
        if known != parent:
            raise TaxonomyError(
                f"{file}, line {line}: {child!r} has the parent {parent!r}, but {known!r} in line {first}. "
                "Remove one of the two; for two classes of one name give whole paths (taxonomy build paths)"
            )
    try:
        roots = {child for child, (parent, _) in lines.items() if parent == child}
        leaves = leaves_from_parents((child, None if child in roots else pair[0]) for child, pair in lines.items())
    except TaxonomyError as error:
        raise TaxonomyError(f"{file}: {error}") from None
    _write(file, leaves, levels, output)


def paths(
    file: str,
    *,
    output: Path,
    column: str = "label",
    separator: str = "/",
    keep_labels: bool = False,
    levels: list[str] | None = None,
    overwrite: bool = False,
    reading: ReadOptions = READING,
) -> None:
    """Build a taxonomy from paths such as animal/bird/owl.

    Args:
        file: a .txt file with a path in each line, or a source with a column of paths. In a .txt file, lines that begin
            with # and the ids of "1 - animal > owl" and "a/1 : animal > owl" are left out.
        output: the YAML file to write.
        column: column of the paths of a source.
        separator: text between two names.
        keep_labels: name each class, groups too, by its whole path, as it is in the data.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
        reading: how to read the source.
    """
    prepare(output, overwrite=overwrite)
    if not separator:
        raise DataError("--separator '' is empty: give the text between two names, such as /")
    is_text = file.endswith(".txt")
    lines = list(_lines(Path(file), separator, reading.encoding) if is_text else _cells(file, column, reading))
    labels: dict[Leaf, str] = {}
    for where, text in lines:
        names = tuple(name.strip() for name in text.split(separator))
        if not all(names):
            raise DataError(f"{where}: {text!r} has an empty name between two {separator!r}. Fix it")
        if labels.setdefault(names, text) != text and keep_labels:
            raise DataError(f"{where}: {text!r} and {labels[names]!r} are one path. Write it in one way")
    leaves = leaf_paths(labels)
    for leaf in leaves if keep_labels else ():
        parts = labels[leaf].split(separator)
        for n in range(1, len(leaf)):
            labels.setdefault(leaf[:n], separator.join(parts[:n]).strip())
    if keep_labels:
        leaves = [tuple(labels[leaf[: n + 1]] for n in range(len(leaf))) for leaf in leaves]
    _write(file, leaves, levels, output)


def json(file: Path, *, output: Path, levels: list[str] | None = None, overwrite: bool = False) -> None:
    """Build a taxonomy from a JSON file of dicts in dicts, with lists of names at the end.

    Args:
        file: the JSON file; below a leaf is nothing, null or an empty list.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    try:
        tree = loads(_text(file), object_pairs_hook=_Pairs)
    except JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: this is not valid JSON ({error.msg}). Fix it") from None
    if not isinstance(tree, _Pairs | list):
        raise DataError(f"{file}: expected names, {_FORM}; got {str(tree)[:40]!r}")
    _write(file, list(_walk(tree, (), file)), levels, output)


def prepare(*files: Path, overwrite: bool) -> None:
    """Create the folders of files to be written, before the work begins.

    Raises:
        ConfigurationError: a file exists and must not be overwritten, or a folder cannot be created.
    """
    for file in files:
        if file.is_dir() or (file.exists() and not overwrite):
            remedy = "name a file in it" if file.is_dir() else "choose another file, or add --overwrite"
            raise ConfigurationError(f"{file} exists, and would be overwritten: {remedy}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"folder {file.parent} cannot be created ({error.strerror}): choose another"
            ) from error


def write(taxonomy: Taxonomy, file: Path) -> None:
    """Write a taxonomy and print its tree.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        taxonomy.to_yaml(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}): choose another --output") from error
    print(taxonomy.show())
    print(f"written to {file}")


def _write(source: Path | str, leaves: Sequence[Leaf], levels: list[str] | None, output: Path) -> None:
    try:
        taxonomy = Taxonomy(levels or numbered_levels(leaves), leaves)
    except TaxonomyError as error:
        raise TaxonomyError(f"{source}: {error}") from None
    for level, name in enumerate(taxonomy.levels):
        warn_of_lookalikes(taxonomy.names(level), f"{source}, level {name!r}")
    write(taxonomy, output)


class _Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object with all its keys, including those that are given twice."""

    __slots__ = ()


def _walk(branch: Any, above: Leaf, file: Path) -> Iterator[Leaf]:
    where = f"{file}, below '{'/'.join(above)}'" if above else f"{file}"
    if isinstance(branch, list):
        branch = [pair for item in branch for pair in (item if isinstance(item, _Pairs) else [(item, None)])]
    names: set[str] = set()
    for name, below in branch:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{where}: expected a name in quotes, {_FORM}; got {str(name)[:40]!r}")
        if name in names:
            raise DataError(f"{where}: {name!r} is given twice. Remove or rename one of them")
        names.add(name)
        path = (*above, name)
        if below is not None and not isinstance(below, _Pairs | list):
            raise DataError(f"{where}: expected below {name!r} a list, a dict or null, {_FORM}; got {below!r}")
        yield from _walk(below, path, file) if below else [path]


def _text(file: Path, encoding: str = "utf-8") -> str:
    try:
        return file.read_text(encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): give the path of an existing file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in {encoding.upper()} ({error.reason}): save it as UTF-8") from None
    except LookupError:
        raise ConfigurationError(f"unknown encoding {encoding!r}: such as utf-8, latin-1 or utf-16") from None


def _pairs(file: Path, separator: str, encoding: str) -> Iterator[tuple[int, str, str | None]]:
    """Yield line, child and parent of a csv file."""
    reader = csv.DictReader(StringIO(_text(file, encoding)), delimiter=separator, strict=True)
    found = reader.fieldnames or ()
    for name in ("child", "parent"):
        if name not in found:
            near = next((mark for mark in ";\t|," if len(found) == 1 and mark in found[0]), None)
            raise DataError(
                f"{file} has no column {name!r}, its first line has {', '.join(map(repr, found))}: "
                + (f"set separator to {near!r}" if near else "expected the columns child and parent")
            )
    try:
        for row in reader:
            yield reader.line_num, clean(row["child"] or ""), clean(row["parent"] or "") or None
    except csv.Error:
        raise DataError(
            f"{file}, line {reader.line_num}: a cell begins with a quotation mark, which is not closed at its end"
        ) from None


def _lines(file: Path, separator: str, encoding: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of the lines of a file that are neither blank nor comments, without ids before paths."""
    lines = {n: clean(line) for n, line in enumerate(_text(file, encoding).split("\n"), start=1) if clean(line)}
    comments = [number for number, line in lines.items() if line.startswith("#")]
    kept = {number: line for number, line in lines.items() if number not in set(comments)}
    if comments:
        rank_zero_warn(f"{file}: {len(comments)} lines that begin with # are left out, such as line {comments[0]}")
    for form in _IDS if separator.strip() not in ("-", ":") else ():
        found = {number: match for number, line in kept.items() if (match := form.match(line))}
        ids = {match[1] for match in found.values()}
        if len(ids) == len(kept) > 1:
            rank_zero_warn(f"{file}: the ids before the {len(ids)} paths are left out, such as {min(ids)!r}")
            kept = {number: kept[number][match.end() :] for number, match in found.items()}
    for number, line in kept.items():
        yield f"{file}, line {number}", line


def _cells(source: str, column: str, reading: ReadOptions) -> Iterator[tuple[str, str]]:
    data = LabelledSource(source, reading=reading)
    if column not in data.all_rows.columns:
        raise data.all_rows.missing_column(column, "--column")
    for table in data.all_rows.tables:
        for row, label in enumerate(data.labels(Split((table,)), column)):
            if label is not None:
                yield f"{table.where([row])}, column {column!r}", label

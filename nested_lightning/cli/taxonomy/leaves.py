"""The leaf paths in what people have: folders, pairs, texts, JSON."""

import csv
import json
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nested_lightning.data.labelled import LabelledSource
from nested_lightning.data.labels import read_labels
from nested_lightning.data.sources import Split, open_source
from nested_lightning.errors import DataError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.build import leaves_from_parents

Leaf = tuple[str, ...]
_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "predict"}
_FORM = 'such as {"animal": {"bird": ["owl", "eagle"], "fish": ["cod"]}, "stone": null}'


def taxonomy_of_columns(options: Namespace) -> Taxonomy:
    """Return the taxonomy of the columns ``options.columns`` of ``options.source``."""
    names = options.allow_repeated_names
    return LabelledSource(options.source, None, options.columns, options.levels, names).taxonomy


def of_folders(root: Path) -> list[Leaf]:
    """Return the paths of the innermost folders with files in them, below ``root`` and its folders for splits.

    Raises:
        DataError: there is no such folder, or none with files in it.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give the one that holds the folders of the coarsest classes")
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    folders = [path.parent.parts for path in files if not any(part.startswith(".") for part in path.parts)]
    paths = [parts[1:] if parts[:1] and parts[0].lower() in _SPLITS else parts for parts in folders]
    if not any(paths):
        raise DataError(f"{root} has no folders with files in them: expected for example {root}/animal/bird/owl/1.jpg")
    return _without_inner(paths)


def of_edges(file: Path) -> list[Leaf]:
    """Return the leaf paths of the pairs (child, parent) in a csv file.

    Raises:
        DataError: the file cannot be read, a column is missing, or a child has no name.
        TaxonomyError: a child has two parents, or the pairs run in a circle.
    """
    lines: dict[str, tuple[str | None, int]] = {}
    reader = csv.DictReader(_text(file).splitlines())
    missing = [name for name in ("child", "parent") if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{file} has no column {missing[0]!r}, its first line has {', '.join(map(repr, reader.fieldnames or ()))}: "
            "expected the columns child and parent"
        )
    for row in reader:
        child, parent = (row["child"] or "").strip(), (row["parent"] or "").strip() or None
        if not child:
            raise DataError(f"{file}, line {reader.line_num}: the child has no name. Fill it in, or remove the line")
        known, line = lines.setdefault(child, (parent, reader.line_num))
        if known != parent:
            raise TaxonomyError(
                f"{file}, line {reader.line_num}: {child!r} has the parent {parent!r}, but {known!r} in line {line}. "
                "Remove one of the two; for two classes of one name give whole paths (taxonomy build paths)"
            )
    try:
        return leaves_from_parents((child, parent) for child, (parent, _) in lines.items())
    except TaxonomyError as error:
        raise TaxonomyError(f"{file}: {error}") from None


def of_paths(source: str, column: str | None, separator: str, keep_labels: bool) -> list[Leaf]:
    """Return the leaf paths of texts: the lines of a file ``.txt``, or a column of a source.

    Args:
        source: the file, or see :func:`~nested_lightning.data.sources.open_source`.
        column: where the texts are in a source.
        separator: between two names.
        keep_labels: whether the last name is replaced by the whole text, so that rows are labelled with it.

    Raises:
        DataError: it cannot be read, the column is missing, or a name is empty.
    """
    if not separator:
        raise DataError("--separator '' is empty: give the text between two names, such as /")
    texts = _lines(Path(source)) if source.endswith(".txt") else _cells(source, column or "label")
    leaves: dict[Leaf, None] = {}
    for where, text in texts:
        names = tuple(name.strip() for name in text.split(separator))
        if not all(names):
            raise DataError(f"{where}: {text!r} has an empty name between two {separator!r}. Mend it")
        leaves[(*names[:-1], text) if keep_labels else names] = None
    return _without_inner(leaves)


def of_json(file: Path) -> list[Leaf]:
    """Return the leaf paths of dicts in dicts; below a leaf is nothing, null or an empty list.

    Raises:
        DataError: the file cannot be read, is no JSON, or has something else in it; names the place.
    """
    try:
        tree = json.loads(_text(file), object_pairs_hook=lambda pairs: _Pairs(pairs))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: this is no valid JSON ({error.msg}). Mend it") from None
    if not isinstance(tree, _Pairs | list):
        raise DataError(f"{file}: expected names, {_FORM}; came {str(tree)[:40]!r}")
    return list(_walk(tree, (), file))


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object of JSON with its keys as written, also those that are given twice."""

    __slots__ = ()


def _walk(branch: Any, above: Leaf, file: Path) -> Iterator[Leaf]:
    if isinstance(branch, list):
        pairs = [pair for item in branch for pair in (item if isinstance(item, _Pairs) else [(item, None)])]
    else:
        pairs = list(branch)
    names: set[str] = set()
    for name, below in pairs:
        where = f"{file}, below '{'/'.join(above)}'" if above else f"{file}"
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{where}: expected a name in quotes, {_FORM}; came {str(name)[:40]!r}")
        if name in names:
            raise DataError(f"{where}: {name!r} is given twice. Remove or rename one of them")
        names.add(name)
        if isinstance(below, _Pairs | list) and below:
            yield from _walk(below, (*above, name), file)
        elif below is None or isinstance(below, _Pairs | list):
            yield (*above, name)
        else:
            raise DataError(f"{where}: expected below {name!r} a list, a dict or null, {_FORM}; came {below!r}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): give the path of an existing file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 ({error.reason}): save it as UTF-8") from None


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if line.strip():
            yield f"{file}, line {number}", line.strip()


def _cells(source: str, column: str) -> Iterator[tuple[str, str]]:
    splits = open_source(source)
    tables = [table for split in splits.values() for table in split.tables if column in table.rows.column_names]
    if not tables:
        raise Split(next(iter(splits.values())).tables).missing_column(column, "--column")
    for table in tables:
        for row, label in enumerate(read_labels(table, column)):
            if label is not None:
                yield f"{table.where(row)}, column {column!r}", label


def _without_inner(paths: Iterable[Leaf]) -> list[Leaf]:
    """Return the paths once each, without those that others go on from: they are labels known less far."""
    different = dict.fromkeys(path for path in paths if path)
    inner = {path[:n] for path in different for n in range(1, len(path))}
    return [path for path in different if path not in inner]

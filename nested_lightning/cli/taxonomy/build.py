"""``lightning taxonomy build``: turn label columns, folders, pairs, paths or JSON into a taxonomy."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from nested_lightning.data.labels import LabelledSource, read_labels
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError
from nested_lightning.taxonomy import Path as Leaf
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.build import leaves_from_parents, numbered_levels

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "predict"}
_FORM = 'such as {"animal": {"bird": ["owl", "eagle"], "fish": ["cod"]}, "stone": null}'


def columns(
    source: str,
    *,
    columns: list[str],
    output: Path,
    levels: list[str] | None = None,
    allow_repeated_names: bool = False,
    overwrite: bool = False,
) -> None:
    """Build a taxonomy from the label columns of a source.

    Args:
        source: hub id, folder or file.
        columns: one column for each level, coarse to fine.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        allow_repeated_names: a name under two parents means two classes.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    write(LabelledSource(source, None, columns, levels, allow_repeated_names, argument="columns").taxonomy, output)


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
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    parents = [path.parent.parts for path in files if not any(part.startswith(".") for part in path.parts)]
    leaves = [parts[1:] if parts[:1] and parts[0].lower() in _SPLITS else parts for parts in parents]
    if not any(leaves):
        raise DataError(f"{folder} has no folders with files in them: expected, for example, {folder}/animal/owl/1.jpg")
    _write(folder, _without_inner(leaves), levels, output)


def edges(file: Path, *, output: Path, levels: list[str] | None = None, overwrite: bool = False) -> None:
    """Build a taxonomy from a csv file with the columns child and parent.

    Args:
        file: the csv file; the parent of a root is empty.
        output: the YAML file to write.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    lines: dict[str, tuple[str | None, int]] = {}
    reader = csv.DictReader(_text(file).splitlines())
    for name in ("child", "parent"):
        if name not in (reader.fieldnames or ()):
            raise DataError(
                f"{file} has no column {name!r}, its first line has "
                f"{', '.join(map(repr, reader.fieldnames or ()))}: expected the columns child and parent"
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
        leaves = leaves_from_parents((child, parent) for child, (parent, _) in lines.items())
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
) -> None:
    """Build a taxonomy from paths such as animal/bird/owl.

    Args:
        file: a .txt file with a path in each line, or a source with a column of paths.
        output: the YAML file to write.
        column: column of the paths of a source.
        separator: text between two names.
        keep_labels: name each class by its whole path, as it is in the data.
        levels: names of the levels, coarse to fine.
        overwrite: overwrite an existing file.
    """
    prepare(output, overwrite=overwrite)
    if not separator:
        raise DataError("--separator '' is empty: give the text between two names, such as /")
    leaves = []
    for where, text in _lines(Path(file)) if file.endswith(".txt") else _cells(file, column):
        names = tuple(name.strip() for name in text.split(separator))
        if not all(names):
            raise DataError(f"{where}: {text!r} has an empty name between two {separator!r}. Fix it")
        leaves.append((*names[:-1], text) if keep_labels else names)
    _write(file, _without_inner(leaves), levels, output)


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
    """Write a taxonomy and print its tree."""
    taxonomy.to_yaml(file)
    print(taxonomy.show())
    print(f"written to {file}")


def _write(source: Path | str, leaves: Sequence[Leaf], levels: list[str] | None, output: Path) -> None:
    try:
        taxonomy = Taxonomy(levels or numbered_levels(leaves), leaves)
    except TaxonomyError as error:
        raise TaxonomyError(f"{source}: {error}") from None
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


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): give the path of an existing file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8 ({error.reason}): save it as UTF-8") from None


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if line.strip():
            yield f"{file}, line {number}", line.strip()


def _cells(source: str, column: str) -> Iterator[tuple[str, str]]:
    rows = LabelledSource(source).all_rows
    if column not in rows.columns:
        raise rows.missing_column(column, "--column")
    for table in rows.tables:
        for row, label in enumerate(read_labels(table, column)):
            if label is not None:
                yield f"{table.where([row])}, column {column!r}", label


def _without_inner(paths: Iterable[Leaf]) -> list[Leaf]:
    """Return the different paths without those that others continue: they are labels known less far."""
    different = dict.fromkeys(path for path in paths if path)
    inner = {path[:n] for path in different for n in range(1, len(path))}
    return [path for path in different if path not in inner]

"""Read a folder: its tables, or its images with the folders they are in as labels."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.data.splits import (
    NAMES_IN_WORDS,
    Parts,
    folder_split,
    in_order,
    refuse_hidden_splits,
    table_split,
)
from nested_lightning.errors import DataError, TaxonomyError, examples
from nested_lightning.taxonomy import Path as Node
from nested_lightning.taxonomy import Taxonomy

if TYPE_CHECKING:
    import datasets

Reader = Callable[[list[str]], "datasets.Dataset"]
"""Reads table files of one format, one after the other."""
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_NO_CONTENT = ("thumbs.db", "desktop.ini", "readme", "readme.md", "readme.txt", "license", "license.txt", "license.md")
_NO_ROWS = ("dataset_info.json", "dataset_infos.json")
_NO_IMAGES = (".h5", ".hdf", ".grib", ".bufr", ".mpg", ".mpeg")  # Pillow recognises them, but cannot decode them


@dataclass(frozen=True)
class FolderRows:
    """Rows of a source for one split.

    Attributes:
        split: name as it is written.
        rows: the rows.
        files: paths of the files they were read from.
        labelled: whether the column ``label`` holds the paths of the folders that images are in.
    """

    split: str
    rows: "datasets.Dataset"
    files: Sequence[str] = ()
    labelled: bool = False


def list_files(folder: Path) -> list[Parts]:
    """Return the paths of all files below a folder, sorted; links are followed, except to a folder they are in.

    Raises:
        DataError: a folder cannot be read.
    """
    found: list[Parts] = []
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        here = os.path.realpath(root) + os.sep
        folders[:] = [name for name in folders if not here.startswith(os.path.realpath(f"{root}/{name}") + os.sep)]
        above = Path(root).relative_to(folder).parts
        found += [(*above, name) for name in files]
    return sorted(found, key="/".join)


def _refuse(error: OSError) -> None:
    raise DataError(f"folder {error.filename} cannot be read ({error.strerror}): correct its path or its permissions")


def is_hidden(parts: Parts) -> bool:
    """Return whether the name of a file or of a folder it is in begins with a dot."""
    return any(part.startswith(".") for part in parts)


def read_folder(folder: Path, table_suffixes: Iterable[str], read: Reader) -> list[FolderRows] | None:
    """Return the rows of a folder of tables or images; None if it has files, but neither tables nor images.

    A folder or table directly below it with the name of a split is this split; without any, all rows are ``train``.
    Images are labelled by the path of the folders they are in, or by a metadata file beside them. Warnings count the
    files that are left out.

    Raises:
        DataError: the folder is empty, its splits are not clear, or a metadata file does not fit the images.
    """
    everything = list_files(folder)
    if not everything:
        raise DataError(f"source {str(folder)!r} cannot be read: the folder is empty")
    files = [parts for parts in everything if not is_hidden(parts)]
    metadata = [parts for parts in files if parts[-1] in _METADATA]
    images = [parts for parts in files if _suffix(parts) in _image_suffixes()]
    tables = [parts for parts in files if _suffix(parts) in table_suffixes and parts[-1] not in (*_METADATA, *_NO_ROWS)]
    if not images and not (tables or metadata):
        return None
    if images and len(images) >= len(tables):
        _warn_of_other_files(folder, set(files) - set(images) - set(metadata), "images", len(files))
        hidden = [parts for parts in everything if is_hidden(parts[:-1]) and not is_hidden(parts[-1:])]
        _warn(folder, [parts for parts in hidden if _suffix(parts) in _image_suffixes()], "images in hidden folders")
        return _read_listed(folder, images, metadata, read) if metadata else _read_labelled(folder, images)
    tables = sorted([*tables, *metadata])
    _warn_of_other_files(folder, set(files) - set(tables), "tables", len(files))
    return _read_tables(folder, tables, read)


def find_class(taxonomy: Taxonomy, label: str, suggest: bool = True) -> Node:
    """Return the class that a path of folders refers to.

    It is the class with this path or this name, or else the only class with the name of the last folder whose path
    has all those of the coarser folders that are names of classes, too.

    Raises:
        TaxonomyError: there is no such class, or several.

    Example:
        >>> plants = Taxonomy.from_paths(["apple/healthy", "apple/scab", "grape/healthy"])
        >>> find_class(plants, "grape/healthy"), find_class(plants, "2024/scab"), find_class(plants, "2024/apple")
        (('grape', 'healthy'), ('apple', 'scab'), ('apple',))
    """
    folders = label.split("/")
    exact = taxonomy.matches(label, len(folders) - 1) if len(folders) <= taxonomy.n_levels else ()
    if len(exact) == 1:
        return exact[0]
    if taxonomy.matches(label) or len(folders) == 1:
        return taxonomy.find(label, suggest=suggest)
    coarser = [name for name in folders[:-1] if taxonomy.matches(name)]
    found = [path for path in taxonomy.matches(folders[-1]) if set(coarser) <= set(path)]
    if len(found) == 1:
        return found[0]
    try:
        named = taxonomy.find(folders[-1], suggest=suggest)
    except TaxonomyError as error:
        raise TaxonomyError(f"folder {label!r}: {error}") from None
    raise TaxonomyError(
        f"folder {label!r}: the taxonomy has {folders[-1]!r} as '{'/'.join(named)}' only. Move the folder, or add the "
        "class to the taxonomy"
    )


def leaf_paths(paths: Iterable[Parts]) -> list[Parts]:
    """Return the different paths without those that others continue, whose labels are only known less far."""
    different = dict.fromkeys(path for path in paths if path)
    inner = {path[:n] for path in different for n in range(1, len(path))}
    return [path for path in different if path not in inner]


def _read_labelled(folder: Path, images: Sequence[Parts]) -> list[FolderRows]:
    import datasets

    splits = _image_splits(folder, images)
    labels = {parts: "/".join(parts[bool(splits[parts]) : -1]) for parts in _in_a_split(folder, splits)}
    names = sorted({label for label in labels.values() if label})
    features = datasets.Features({"image": datasets.Image()})
    if names:
        features["label"] = datasets.ClassLabel(names=names)
    found = []
    for split in in_order(splits[parts] for parts in labels):
        here = [parts for parts in labels if splits[parts] == split]
        paths = _paths(folder, here)
        cells = {"image": _cells(paths), "label": [labels[parts] or None for parts in here]}
        rows = datasets.Dataset.from_dict({name: cells[name] for name in features}, features=features)
        found.append(FolderRows(split or "train", rows, paths, bool(names)))
    return found


def _image_splits(folder: Path, images: Sequence[Parts]) -> dict[Parts, str | None]:
    """Return the name of the split that each image is in; DataError if the folders without one are not clear."""
    splits = {parts: folder_split(parts) for parts in images}
    if not any(splits.values()):
        refuse_hidden_splits(str(folder), [parts[:-1] for parts in images], in_words=False)
    return splits


def _read_listed(folder: Path, images: Sequence[Parts], metadata: Sequence[Parts], read: Reader) -> list[FolderRows]:
    """Return the images named in the column ``file_name`` of metadata files, with the other columns of these."""
    splits = _image_splits(folder, images)
    wanted, found = _in_a_split(folder, splits), []
    unlisted = set(wanted)
    for parts in metadata:
        file, above = folder.joinpath(*parts), parts[:-1]
        rows = read([str(file)])
        if "file_name" not in rows.column_names:
            raise DataError(f"{file} has no column 'file_name', only {', '.join(map(repr, rows.column_names))}: add it")
        named = [_named(file, above, row, name) for row, name in enumerate(rows["file_name"])]
        for row, image in enumerate(named):
            if image not in splits:
                raise DataError(f"{file}, row {row}: there is no image {'/'.join(image)!r} in {folder}. Drop the row")
        unlisted -= set(named)
        rows = rows.remove_columns([name for name in ("file_name", "image") if name in rows.column_names])
        for split in in_order(splits[image] for image in wanted if image in set(named)):
            here = [row for row, image in enumerate(named) if splits[image] == split]
            paths = _paths(folder, [named[row] for row in here])
            found.append(FolderRows(split or "train", _with_images(rows.select(here), paths), paths))
    listed = examples(map("/".join, metadata))
    _warn(folder, sorted(unlisted), f"of {len(wanted)} images, which are not listed in {listed}")
    return found


def _with_images(rows: "datasets.Dataset", paths: Sequence[str]) -> "datasets.Dataset":
    import datasets

    images = datasets.Dataset.from_dict({"image": _cells(paths)}, datasets.Features({"image": datasets.Image()}))
    return datasets.concatenate_datasets([images, rows], axis=1) if rows.column_names else images


def _named(file: Path, above: Parts, row: int, name: object) -> Parts:
    parts = Path(str(name).replace("\\", "/")).parts
    if not name or Path(*parts).is_absolute() or ".." in parts:
        raise DataError(f"{file}, row {row}: the file_name {name!r} is not the path of an image below {file.parent}")
    return above + parts


def _read_tables(folder: Path, tables: Sequence[Parts], read: Reader) -> list[FolderRows]:
    skipped = 0  # folders that hold everything, such as data/
    while not any(table_split(parts[skipped:]) for parts in tables) and _in_one_folder(tables, skipped):
        skipped += 1
    splits = {parts: table_split(parts[skipped:]) for parts in tables}
    if not any(splits.values()):
        refuse_hidden_splits(str(folder), [parts[skipped:] for parts in tables], in_words=True)
    used, found = _in_a_split(folder, splits), []
    for split in in_order(splits[parts] for parts in used):
        here = [parts for parts in used if splits[parts] == split]
        for suffix in dict.fromkeys(map(_suffix, here)):
            paths = _paths(folder, [parts for parts in here if _suffix(parts) == suffix])
            found.append(FolderRows(split or "train", read(paths), paths))
    return found


def _in_one_folder(files: Sequence[Parts], depth: int) -> bool:
    return len({parts[depth] for parts in files}) == 1 and all(len(parts) > depth + 1 for parts in files)


def _in_a_split(folder: Path, splits: dict[Parts, str | None]) -> list[Parts]:
    """Return the files to be read, and warn of those that lie beside the splits."""
    known = dict.fromkeys(split for split in splits.values() if split)
    if not known:
        return list(splits)
    beside = [parts for parts, split in splits.items() if split is None]
    names = ", ".join(map(repr, known))
    what = f"of {len(splits)} files, which are beside {names} in no split (names of splits: {NAMES_IN_WORDS})"
    _warn(folder, beside, what)
    return [parts for parts, split in splits.items() if split]


def _warn_of_other_files(folder: Path, files: Iterable[Parts], kind: str, n_all: int) -> None:
    others = sorted(parts for parts in files if parts[-1].lower() not in (*_NO_CONTENT, *_NO_ROWS))
    counts = Counter(_suffix(parts) or "without a suffix" for parts in others)
    listed = ", ".join(f"{n} {suffix}" for suffix, n in counts.most_common(5))
    advice = "; convert images to PNG or JPEG" if kind == "images" else ""
    _warn(folder, others, f"of {n_all} files, which cannot be read as {kind} ({listed}{advice})")


def _warn(folder: Path, files: Sequence[Parts], what: str) -> None:
    if files:
        rank_zero_warn(f"{folder}: left out {len(files)} {what}: {examples(map('/'.join, files))}")


def _paths(folder: Path, files: Iterable[Parts]) -> list[str]:
    return [str(folder.joinpath(*parts)) for parts in files]


def _cells(paths: Iterable[str]) -> list[dict[str, str | None]]:
    return [{"bytes": None, "path": path} for path in paths]


def _suffix(parts: Parts) -> str:
    return os.path.splitext(parts[-1])[1].lower()


@cache
def _image_suffixes() -> frozenset[str]:
    """Return the endings of files that Pillow can decode."""
    from PIL import Image

    Image.init()
    known: Iterator[str] = (end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN)
    return frozenset(known) - frozenset(_NO_IMAGES)

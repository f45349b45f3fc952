"""The names of splits, and the splits in which the files of a folder are."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from nested_lightning.errors import DataError

Parts = tuple[str, ...]
"""The path of a file below the source: folders, then the name of the file."""
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
    "predict": ("predict",),
}
NAMES_IN_WORDS = ", ".join(name for names in SPLITS.values() for name in names)
_CANONICAL = {name: split for split, names in SPLITS.items() for name in names}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def split_name(name: str) -> str | None:
    """Return the split that a name, in upper or lower case, means as a whole; None if it means none.

    Example:
        >>> split_name("Training"), split_name("dev"), split_name("test strip")
        ('train', 'validation', None)
    """
    return _CANONICAL.get(name.lower())


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Return the split that each of the names of one source means.

    Of several names for the same split only one means it, if possible the exact one; the others, and unknown names,
    are left as they are.

    Example:
        >>> canonical_names(["eval", "Train", "test", "extra"])
        {'eval': 'eval', 'Train': 'train', 'test': 'test', 'extra': 'extra'}
    """
    names = list(dict.fromkeys(names))
    meant: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in SPLITS):
        split = split_name(name)
        meant[name] = split if split and split not in meant.values() else name
    return {name: meant[name] for name in names}


def folder_split(parts: Parts) -> str | None:
    """Return the name of the folder directly below the source if it is one of a split."""
    return parts[0] if len(parts) > 1 and split_name(parts[0]) else None


def table_split(parts: Parts) -> str | None:
    """Return the name of the folder or file directly below the source if it is one of a split.

    Example:
        >>> table_split(("Test.csv",)), table_split(("train-00000-of-00001.parquet",)), table_split(("latest.csv",))
        ('Test', 'train', None)
    """
    name = parts[0] if len(parts) > 1 else _SHARD.sub("", PurePath(parts[0]).stem)
    return name if split_name(name) else None


def in_order(names: Iterable[str | None]) -> list[str | None]:
    """Return the different names of splits, those for ``train`` first."""
    return sorted(dict.fromkeys(names), key=lambda name: list(SPLITS).index(split_name(name or "train") or "train"))


def refuse_hidden_splits(source: str, paths: Sequence[Parts], in_words: bool) -> None:
    """Raise a DataError if names in paths suggest several splits that would be read as one.

    Args:
        source: how messages call the source.
        paths: those of the files or folders that would be read as one split.
        in_words: whether any word in a name suggests a split. Otherwise only a whole name does, or a word in every
            first name: ``test tube`` beside ``beaker`` is a class.
    """
    in_words = in_words or all(_suggested(parts[:1], in_words=True) for parts in paths)
    found: dict[str, str] = {}
    for parts in dict.fromkeys(paths):
        if suggested := _suggested(parts, in_words):
            found.setdefault(*suggested)
    if len(found) > 1:
        named = " and ".join(f"{path!r} (as {split!r}?)" for split, path in found.items())
        raise DataError(
            f"the splits of {source} are not clear: {named} would be read as one split, because only a folder or file "
            f"directly below the source whose whole name is one of {NAMES_IN_WORDS} is a split. Rename or move them, "
            "or give a source for each split, as in {train: A, test: B}"
        )


def _suggested(parts: Parts, in_words: bool) -> tuple[str, str] | None:
    """Return the split that the first of the names suggests which suggests one, and the path up to it."""
    for depth, name in enumerate(parts, start=1):
        for word in re.split(r"[^a-z]+", name.lower()) if in_words else [name]:
            if split := split_name(word):
                return split, "/".join(parts[:depth])
    return None

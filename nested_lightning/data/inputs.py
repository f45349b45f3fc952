"""From the input column of a split to its reader, chosen by the kind of the column."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from nested_lightning.data.images import ImageColumn
from nested_lightning.data.numbers import NumberColumn
from nested_lightning.data.sources import Split
from nested_lightning.data.texts import TextColumn
from nested_lightning.data.vocabulary import Vocabulary
from nested_lightning.errors import DataError


class InputColumn(Protocol):
    """What reads the inputs of a column."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one input."""

    def read(self, rows: Tensor) -> Tensor:
        """Return the inputs of ascending row numbers, one after the other in one tensor."""


def find_input_column(split: Split) -> str:
    """Return the name of the only image column.

    Raises:
        DataError: there is none, or several.
    """
    import datasets

    images = [
        name
        for name in split.columns
        if any(isinstance(t.rows.features.get(name), datasets.Image) for t in split.tables)
    ]
    if len(images) == 1:
        return images[0]
    raise DataError(
        f"{split.where()} has {len(images) or 'no'} image columns: name the input by data.input_column. The "
        f"columns are {', '.join(map(repr, split.columns))}"
    )


def open_input_column(
    split: Split,
    name: str,
    size: tuple[int, int] | None = None,
    shape: tuple[int, ...] | None = None,
    vocabulary: Callable[[], Vocabulary] | None = None,
) -> InputColumn:
    """Return the reader of column ``name``.

    Args:
        split: where the column is, in each of its tables.
        name: the column.
        size: height and width to resize images to.
        shape: of one input, where it is known from other data.
        vocabulary: gives the vocabulary of a column of texts; None: texts cannot be read.

    Raises:
        DataError: the column is missing, or is of a kind that cannot be an input.
    """
    import datasets

    for table in split.tables:
        if name not in table.rows.column_names:
            raise Split((table,)).missing_column(name, "data.input_column")
    features = [table.rows.features[name] for table in split.tables]
    if all(isinstance(feature, datasets.Image) for feature in features):
        return ImageColumn(split, name, size, shape)
    if vocabulary is not None and is_text(split, name):
        return TextColumn(split, name, vocabulary())
    if all(_is_numeric(feature) for feature in features):
        return NumberColumn(split, name, shape)
    raise DataError(
        f"{split.where()}: column {name!r} cannot be the input ({_kinds(features)}). Inputs are images, text "
        "or numbers, lists and arrays of numbers, of the same kind in each source; images given by their paths "
        "are read from a folder with a metadata.csv that has a column file_name"
    )


def is_text(split: Split, name: str) -> bool:
    """Return whether column ``name`` holds text in every table of a split."""
    return all(_dtype(table.rows.features.get(name)) in ("string", "large_string") for table in split.tables)


def _is_numeric(feature: object) -> bool:
    inner = feature
    while isinstance(inner, list) or hasattr(inner, "feature"):
        inner = inner[0] if isinstance(inner, list) else inner.feature
    return not hasattr(inner, "names") and _dtype(inner).startswith(("int", "uint", "float", "bool"))


def _dtype(feature: object) -> str:
    return str(getattr(feature, "dtype", ""))


def _kinds(features: Sequence[object]) -> str:
    return ", ".join(dict.fromkeys(str(getattr(f, "dtype", f)) for f in features))

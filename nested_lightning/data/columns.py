"""Read the input column of a source: images, texts or numbers, all splits in the same shape."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from nested_lightning.data.images import ImageColumn
from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.numbers import NumberColumn, are_mostly_numbers
from nested_lightning.data.origin import Origin
from nested_lightning.data.sources import Split
from nested_lightning.data.texts import TextColumn, read_texts
from nested_lightning.data.vocabulary import TextOptions, Vocabulary
from nested_lightning.errors import CheckpointError, ConfigurationError, DataError

InputColumn = ImageColumn | NumberColumn | TextColumn
"""Has the ``shape`` of one input, and reads the inputs of ascending row numbers in one tensor: ``read(rows)``."""


def find_input_column(split: Split, argument: str = "data.input_column") -> str:
    """Return the name of the only image column; DataError that asks for ``argument`` if there is none or several."""
    import datasets

    features = [item for table in split.tables for item in table.rows.features.items()]
    images: set[str] = {name for name, feature in features if isinstance(feature, datasets.Image)}
    if len(images) == 1:
        return images.pop()
    raise DataError(
        f"{split.where()} has {len(images) or 'no'} image columns: set {argument} to the input. The "
        f"columns are {', '.join(map(repr, split.columns))}"
    )


def open_input_column(
    split: Split,
    name: str,
    size: tuple[int, int] | None = None,
    shape: tuple[int, ...] | None = None,
    vocabulary: Callable[[], Vocabulary] | None = None,
    argument: str = "data.input_column",
) -> InputColumn:
    """Return the reader of column ``name``; DataError if the column is missing or cannot be an input.

    Args:
        split: has the column in each of its tables.
        name: the column.
        size: height and width to resize images to.
        shape: shape of one input, if other data determine it.
        vocabulary: returns the vocabulary of a text column; None: text is read as numbers, where the file has no types.
        argument: how messages call ``name``.
    """
    import datasets

    split.require(name, argument)
    features = [table.rows.features[name] for table in split.tables]
    if all(isinstance(feature, datasets.Image) for feature in features):
        return ImageColumn(split, name, size, shape)
    if vocabulary is not None and _is_string(split, name):
        return TextColumn(split, name, vocabulary())
    if all(_is_numeric(table.rows.features[name]) or table.is_untyped for table in split.tables):
        return NumberColumn(split, name, shape)
    kinds = ", ".join(dict.fromkeys(_dtype(feature) or str(feature) for feature in features))
    raise DataError(
        f"{split.where()}: column {name!r} cannot be the input ({kinds}). Inputs are images, text "
        "or numbers, lists and arrays of numbers, of the same kind in each source; images given by their paths "
        "are read from a folder with a metadata.csv that has a column file_name"
    )


def is_text(split: Split, name: str) -> bool:
    """Return whether column ``name`` holds text in every table of a split, not numbers in files without types."""
    return _is_string(split, name) and not all(
        table.is_untyped and are_mostly_numbers(table, name) for table in split.tables
    )


def _is_string(split: Split, name: str) -> bool:
    return all(_dtype(table.rows.features.get(name)) in ("string", "large_string") for table in split.tables)


def _is_numeric(feature: Any) -> bool:
    while isinstance(feature, list) or hasattr(feature, "feature"):
        feature = feature[0] if isinstance(feature, list) else feature.feature
    return not hasattr(feature, "names") and _dtype(feature).startswith(("int", "uint", "float", "bool"))


def _dtype(feature: object) -> str:
    return str(getattr(feature, "dtype", ""))


class Inputs:
    """Read the inputs of any split in the same shape and with the same vocabulary.

    Args:
        column: name of the input column; None: the only image column.
        image_size: side, or height and width, to resize images to.
        text: how texts become token ids.
        source: its split ``train``, or its first one, determines the shape.
        select: returns first the split and the rows of ``train``, on which the vocabulary is trained.
        prefix: of the arguments' names in messages.

    Raises:
        ConfigurationError: ``image_size`` is neither one positive number nor two.
    """

    def __init__(
        self,
        column: str | None,
        image_size: int | list[int] | None,
        text: TextOptions,
        source: LabelledSource,
        select: Callable[[str], tuple[Any, ...]],
        prefix: str = "data.",
    ) -> None:
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size or ())
        if image_size is not None and (len(sides) != 2 or min(sides) < 1):
            raise ConfigurationError(
                f"{prefix}image_size must be one positive number, or height and width; got {image_size}"
            )
        self._image_size: Any = sides or None
        self._column, self._text, self._source, self._select = column, text, source, select
        self._argument = f"{prefix}input_column"
        self._shape: tuple[int, ...] | None = None
        self._vocabulary: Vocabulary | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input; reads the first one."""
        if self._shape is None:
            self._shape = self._open(self._first).shape
        return self._shape

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the texts; trained on the training rows if it was not given."""
        if self._vocabulary is None:
            self._vocabulary = self._new_vocabulary()
        return self._vocabulary

    @property
    def awaits_vocabulary(self) -> bool:
        """Whether the inputs are texts whose vocabulary is still to be trained or loaded from a checkpoint."""
        return self._vocabulary is None and self._is_text

    def refuse_labels(self, columns: str | Sequence[str]) -> None:
        """Raise a ConfigurationError if the input column is a label column."""
        if self._column in ([columns] if isinstance(columns, str) else columns):
            raise ConfigurationError(
                f"data.input_column: {self._column!r} cannot be the input, it is a label column. Name the column of "
                "images, texts or numbers, or other data.label_columns"
            )

    def read(self, split: Split, rows: Tensor) -> Tensor:
        """Return the inputs of ascending row numbers ``LongTensor[N]`` in one tensor ``[N, *shape]``."""
        return self._open(split, self.shape).read(rows)

    def origin(self, split: Split, rows: Tensor) -> tuple[Callable[[int], str] | None, Origin]:
        """Return a function from i to the text of the i-th of ``rows`` (None: no texts), and where they come from."""
        name = self._name(split)
        return partial(_text, split, name, rows) if self._is_text and _is_string(split, name) else None, Origin(
            split, rows, name
        )

    def state_dict(self) -> dict[str, Any]:
        """Return plain values: the shape of one input and, for text, the vocabulary."""
        state: dict[str, Any] = {"input_shape": list(self.shape)}  # trains the vocabulary if there is none yet
        return state if self._vocabulary is None else {**state, "vocabulary": self._vocabulary.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the shape and the vocabulary; CheckpointError if they cannot be read."""
        shape = tuple(state["input_shape"])
        if not all(isinstance(n, int) and n > 0 for n in shape):
            raise CheckpointError(f"the checkpoint was changed: the shape of its inputs is {state['input_shape']}")
        self._shape = shape
        self._vocabulary = Vocabulary.from_state(state["vocabulary"]) if "vocabulary" in state else None

    @property
    def _first(self) -> Split:
        splits = self._source.splits
        return splits.get("train", next(iter(splits.values())))

    def _new_vocabulary(self) -> Vocabulary:
        if self._text.tokenizer is not None:
            return Vocabulary.from_file(self._text.tokenizer, self._text.length)
        try:
            split, rows = self._select("train")[:2]
        except DataError as error:
            raise DataError(
                "there is no vocabulary to read the texts with: it is in the checkpoint of a trained model "
                f"(ckpt_path). Nor can one be trained: {error}"
            ) from error
        name = self._name(split)
        if not _is_string(split, name):
            raise DataError(f"{split.where()}: column {name!r} is not text, and has no vocabulary")
        return Vocabulary.train(read_texts(split, name, rows), self._text)

    @property
    def _is_text(self) -> bool:
        """Whether the inputs are texts: those that a checkpoint's model was trained on, or else the first ones."""
        if self._shape is None and self._vocabulary is None:
            return is_text(self._first, self._name(self._first))
        return self._vocabulary is not None

    def _name(self, split: Split) -> str:
        return self._column or find_input_column(split, self._argument)

    def _open(self, split: Split, shape: tuple[int, ...] | None = None) -> InputColumn:
        name, argument = self._name(split), self._argument
        vocabulary = (lambda: self.vocabulary) if self._is_text else None
        return open_input_column(split, name, self._image_size, shape, vocabulary, argument)


def _text(split: Split, name: str, rows: Tensor, i: int) -> str:
    return next(read_texts(split, name, rows[i : i + 1]))

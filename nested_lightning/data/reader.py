"""What all splits have in common about their inputs: the column, the shape of one input, the vocabulary."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from nested_lightning.data.inputs import InputColumn, find_input_column, is_text, open_input_column
from nested_lightning.data.sources import Split
from nested_lightning.data.texts import read_texts
from nested_lightning.data.vocabulary import TextOptions, Vocabulary
from nested_lightning.errors import CheckpointError, ConfigurationError, DataError


class Inputs:
    """Reads the inputs of any split alike.

    Args:
        column: name of the input column; None: the only image column.
        image_size: height and width to resize images to.
        text: how texts become token ids.
        training_rows: gives the split and the rows to train a vocabulary on.
        first: gives the split whose first row has the shape that all have.
    """

    def __init__(
        self,
        column: str | None,
        image_size: tuple[int, int] | None,
        text: TextOptions,
        training_rows: Callable[[], tuple[Split, Tensor]],
        first: Callable[[], Split],
    ) -> None:
        self._column, self._image_size, self._text = column, image_size, text
        self._training_rows, self._first = training_rows, first
        self._shape: tuple[int, ...] | None = None
        self._vocabulary: Vocabulary | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input; reads one."""
        if self._shape is None:
            self._shape = self._open(self._first()).shape
        return self._shape

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the texts; trained on the training rows where it was not given."""
        if self._vocabulary is None:
            self._vocabulary = self._new_vocabulary()
        return self._vocabulary

    @property
    def awaits_vocabulary(self) -> bool:
        """Whether the inputs are texts whose vocabulary is yet to be trained, or to come from a checkpoint."""
        first = self._first()
        return self._vocabulary is None and is_text(first, self._name(first))

    def refuse_labels(self, columns: str | Sequence[str]) -> None:
        """Raise a ConfigurationError where the input column is a label column, which would be learned by heart."""
        if self._column in ([columns] if isinstance(columns, str) else columns):
            raise ConfigurationError(
                f"data.input_column: {self._column!r} cannot be the input, it is a label column. Name the column of "
                "images, texts or numbers, or other data.label_columns"
            )

    def read(self, split: Split, rows: Tensor) -> Tensor:
        """Return the inputs of ascending row numbers ``LongTensor[N]`` in one tensor ``[N, *shape]``."""
        return self._open(split, self.shape).read(rows)

    def text(self, split: Split, rows: Tensor) -> Callable[[int], str] | None:
        """Return what gives the i-th of ``rows`` as it was written, None where the inputs are no texts."""
        name = self._name(split)
        return partial(_text, split, name, rows) if is_text(split, name) else None

    def state_dict(self) -> dict[str, Any]:
        """Return plain values: the shape of one input and, of text, the vocabulary."""
        state: dict[str, Any] = {"input_shape": list(self.shape)}
        if self._vocabulary is not None:
            state["vocabulary"] = self._vocabulary.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the shape and the vocabulary.

        Raises:
            CheckpointError: the shape is none.
        """
        shape = tuple(state["input_shape"])
        if not all(isinstance(n, int) and n > 0 for n in shape):
            raise CheckpointError(f"the checkpoint was changed: the shape of its inputs is {state['input_shape']}")
        self._shape = shape
        self._vocabulary = Vocabulary.from_state(state["vocabulary"]) if "vocabulary" in state else None

    def _new_vocabulary(self) -> Vocabulary:
        if self._text.tokenizer is not None:
            return Vocabulary.from_file(self._text.tokenizer, self._text.length)
        try:
            split, rows = self._training_rows()
        except DataError as error:
            raise DataError(
                "there is no vocabulary to read the texts with: it is in a trained model's checkpoint (ckpt_path). "
                f"Nor can one be trained: {error}"
            ) from error
        if not is_text(split, self._name(split)):
            raise DataError(f"{split.where()}: column {self._name(split)!r} is no text, and has no vocabulary")
        return Vocabulary.train(read_texts(split, self._name(split), rows), self._text)

    def _name(self, split: Split) -> str:
        return self._column or find_input_column(split)

    def _open(self, split: Split, shape: tuple[int, ...] | None = None) -> InputColumn:
        return open_input_column(split, self._name(split), self._image_size, shape, lambda: self.vocabulary)


def _text(split: Split, name: str, rows: Tensor, i: int) -> str:
    return next(read_texts(split, name, rows[i : i + 1]))

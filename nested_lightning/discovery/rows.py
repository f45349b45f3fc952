"""The rows of a source that has one flat column of labels and no taxonomy yet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.inputs import find_input_column, open_input_column
from nested_lightning.data.labels import read_labels
from nested_lightning.data.sources import Split, open_source
from nested_lightning.data.texts import read_texts
from nested_lightning.data.vocabulary import TextOptions, Vocabulary
from nested_lightning.errors import ConfigurationError, DataError


def labelled_rows(
    source: Any,
    label_column: str = "label",
    input_column: str | None = None,
    image_size: int = 32,
    rows: int = 20_000,
    seed: int = 0,
) -> tuple[Tensor, list[str]]:
    """Read inputs and labels of the split ``train``, or of the only one; rows without a label are left out.

    Args:
        source: see :func:`~nested_lightning.data.sources.open_source`.
        label_column: column of the finest labels.
        input_column: images, numbers or text; None: the only image column.
        image_size: side that images are resized to, so that a shallow classifier is quick.
        rows: at most so many rows are read, drawn evenly from the classes.
        seed: of that draw.

    Returns:
        Inputs as the column's reader gives them, ``[N, ...]``, and N labels.

    Raises:
        ConfigurationError: ``image_size`` is not positive, or there are more classes than ``rows``.
        DataError: a column is missing, or fewer than two labels are known.

    Example:
        >>> inputs, labels = labelled_rows("digits", image_size=8, rows=100)
        >>> inputs.shape, labels.count("7")
        (torch.Size([100, 1, 8, 8]), 10)
    """
    if image_size < 1:
        raise ConfigurationError(f"data.image_size must be at least 1, got {image_size}")
    split = _split(open_source(source))
    labels: list[str | None] = []
    for table in split.tables:
        if label_column not in table.rows.column_names:
            raise Split((table,)).missing_column(label_column, "--label_column")
        labels += read_labels(table, label_column)
    known = {label for label in labels if label is not None}
    if len(known) < 2:
        raise DataError(
            f"{split.where()}: column {label_column!r} has {len(known)} different labels, expected at least 2: "
            "choose another --label_column"
        )
    if rows < len(known):
        raise ConfigurationError(
            f"--rows {rows} is less than one row for each of the {len(known)} labels in column "
            f"{label_column!r} of {split.where()}: give at least {10 * len(known)}"
        )
    chosen = torch.from_numpy(_even_draw(labels, rows, seed))
    column = input_column or find_input_column(split)

    def vocabulary() -> Vocabulary:
        return Vocabulary.train(read_texts(split, column, chosen), TextOptions())

    reader = open_input_column(split, column, (image_size, image_size), vocabulary=vocabulary)
    return reader.read(chosen), [str(labels[row]) for row in chosen.tolist()]


def _split(splits: dict[str, Split]) -> Split:
    if "train" in splits or len(splits) == 1:
        return splits.get("train", next(iter(splits.values())))
    raise DataError(
        f"{next(iter(splits.values())).tables[0].source} has the splits {', '.join(map(repr, splits))}: name the "
        "one to use 'train', or give its file alone"
    )


def _even_draw(labels: Sequence[str | None], n: int, seed: int) -> np.ndarray:
    """Return at most ``n`` ascending row numbers: a class gives fewer than another only if it has no more."""
    rows = np.random.default_rng(seed).permutation([row for row, label in enumerate(labels) if label is not None])
    seen: dict[str | None, int] = {}
    ranks = []
    for row in rows:
        ranks.append(seen.setdefault(labels[row], 0))
        seen[labels[row]] += 1
    chosen: np.ndarray = np.sort(rows[np.argsort(ranks, kind="stable")[:n]])
    return chosen

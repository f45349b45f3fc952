"""Measure which labels a shallow network confuses (Sec. D), from a source with one column of labels."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.columns import Inputs
from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.reading import READING, ReadOptions, warn_of_odd_labels
from nested_lightning.data.vocabulary import TextOptions
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.utils.console import tracked

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FOLDS = 3
_HIDDEN = 64
_EPOCHS_ROWS = 200_000
"""Epochs times samples: few enough passes to leave errors to learn from, and enough of them for small data."""


def labelled_rows(
    source: Any,
    label_column: str = "label",
    input_column: str | None = None,
    image_size: int = 32,
    rows: int = 20_000,
    seed: int = 0,
    reading: ReadOptions = READING,
) -> tuple[Tensor, list[str]]:
    """Read inputs and labels of the split ``train``, or of the only one; rows without a label are left out.

    Args:
        source: see :func:`~nested_lightning.data.sources.open_source`.
        label_column: column of the finest labels.
        input_column: images, numbers or text; None: the only image column.
        image_size: side to resize images to, which keeps a shallow classifier fast.
        rows: maximum number of rows to read, drawn evenly from the classes.
        seed: of that draw.
        reading: how files of text are read, and which texts are labels.

    Returns:
        Inputs as the column's reader returns them, ``[N, ...]``, and N labels.

    Raises:
        ConfigurationError: ``image_size`` is not positive, or there are more classes than ``rows``.
        DataError: a column is missing, or fewer than two labels are known.

    Example:
        >>> inputs, labels = labelled_rows("digits", image_size=8, rows=100)
        >>> inputs.shape, labels.count("7")
        (torch.Size([100, 1, 8, 8]), 10)
    """
    opened = LabelledSource(source, reading=reading)
    if "train" not in opened.splits and len(opened.splits) > 1:
        opened.split("train", "name the split to use 'train', or give its file alone")
    split = opened.splits.get("train", next(iter(opened.splits.values())))
    split.require(label_column, "label_column")
    labels = opened.labels(split, label_column)
    warn_of_odd_labels(labels, label_column, split.where)
    n_classes = len({*labels} - {None})
    if n_classes < 2:
        raise DataError(
            f"{split.where()}: column {label_column!r} has {n_classes} different labels, expected at least 2: "
            "choose another label_column"
        )
    if rows < n_classes:
        raise ConfigurationError(
            f"rows={rows} is less than one row for each of the {n_classes} labels in column "
            f"{label_column!r} of {split.where()}: give at least {10 * n_classes}"
        )
    chosen = torch.from_numpy(_even_draw(labels, rows, seed))
    inputs = Inputs(input_column, image_size, TextOptions(), opened, lambda _: (split, chosen), prefix="")
    return inputs.read(split, chosen), [str(labels[row]) for row in chosen.tolist()]


def _even_draw(labels: Sequence[str | None], n: int, seed: int) -> np.ndarray:
    """Return at most ``n`` ascending row numbers; a class has fewer than another only if it has no more rows."""
    rows = np.random.default_rng(seed).permutation([row for row, label in enumerate(labels) if label is not None])
    seen: dict[str | None, int] = {}
    ranks = []
    for row in rows:
        ranks.append(seen.setdefault(labels[row], 0))
        seen[labels[row]] += 1
    chosen: np.ndarray = np.sort(rows[np.argsort(ranks, kind="stable")[:n]])
    return chosen


def confusion(inputs: Tensor, labels: Sequence[str], seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Count the cross-validated predictions of a network with one hidden layer, one for every sample.

    Args:
        inputs: ``[N, ...]``: uint8 images, floats of any shape, or whole numbers ``[N, L]``: token
            ids, negative = padding.
        labels: N names.
        seed: of folds and weights; the same seed gives the same counts.

    Returns:
        The different labels, sorted, and ``int64[n, n]``: row = label, column = prediction.

    Raises:
        DataError: no class has a sample for each fold, or there is only one class.

    Example:
        >>> left = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        >>> confusion(torch.cat([left, left + 9]), ["left"] * 60 + ["right"] * 60)
        (['left', 'right'], array([[60,  0],
               [ 0, 60]]))
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import confusion_matrix
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neural_network import MLPClassifier

    names, numbers, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.max() < _FOLDS:
        raise DataError(
            f"a classifier needs at least 2 labels, and one of them in {_FOLDS} rows; got {len(names)} labels, "
            f"in at most {counts.max(initial=0)} rows each: give more rows"
        )
    epochs = int(np.clip(_EPOCHS_ROWS / len(labels), 10, 200))
    network = MLPClassifier((_HIDDEN,), max_iter=epochs, random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops early on purpose
        # Held-out samples of a class with fewer of them than folds still show which class it resembles.
        warnings.filterwarnings("ignore", message="The least populated class")
        rows, predictions = features(inputs), np.empty_like(numbers)
        for seen, held_out in tracked(folds.split(rows, numbers), _FOLDS, "a classifier learns the labels"):
            predictions[held_out] = clone(network).fit(rows[seen], numbers[seen]).predict(rows[held_out])
    return names.tolist(), confusion_matrix(numbers, predictions, labels=np.arange(len(names)))


def features(inputs: Tensor) -> Any:
    """Return the features of each input: a float32 array ``[N, F]``, sparse if the inputs are text.

    Args:
        inputs: see :func:`confusion`.
    """
    if inputs.dtype in (torch.int32, torch.int64):
        return bag_of_words(inputs)
    flat = inputs.flatten(1).float()
    if inputs.dtype == torch.uint8:
        # One scale for all pixels: a scale for each would amplify those that are nearly always dark.
        return (flat / 255).numpy()
    return ((flat - flat.mean(0)) / flat.std(0, correction=0).clamp_min(1e-6)).numpy()


def bag_of_words(tokens: Tensor) -> "csr_matrix":
    """Return the weight of every token in every text (tf-idf), regardless of its position.

    Args:
        tokens: whole numbers ``[N, L]``, negative = padding.

    Returns:
        Sparse ``float32[N, largest id + 1]`` with rows of length 1 (0 for an empty text).
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    rows, places = (tokens >= 0).nonzero(as_tuple=True)
    ids = tokens[rows, places].numpy()
    shape = (len(tokens), int(ids.max(initial=0)) + 1)
    counts = csr_matrix((np.ones(len(ids), dtype=np.float32), (rows.numpy(), ids)), shape=shape)
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts)

"""The auxiliary classifier (Sec. D): which classes does a shallow network take for one another?"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.utils.console import tracked

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FOLDS = 3
_HIDDEN = 64
_EPOCHS_ROWS = 200_000
"""Epochs times rows: so few passes that mistakes are left to learn from, and so many that small data are learned."""


def confusion(inputs: Tensor, labels: Sequence[str], seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Count how a network with one hidden layer answers rows that it has not seen, every row once.

    Args:
        inputs: ``[N, ...]``: uint8 images, floats of any shape, or whole numbers ``[N, L]``: token
            ids, negative = padding.
        labels: N names.
        seed: of folds and weights; the same seed gives the same counts.

    Returns:
        The different labels, sorted, and ``int64[n, n]``: row = label, column = answer.

    Raises:
        DataError: no class has a row for each fold, or there is only one class.

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
            f"a classifier needs at least 2 labels, and one of them in {_FOLDS} rows; came {len(names)} labels, "
            f"in at most {counts.max(initial=0)} rows each: give more rows"
        )
    epochs = int(np.clip(_EPOCHS_ROWS / len(labels), 10, 200))
    network = MLPClassifier((_HIDDEN,), max_iter=epochs, random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is to stop early
        # A class with fewer rows than folds still tells, held out, which other class it looks like.
        warnings.filterwarnings("ignore", message="The least populated class")
        rows, answers = features(inputs), np.empty_like(numbers)
        for seen, held_out in tracked(folds.split(rows, numbers), _FOLDS, "a classifier learns the labels"):
            answers[held_out] = clone(network).fit(rows[seen], numbers[seen]).predict(rows[held_out])
    return names.tolist(), confusion_matrix(numbers, answers, labels=np.arange(len(names)))


def features(inputs: Tensor) -> Any:
    """Return one row of features per input: a float32 array ``[N, F]``, sparse where the inputs are text.

    Args:
        inputs: see :func:`confusion`.
    """
    if inputs.dtype in (torch.int32, torch.int64):
        return bag_of_words(inputs)
    flat = inputs.flatten(1).float()
    if inputs.dtype == torch.uint8:
        # One scale for all pixels: each on its own would blow up those that are nearly always dark.
        return (flat / 255).numpy()
    return ((flat - flat.mean(0)) / flat.std(0, correction=0).clamp_min(1e-6)).numpy()


def bag_of_words(tokens: Tensor) -> "csr_matrix":
    """Return the weight of every token in every text (tf-idf), without regard to its place.

    Args:
        tokens: whole numbers ``[N, L]``, negative = padding.

    Returns:
        Sparse ``float32[N, largest id + 1]`` with rows of length 1 (0 where a text is empty).
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    rows, places = (tokens >= 0).nonzero(as_tuple=True)
    ids = tokens[rows, places].numpy()
    shape = (len(tokens), int(ids.max(initial=0)) + 1)
    counts = csr_matrix((np.ones(len(ids), dtype=np.float32), (rows.numpy(), ids)), shape=shape)
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts)

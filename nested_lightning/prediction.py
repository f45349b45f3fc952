"""What a nested network answers for a batch."""

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """The answers for one batch of B samples.

    Attributes:
        probabilities: per level a ``FloatTensor[B, sizes[i]]``, calibrated and combined.
        own_probabilities: per level a ``FloatTensor[B, sizes[i]]``, this level's head alone, calibrated.
        path: ``LongTensor[B, n_levels]``, one consistent answer; -1 below its depth.
        depth: ``LongTensor[B]``, how many levels are answered; 0 when not even the coarsest is sure enough.
        path_confidence: ``FloatTensor[B]``, the probability of the deepest class answered.
    """

    probabilities: list[Tensor]
    own_probabilities: list[Tensor]
    path: Tensor
    depth: Tensor
    path_confidence: Tensor

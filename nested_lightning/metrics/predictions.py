"""Predictions of a batch, and the compact predictions of many samples that are compared with their targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nested_lightning.functional.path import node_confidences
from nested_lightning.taxonomy import Taxonomy


class Prediction(NamedTuple):
    """The predictions for one batch of B samples.

    Attributes:
        probabilities: per level a ``FloatTensor[B, sizes[i]]``, calibrated and combined.
        own_probabilities: per level a ``FloatTensor[B, sizes[i]]``, this level's head alone, calibrated.
        path: ``LongTensor[B, n_levels]``, the nodes of one consistent path; -1 below its depth.
        depth: ``LongTensor[B]``, the number of levels predicted; 0 if not even the coarsest is confident enough.
        path_confidence: ``FloatTensor[B]``, the probability of the deepest class predicted.
    """

    probabilities: list[Tensor]
    own_probabilities: list[Tensor]
    path: Tensor
    depth: Tensor
    path_confidence: Tensor


@dataclass(frozen=True)
class EvaluatedPredictions:
    """Predictions for N samples at the first n levels beside their targets, all tensors ``[N, n]`` on the CPU.

    Attributes:
        target: index of the label, -1 = not known.
        best: index of the most probable class of each level, whatever the other levels say.
        path: index of the class on the one consistent path, uncut.
        confidence: of the path down to each of its nodes, in [0, 1]; never rises from coarse to fine. A level is
            predicted where it is at least the threshold.
    """

    target: Tensor
    best: Tensor
    path: Tensor
    confidence: Tensor

    @classmethod
    def from_log_probabilities(
        cls, log_probabilities: Sequence[Tensor], target: Tensor, taxonomy: Taxonomy
    ) -> "EvaluatedPredictions":
        """Return the predictions of combined log-probabilities ``[N, K_i]``, coarse to fine.

        Args:
            log_probabilities: of the first n levels.
            target: ``LongTensor[N, n_levels]``.
            taxonomy: the tree of labels.

        Example:
            >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")])
            >>> kind, species = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.25, 0.25]])
            >>> log_probabilities, target = [kind.log(), species.log()], torch.tensor([[0, 1]])
            >>> predictions = EvaluatedPredictions.from_log_probabilities(log_probabilities, target, taxonomy)
            >>> predictions.path.tolist(), predictions.confidence.tolist()
            ([[0, 0]], [[0.75, 0.5]])
        """
        best = torch.stack([level.argmax(dim=1) for level in log_probabilities], dim=1)
        path, log_confidence = node_confidences(log_probabilities, taxonomy)
        confidence = log_confidence.exp().clamp(max=1).float().cpu()
        return cls(target[:, : best.shape[1]].cpu(), best.cpu(), path.cpu(), confidence)

    @classmethod
    def cat(cls, parts: Sequence["EvaluatedPredictions"]) -> "EvaluatedPredictions":
        """Return the predictions for all samples of ``parts``, at least one, in their order."""
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in cls.__annotations__})

    def confusion(self, level: int, size: int) -> Tensor:
        """Return the confusion matrix of a level, ``LongTensor[size, size]``: row = label, column = prediction.

        Args:
            level: index of the level.
            size: number of its classes.
        """
        target, best = self.target[:, level], self.best[:, level]
        known = target >= 0
        return torch.bincount(target[known] * size + best[known], minlength=size * size).reshape(size, size)

    def depth(self, threshold: float) -> Tensor:
        """Return the number of levels predicted for each sample: ``LongTensor[N]``."""
        return (self.confidence >= threshold).sum(dim=1)

    def count_depths(self, threshold: float) -> Tensor:
        """Return the number of samples predicted to each depth, from no level to all: ``LongTensor[n + 1, 3]``.

        The columns: correct at every level predicted; incorrect at one of them; correct as far as the label is known,
        which is less deep (or nothing is predicted).
        """
        depth, n = self.depth(threshold), self.path.shape[1]
        predicted = torch.arange(n) < depth[:, None]
        incorrect = (predicted & (self.target >= 0) & (self.path != self.target)).any(dim=1)
        known = (~predicted | (self.target >= 0)).all(dim=1) & (depth > 0)
        kind = torch.where(incorrect, 1, torch.where(known, 0, 2))
        return torch.bincount(3 * depth + kind, minlength=3 * (n + 1)).reshape(n + 1, 3)

    def worst_first(self) -> Tensor:
        """Return all sample numbers: the mistakes, most confident first, then the least confident predictions."""
        incorrect = (self.target >= 0) & (self.path != self.target)
        mistake = self.confidence.masked_fill(~incorrect, -1).max(dim=1).values
        return torch.where(mistake >= 0, 2 + mistake, 1 - self.confidence[:, -1]).argsort(descending=True, stable=True)

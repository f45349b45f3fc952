"""What a model answers to many rows, in little memory: one class and one confidence per row and level."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nested_lightning.functional.path import node_confidences
from nested_lightning.taxonomy import Taxonomy


@dataclass(frozen=True)
class Answers:
    """Answers to N rows at the first n levels, all tensors ``[N, n]`` on the CPU.

    Attributes:
        target: index of the label, -1 = not known.
        best: index of the most probable class of each level, whatever the other levels say.
        path: index of the class on the one consistent path, uncut.
        confidence: of the path down to each of its nodes, in [0, 1]; never rises from coarse to fine. The path is
            answered where it is at least the threshold.
    """

    target: Tensor
    best: Tensor
    path: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, log_probabilities: Sequence[Tensor], target: Tensor, taxonomy: Taxonomy) -> "Answers":
        """Return the answers of combined log-probabilities ``[N, K_i]``, coarse to fine, to targets ``[N, n_levels]``.

        Example:
            >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")])
            >>> kind, species = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.25, 0.25]])
            >>> answers = Answers.of([kind.log(), species.log()], torch.tensor([[0, 1]]), taxonomy)
            >>> answers.path.tolist(), answers.confidence.tolist()
            ([[0, 0]], [[0.75, 0.5]])
        """
        best = torch.stack([level.argmax(dim=1) for level in log_probabilities], dim=1)
        path, log_confidence = node_confidences(log_probabilities, taxonomy)
        confidence = log_confidence.exp().clamp(max=1).float().cpu()
        return cls(target[:, : best.shape[1]].cpu(), best.cpu(), path.cpu(), confidence)

    def confusion(self, level: int, size: int) -> Tensor:
        """Return how often each class of a level got each answer: ``LongTensor[size, size]``, row = label."""
        target, best = self.target[:, level], self.best[:, level]
        known = target >= 0
        return torch.bincount(target[known] * size + best[known], minlength=size * size).reshape(size, size)

    def depth(self, threshold: float) -> Tensor:
        """Return how many levels are answered: ``LongTensor[N]``."""
        return (self.confidence >= threshold).sum(dim=1)

    def depths(self, threshold: float) -> Tensor:
        """Return how many rows are answered to each depth, from none to all levels: ``LongTensor[n + 1, 3]``.

        The columns: right at every level answered; wrong at one of them; right as far as the label is known, which is
        not so deep (or nothing is answered).
        """
        depth, n = self.depth(threshold), self.path.shape[1]
        answered = torch.arange(n) < depth[:, None]
        wrong = (answered & (self.target >= 0) & (self.path != self.target)).any(dim=1)
        known = (~answered | (self.target >= 0)).all(dim=1) & (depth > 0)
        kind = torch.where(wrong, 1, torch.where(known, 0, 2))
        return torch.bincount(3 * depth + kind, minlength=3 * (n + 1)).reshape(n + 1, 3)

    def worst_first(self) -> Tensor:
        """Return all row numbers: mistakes first, the most confident one at the head; then the least sure answers."""
        wrong = (self.target >= 0) & (self.path != self.target)
        mistake = self.confidence.masked_fill(~wrong, -1).max(dim=1).values
        return torch.where(mistake >= 0, 2 + mistake, 1 - self.confidence[:, -1]).argsort(descending=True, stable=True)

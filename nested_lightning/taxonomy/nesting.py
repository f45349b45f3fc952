"""Measure whether labels are nested: the entropies of Definitions 1 and 2 on rows of labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nested_lightning.errors import DataError

_ROUNDING = 1e-12
"""Entropies of the same rows that differ by fewer bits are equal."""


@dataclass(frozen=True)
class NestingReport:
    """Entropies, in bits, of the labels Y_i of each level, alone and given a neighbouring level.

    Attributes:
        levels: level names, coarse to fine.
        entropies: H(Y_i) per level, over the rows in which Y_i and (below the first level) Y_{i-1} are known.
        given_finer: H(Y_i | Y_{i+1}) for every level but the last, over the rows in which both are known.
        given_coarser: H(Y_i | Y_{i-1}) for every level but the first, over the rows in which both are known.
        violations: for every level but the last, the labels of the next finer level that occur together with
            more than one label of this level; all empty if the labels are nested.
    """

    levels: tuple[str, ...]
    entropies: tuple[float, ...]
    given_finer: tuple[float, ...]
    given_coarser: tuple[float, ...]
    violations: tuple[tuple[int, ...], ...]

    @property
    def nested(self) -> bool:
        """Definition 1: every label determines the coarser ones, H(Y_i | Y_{i+1}) = 0."""
        return not any(self.violations)

    @property
    def strictly_nested(self) -> bool:
        """Definition 2: nested, and every level is informative about the next, H(Y_i | Y_{i-1}) < H(Y_i)."""
        pairs = zip(self.given_coarser, self.entropies[1:], strict=True)
        return self.nested and all(given < entropy - _ROUNDING for given, entropy in pairs)

    def __str__(self) -> str:
        width = max(len("level"), *map(len, self.levels))
        lines = [f"{'level':{width}}  {'H(Y_i)':>10}  {'H(Y_i|Y_i+1)':>12}  {'H(Y_i|Y_i-1)':>12}  (bits)"]
        columns = (self.entropies, (*self.given_finer, None), (None, *self.given_coarser))
        for level, entropy, finer, coarser in zip(self.levels, *columns, strict=True):
            given = "  ".join(f"{'-' if bits is None else f'{bits:.4f}':>12}" for bits in (finer, coarser))
            lines.append(f"{level:{width}}  {entropy:>10.4f}  {given}")
        for level, fine, labels in zip(self.levels[:-1], self.levels[1:], self.violations, strict=True):
            if labels:
                shown = ", ".join(map(str, labels[:8])) + (", ..." if len(labels) > 8 else "")
                lines.append(f"labels of '{fine}' that occur with more than one '{level}': {shown}")
        kind = "strictly nested" if self.strictly_nested else "nested, not strictly" if self.nested else "not nested"
        return "\n".join([*lines, f"the labels are {kind}"])


def nesting_report(targets: Tensor, levels: Sequence[str] | None = None, counts: Tensor | None = None) -> NestingReport:
    """Measure whether labels are nested (Definition 1) and strictly nested (Definition 2).

    The columns may contain any integer labels, nested or not. For the classes of a taxonomy, weighted by the number
    of rows of each leaf, give ``targets = taxonomy.lift(torch.arange(taxonomy.sizes[-1]), -1)`` and the ``counts``
    of the leaves.

    Args:
        targets: integers [N, n_levels], coarse to fine; -1 (or any negative number) = unknown.
        levels: level names; ``l1, l2, ...`` by default.
        counts: how often each row occurs, non-negative integers [N]; once by default.

    Raises:
        DataError: the shapes do not fit, or no row has labels of two neighbouring levels.

    Example:
        >>> print(nesting_report(torch.tensor([[0, 0], [0, 1], [1, 2], [1, -1]]), ["kind", "species"]))
        level        H(Y_i)  H(Y_i|Y_i+1)  H(Y_i|Y_i-1)  (bits)
        kind         1.0000        0.0000             -
        species      1.5850             -        0.6667
        the labels are strictly nested
    """
    if targets.ndim != 2 or targets.shape[1] < 2 or not _is_integer(targets):
        raise DataError(
            "expected integer labels of shape [rows, levels] with at least 2 levels, got "
            f"{targets.dtype} of shape {tuple(targets.shape)}"
        )
    names = tuple(levels or (f"l{number}" for number in range(1, targets.shape[1] + 1)))
    if len(names) != targets.shape[1]:
        raise DataError(
            f"expected one column for each of the levels {', '.join(names)}, got {targets.shape[1]} columns"
        )
    counts = torch.ones(len(targets), dtype=torch.long) if counts is None else counts
    if counts.shape != (len(targets),) or not _is_integer(counts) or (counts < 0).any():
        raise DataError(
            f"expected a non-negative integer count for each of the {len(targets)} rows, got {counts.dtype} "
            f"of shape {tuple(counts.shape)}"
        )
    counts = counts.to(targets.device, torch.long)
    targets, counts = targets[counts > 0], counts[counts > 0]
    first = targets[:, 0] >= 0
    entropies = [_entropy(targets[first, 0], counts[first])]
    given_finer, given_coarser, violations = [], [], []
    for level in range(1, len(names)):
        both = (targets[:, level - 1] >= 0) & (targets[:, level] >= 0)
        if not both.any():
            raise DataError(
                f"levels '{names[level - 1]}' and '{names[level]}' cannot be compared: no row has a label of "
                "both. Give rows labelled at both levels"
            )
        coarse, fine, weight = targets[both, level - 1], targets[both, level], counts[both]
        entropies.append(_entropy(fine, weight))
        given_finer.append(_entropy(coarse, weight, given=fine))
        given_coarser.append(_entropy(fine, weight, given=coarse))
        pairs = torch.unique(torch.stack([coarse, fine], dim=1), dim=0)
        labels, n_parents = torch.unique(pairs[:, 1], return_counts=True)
        violations.append(tuple(labels[n_parents > 1].tolist()))
    return NestingReport(names, tuple(entropies), tuple(given_finer), tuple(given_coarser), tuple(violations))


def _entropy(labels: Tensor, counts: Tensor, given: Tensor | None = None) -> float:
    """Return H(Y) or H(Y | Z) in bits; exactly 0 if Z determines Y, because then every ratio below is 1."""
    given = torch.zeros_like(labels) if given is None else given
    ratios = _totals(given, counts) / _totals(torch.stack([labels, given], dim=1), counts)
    return float((counts * ratios.log2()).sum() / counts.sum())


def _totals(values: Tensor, counts: Tensor) -> Tensor:
    """Return for each row how often its value occurs in all rows: float64, exact up to 2^53."""
    distinct, number = torch.unique(values, dim=0, return_inverse=True)
    return counts.new_zeros(len(distinct)).index_add(0, number, counts)[number].double()


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)

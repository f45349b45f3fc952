"""Measure how much classes and groups are confused, and put confused classes side by side."""

from collections.abc import Sequence

import numpy as np

from nested_lightning.errors import DataError, TaxonomyError
from nested_lightning.functional.reliability import normalised
from nested_lightning.taxonomy import Taxonomy


def affinity(matrix: np.ndarray) -> np.ndarray:
    """Return how much each pair of classes is confused: symmetric, diagonal 0, float64 ``[n, n]``.

    Scaled so that the sum over all pairs of different groups is the mass between them (see
    :func:`off_diagonal_masses`); every class has the same weight.
    """
    shares = normalised(matrix)
    symmetric: np.ndarray = (shares + shares.T) / (2 * len(shares))
    np.fill_diagonal(symmetric, 0)
    return symmetric


def mass_between(affinity: np.ndarray, groups: np.ndarray) -> float:
    """Return the sum of ``affinity`` ``[n, n]`` over the pairs of classes whose ``groups`` ``[n]`` differ."""
    return float(affinity[groups[:, None] != groups[None, :]].sum())


def off_diagonal_masses(taxonomy: Taxonomy, names: Sequence[str], matrix: np.ndarray) -> tuple[float, ...]:
    """Return for each level the share of samples that are predicted as a class of another group (Sec. D).

    It is the L1 norm of what lies outside the groups' diagonal blocks, after each row of the matrix is normalised to
    sum to 1, divided by the number of classes. At the finest level it is the classifier's error averaged over
    classes.

    Args:
        taxonomy: its leaves are the classes.
        names: of the rows and columns of ``matrix``.
        matrix: counts ``[n, n]``: row = label, column = prediction.

    Raises:
        TaxonomyError: a name is not a leaf of the taxonomy.
        DataError: see :func:`~nested_lightning.functional.reliability.normalised`; or names and matrix differ in size.

    Example:
        >>> taxonomy = Taxonomy.from_paths(["round/6", "round/8", "straight/1"])
        >>> off_diagonal_masses(taxonomy, ["1", "6", "8"], np.array([[4, 0, 4], [0, 3, 1], [0, 1, 3]]))
        (0.16666666666666666, 0.3333333333333333)
    """
    close = affinity(matrix)
    if len(names) != len(close):
        raise DataError(f"{len(names)} names are given for a confusion matrix of {len(close)} classes")
    targets = np.array([taxonomy.target(taxonomy.find(name)) for name in names])
    if (targets < 0).any():
        inner = names[int((targets < 0).any(1).argmax())]
        raise TaxonomyError(f"the label {inner!r} is not a leaf of the taxonomy: it has classes below it")
    return tuple(mass_between(close, groups) for groups in targets.T)


def seriate(affinity: np.ndarray) -> np.ndarray:
    """Return the classes in the leaf order of an average-linkage tree, turned so that neighbours are close.

    The affinity is symmetric and non-negative ``[n, n]``, its diagonal is ignored; the result is a permutation.

    Example:
        >>> seriate(np.array([[0, 1, 9, 0], [1, 0, 0, 9], [9, 0, 0, 0], [0, 9, 0, 0]]))
        array([2, 0, 1, 3])
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if len(affinity) < 3:
        return np.arange(len(affinity))
    close = squareform(np.asarray(affinity, dtype=np.float64), checks=False)
    # The root spreads the affinities, most of which are tiny compared with the largest.
    distances = 1 - np.sqrt(close / max(close.max(), np.finfo(float).tiny))
    order: np.ndarray = leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).astype(np.int64)
    return order

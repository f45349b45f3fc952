"""Putting classes in a line so that those which are confused stand side by side."""

import numpy as np


def seriate(affinity: np.ndarray) -> np.ndarray:
    """Return the order of the classes in a tree of average linkage, its branches turned so that neighbours are close.

    Args:
        affinity: symmetric, non-negative ``[n, n]``; the diagonal is not looked at.

    Returns:
        Permutation ``int64[n]``.

    Example:
        >>> seriate(np.array([[0, 1, 9, 0], [1, 0, 0, 9], [9, 0, 0, 0], [0, 9, 0, 0]]))
        array([2, 0, 1, 3])
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if len(affinity) < 3:
        return np.arange(len(affinity))
    close = squareform(np.asarray(affinity, dtype=np.float64), checks=False)
    # The root spreads affinities, most of which are tiny beside the largest.
    distances = 1 - np.sqrt(close / max(close.max(), np.finfo(float).tiny))
    order: np.ndarray = leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).astype(np.int64)
    return order

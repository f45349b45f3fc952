"""Divide classes into groups of similar size with as little confusion between the groups as possible."""

import numpy as np

from nested_lightning.discovery.affinity import mass_between, seriate

_STARTS = 10  # of even sizes, and twice as many of any sizes
_ROUNDING = 1e-12


def split(affinity: np.ndarray, n_groups: int, slack: int = 0, seed: int = 0) -> list[np.ndarray]:
    """Divide classes into groups of similar size with little affinity between them (Sec. D).

    The best cut of the seriated classes and some random divisions are improved by exchanges; the best one is returned.

    Args:
        affinity: symmetric, non-negative ``[n, n]``, diagonal 0.
        n_groups: number of groups, 1 to n.
        slack: how many classes more or fewer than an even share a group may have.
        seed: of the random divisions.

    Returns:
        Class numbers of each group, groups and classes in the order of seriation.

    Example:
        >>> split(np.array([[0, 1, 9, 0], [1, 0, 0, 9], [9, 0, 0, 0], [0, 9, 0, 0]]), 2)
        [array([0, 2]), array([1, 3])]
    """
    n = len(affinity)
    smallest, largest = size_bounds(n, n_groups, slack)
    order = seriate(affinity)
    first = np.empty(n, dtype=np.int64)
    first[order] = best_cut(affinity[np.ix_(order, order)], n_groups, smallest, largest)
    random = np.random.default_rng(seed)
    starts = [first, *(random.permutation(np.arange(n) % n_groups) for _ in range(_STARTS))]
    # Exchanges that start from two groups of four do not find groups of two and six.
    starts += [random.permutation(_any_sizes(n, n_groups, smallest, largest, random)) for _ in range(2 * _STARTS)]
    divisions = [exchanged(affinity, start, smallest, largest) for start in starts]
    # The first of equal ones: differences by rounding alone must not depend on the machine.
    groups = min(divisions, key=lambda division: round(mass_between(affinity, division), 12))
    members = [np.flatnonzero(groups == group) for group in range(n_groups)]
    between = np.array([[affinity[np.ix_(a, b)].sum() for b in members] for a in members])
    return [members[i][seriate(affinity[np.ix_(members[i], members[i])])] for i in seriate(between)]


def _any_sizes(n: int, n_groups: int, smallest: int, largest: int, random: np.random.Generator) -> np.ndarray:
    sizes = np.full(n_groups, smallest)
    while sizes.sum() < n:
        sizes[random.choice(np.flatnonzero(sizes < largest))] += 1
    return np.repeat(np.arange(n_groups), sizes)


def size_bounds(n: int, n_groups: int, slack: int) -> tuple[int, int]:
    """Return the smallest and largest size of a group.

    Example:
        >>> size_bounds(10, 4, 0), size_bounds(10, 4, 2)
        ((2, 3), (1, 5))
    """
    return max(1, n // n_groups - slack), -(-n // n_groups) + slack


def best_cut(affinity: np.ndarray, n_groups: int, smallest: int, largest: int) -> np.ndarray:
    """Return the group of each class for the cut of a line that leaves the least affinity between groups.

    Exact, by dynamic programming over the number of groups and the position where the last one ends. The affinity is
    symmetric ``[n, n]``, in the order of the line; the result is ``int64[n]``, ascending from 0. It must be possible to
    divide n classes into ``n_groups`` groups of ``smallest`` to ``largest`` members.
    """
    n = len(affinity)
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = affinity.cumsum(0).cumsum(1)
    corner = np.diagonal(sums)
    within = np.full(n + 1, -np.inf)  # affinity within the groups of the best cut of the first i classes
    within[0] = 0
    starts = np.zeros((n_groups, n + 1), dtype=np.int64)
    for group in range(n_groups):
        extended = np.full(n + 1, -np.inf)
        for stop in range(smallest, n + 1):
            begin = np.arange(max(0, stop - largest), stop - smallest + 1)
            block = corner[stop] - sums[begin, stop] - sums[stop, begin] + corner[begin]
            best = int((within[begin] + block).argmax())
            extended[stop], starts[group, stop] = (within[begin] + block)[best], begin[best]
        within = extended
    groups = np.zeros(n, dtype=np.int64)
    stop = n
    for group in reversed(range(n_groups)):
        groups[starts[group, stop] : stop] = group
        stop = starts[group, stop]
    return groups


def exchanged(affinity: np.ndarray, groups: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    """Move single classes and swap pairs, the largest gain first, until nothing more is gained.

    The affinity is symmetric ``[n, n]`` with diagonal 0, ``groups`` the group of each class, ``int64[n]`` from 0. The
    result never has more affinity between groups, which keep ``smallest`` to ``largest`` members.
    """
    groups = groups.copy()
    everyone = np.arange(len(groups))
    while True:
        member = groups[:, None] == np.arange(groups.max() + 1)
        sizes = member.sum(0)
        towards = affinity @ member
        own = towards[everyone, groups]
        gain = towards - own[:, None]
        swap = gain[:, groups] + gain[:, groups].T - 2 * affinity
        move = np.where((sizes[groups] > smallest)[:, None] & (sizes < largest) & ~member, gain, -np.inf)
        if max(swap.max(), move.max()) < _ROUNDING:
            return groups
        if move.max() >= swap.max():
            one, group = np.unravel_index(move.argmax(), move.shape)
            groups[one] = group
        else:
            one, other = np.unravel_index(swap.argmax(), swap.shape)
            groups[[one, other]] = groups[[other, one]]

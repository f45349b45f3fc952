"""Taxonomies, random ones among them, and predictions on them."""

import random

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from nested_lightning.functional.combination import COMBINATIONS
from nested_lightning.taxonomy import Taxonomy

LEAVES = ["a/a.1/x", "a/a.1/y", "a/a.2/z", "b/b.1/x", "b/b.2", "c", "a/x/x", "a/x/w"]
TREE = Taxonomy(["coarse", "middle", "fine"], [leaf.split("/") for leaf in LEAVES])


def predictions(
    seed: int, n: int = 50, rule: str = "independent", sharpness: float = 3.0
) -> tuple[list[Tensor], Tensor]:
    """Return log-probabilities for ``n`` samples, correct the more often the more confident, and cut targets."""
    generator = torch.Generator().manual_seed(seed)
    target = TREE.lift(torch.randint(TREE.sizes[-1], (n,), generator=generator), 2)
    logs = []
    for level, size in enumerate(TREE.sizes):
        logits = torch.randn(n, size + 1, generator=generator) + 1.5 * one_hot(target[:, level], size + 1)
        logs.append((sharpness * logits).log_softmax(dim=1)[:, :-1])
    depth = torch.randint(4, (n, 1), generator=generator)
    return COMBINATIONS[rule](logs, TREE), target.masked_fill(torch.arange(3) >= depth, -1)


def random_taxonomy(rng: random.Random, depth: int) -> Taxonomy:
    """Return a ragged tree with 1 to 3 children per node, fewer where the level is wide already."""
    leaves, layer = [], [(name,) for name in "abc"[: rng.randint(1, 3)]]
    for _ in range(1, depth):
        if len(layer) > 1 and rng.random() < 0.3:
            leaves.append(layer.pop(rng.randrange(len(layer))))
        most = 3 if len(layer) < 6 else 1
        layer = [(*path, f"{path[-1]}{i}") for path in layer for i in range(rng.randint(1, most))]
    return Taxonomy([f"l{i}" for i in range(depth)], leaves + layer)


def random_probabilities(rng: random.Random, size: int) -> list[float]:
    """Return probabilities with a rejected rest; zeros, ones and a sample of zeros among them."""
    kind = rng.choice(("usual", "zeros", "one", "none"))
    if kind == "none":
        return [0.0] * size
    if kind == "one":
        confident = rng.randrange(size)
        return [float(i == confident) for i in range(size)]
    values = [rng.random() * (kind == "usual" or rng.random() < 0.5) for _ in range(size)]
    rest = rng.choice((0, 0.4)) + (sum(values) == 0)
    return [v / (sum(values) + rest) for v in values]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Taxonomy, list[list[list[float]]]]:
    """Draw a taxonomy, and per level the probabilities of some samples, for the first levels or for all."""
    rng = random.Random(draw(st.integers(0, 10**9)))
    taxonomy = random_taxonomy(rng, draw(st.integers(2, 8)))
    given_levels, n = draw(st.integers(1, taxonomy.n_levels)), draw(st.integers(1, 4))
    return taxonomy, [[random_probabilities(rng, k) for _ in range(n)] for k in taxonomy.sizes[:given_levels]]


def combined(rule: str, probabilities: list[list[list[float]]], taxonomy: Taxonomy) -> list[Tensor]:
    """Return the probabilities that the rule makes of those given, in double precision."""
    logs = [torch.tensor(level, dtype=torch.float64).log() for level in probabilities]
    return [level.exp() for level in COMBINATIONS[rule](logs, taxonomy)]

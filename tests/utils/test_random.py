"""Seeds from keys."""

import torch

from nested_lightning.utils.random import generator_from, seed_from


def test_seeds_differ_between_keys_and_do_not_change() -> None:
    keys = [(seed, level, epoch) for seed in range(10) for level in range(5) for epoch in range(20)]
    assert len({seed_from("order", *key) for key in keys}) == len(keys)
    assert seed_from("order", 0, 1, 2) == 1311646819140129197  # a changed rule would change every partition


def test_generators_do_not_touch_the_global_one() -> None:
    state = torch.get_rng_state()
    first, second = (torch.rand(3, generator=generator_from("a", 1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())

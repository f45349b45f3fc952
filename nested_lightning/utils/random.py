"""Random numbers that depend on a key alone, not on the numbers drawn before."""

import hashlib
import os
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import lightning as L


def run_seed() -> int:
    """Return the seed that ``seed_everything`` has set, else 0."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def seed_from(*key: int | str) -> int:
    """Return a seed in [0, 2^63), the same for equal keys on every machine and in every Python.

    Example:
        >>> seed_from(0, "order", 2) == seed_from(0, "order", 2)
        True
        >>> seed_from(0, 12) == seed_from(0, 1, 2)
        False
    """
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_from(*key: int | str) -> torch.Generator:
    """Return a torch generator seeded with :func:`seed_from` of the key."""
    return torch.Generator().manual_seed(seed_from(*key))


def reseed(trainer: "L.Trainer") -> None:
    """Seed torch's global generators from the seed of the run, the number of training batches so far and the rank.

    Dropout and augmentation of a batch then depend only on its place in the training. A resumed run draws the same
    numbers as an uninterrupted one, although a checkpoint stores no generator.
    """
    batches = trainer.fit_loop.total_batch_idx + 1
    seed = (run_seed() * 1_000_003 + batches) * 1024 + trainer.global_rank
    torch.default_generator.manual_seed(seed)
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.manual_seed(seed)

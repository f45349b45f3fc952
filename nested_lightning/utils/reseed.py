"""Random numbers that survive a kill: seeded anew from a counter, so that no state has to be stored."""

import lightning as L
import torch

from nested_lightning.utils.random import run_seed


def reseed(trainer: L.Trainer) -> None:
    """Seed torch's generators from (seed of the run, training batches so far, rank).

    Dropout and augmentation of a batch then depend on its place in the training alone: a resumed run, which
    could restore only one rank's generator, draws what the uninterrupted one drew.
    """
    batches = trainer.fit_loop.total_batch_idx + 1
    seed = (run_seed() * 1_000_003 + batches) * 1024 + trainer.global_rank
    torch.default_generator.manual_seed(seed)
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.manual_seed(seed)

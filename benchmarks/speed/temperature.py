"""Measure how long the search for temperatures takes on trees with many leaves, and how much memory it needs.

Embeddings and weights are random: time and memory depend on the numbers of samples and classes alone. CPU time depends
less on other load of the machine than wall time; ``OMP_NUM_THREADS=1`` makes both alike.
"""

import argparse
import resource
import time

import lightning as L
import torch
from torch import nn

from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.callbacks import TemperatureScaling
from nested_lightning.metrics.evaluation import Outputs

CHANNELS = 64


def main(args: list[str]) -> None:
    """Print the CPU time and the peak memory of the process for each number of leaves."""
    parser = argparse.ArgumentParser("python -m benchmarks.speed temperature", description=__doc__)
    parser.add_argument("--leaves", type=int, nargs="+", default=[100, 1000, 10_000], help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=10_000, help="validation samples (default: %(default)s)")
    parser.add_argument("--method", choices=["ece_grid", "nll"], default="ece_grid", help="default: %(default)s")
    options = parser.parse_args(args)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    print(f"{options.method}, {options.samples} samples, {torch.get_num_threads()} threads")
    for n in options.leaves:
        seconds = time_search(trainer, n, options.samples, options.method)
        # Kilobytes on Linux; never falls, so give the largest number of leaves last.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{n} leaves: {seconds:.1f} s CPU, peak memory {peak:.1f} GiB", flush=True)


def time_search(trainer: L.Trainer, n_leaves: int, n: int, method: str) -> float:
    """Return the seconds of CPU time for all levels of a tree with four levels and ten children per node."""
    paths = [tuple(str(leaf // size) for size in (1000, 100, 10, 1)) for leaf in range(n_leaves)]
    taxonomy = Taxonomy(["l1", "l2", "l3", "l4"], paths)
    module = NestedLightningModule(nn.Identity(), taxonomy, bottleneck_channels=CHANNELS, feature_channels=CHANNELS)
    target = taxonomy.lift(torch.randint(n_leaves, (n,)), 3)
    embeddings = [nn.functional.normalize(torch.randn(n, CHANNELS), dim=1) for _ in taxonomy.levels]
    start = time.process_time()
    TemperatureScaling(method).calibrate(trainer, module, Outputs(embeddings, target, None, None))
    return time.process_time() - start

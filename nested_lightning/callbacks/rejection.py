"""Fine-tuning of the rejection classes (Sec. 4.4, C.3), the first step of calibration."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.evaluation import interruptible, run_network
from nested_lightning.errors import CalibrationError
from nested_lightning.functional.calibration import rejection_count, sample_rejection
from nested_lightning.metrics.evaluation import Outputs
from nested_lightning.models import BottleneckHead
from nested_lightning.module import NestedLightningModule
from nested_lightning.utils.random import run_seed


class RejectionFineTuning(Calibrator):
    """Train a class for "none of these" in each level's linear head.

    A level's linear layer is trained on the embeddings of the training samples known at that level, and on synthetic
    ones drawn uniformly, which are labelled as the rejection class. Nothing else changes.

    Args:
        distribution: where synthetic embeddings are drawn: the whole unit ``"sphere"`` (the paper), its
            ``"orthant"`` of non-negative coordinates, where embeddings after ReLU and pooling lie, or the
            ``"ball"``.
        samples: synthetic embeddings of a level, in units of 0.5 * training samples * sqrt(embedding dimension).
        steps: optimizer steps; 0 leaves the rejection classes masked out.
        learning_rate: of Adam. The authors use 1e-3 and do not report the length of training; before convergence
            the rejection class keeps a share of every sample's probability, so the default is larger.
        batch_size: of real and synthetic embeddings together.
        refit_classes: whether the weights of the real classes are fine-tuned too (the paper), or only those of the
            rejection class. Where embeddings are wide and labels few, the real classes would overfit the training
            samples.

    Raises:
        CalibrationError: there is no validation data, or a level has no label in the training data.
    """

    def __init__(
        self,
        distribution: Literal["sphere", "orthant", "ball"] = "sphere",
        samples: float = 1.0,
        steps: int = 2000,
        learning_rate: float = 1e-2,
        batch_size: int = 256,
        refit_classes: bool = True,
    ) -> None:
        super().__init__()
        self.distribution: Literal["sphere", "orthant", "ball"] = distribution
        self.samples = samples
        self.steps = steps
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.refit_classes = refit_classes

    def calibrate(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> None:
        if self.steps == 0:
            return
        train = run_network(trainer, module, _training_loader(trainer))
        for i, head in enumerate(module.network.heads):
            known = train.target[:, i] >= 0
            if not known.any():
                raise CalibrationError(
                    f"no training sample has a label at level {module.taxonomy.levels[i]!r}, so its rejection class "
                    "cannot be trained: add labelled samples, or remove RejectionFineTuning"
                )
            generator = torch.Generator().manual_seed(run_seed() * 1000 + i)
            progress = partial(
                interruptible, trainer, description=f"rejection, {module.taxonomy.levels[i]}", total=self.steps
            )
            self._fine_tune(head, train.embeddings[i][known], train.target[known, i], generator, progress)

    def _fine_tune(
        self,
        head: BottleneckHead,
        embeddings: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        show_progress: Callable[[Iterable[Tensor]], Iterable[Tensor]],
    ) -> None:
        dim, rejection = embeddings.shape[1], head.linear.out_features - 1
        n_synthetic = round(self.samples * rejection_count(len(embeddings), dim))
        synthetic = sample_rejection(n_synthetic, dim, self.distribution, generator=generator).to(embeddings)
        x = torch.cat([embeddings, synthetic])
        y = torch.cat([labels, labels.new_full((n_synthetic,), rejection)])
        head.rejection_fitted.fill_(True)
        optimizer = torch.optim.Adam(head.linear.requires_grad_(True).parameters(), lr=self.learning_rate)
        with torch.enable_grad():
            for batch in show_progress(islice(_batches(len(x), self.batch_size, generator), self.steps)):
                optimizer.zero_grad()
                cross_entropy(head.classify(x[batch]), y[batch]).backward()
                if not self.refit_classes:
                    for parameter in head.linear.parameters():
                        parameter.grad[:-1] = 0  # type: ignore[index]  # a gradient was just computed
                optimizer.step()


def _batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(n, generator=generator).split(size)


def _training_loader(trainer: L.Trainer) -> Any:
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if hasattr(datamodule, "labelled_dataloader"):
        return datamodule.labelled_dataloader()
    return trainer.train_dataloader

"""The stage of training, on which data, module and callbacks agree."""

import math
from dataclasses import dataclass
from typing import Literal

StageData = Literal["exact", "all"]


@dataclass(frozen=True)
class Stage:
    """What is being trained now.

    It is the attribute ``stage`` of a :class:`~nested_lightning.NestedLightningModule`. Only
    :class:`~nested_lightning.callbacks.CascadeTraining` replaces it; everything else reads it.

    Attributes:
        level: index of the finest level that is run and trained, 0 = coarsest.
        epoch: epochs completed in this stage.
        data: ``"exact"``: the samples labelled up to ``level`` and no further (D_i of Sec. 4.3);
            ``"all"``: every training sample, unknown levels masked out of the loss (Sec. 5).
        learning_rate: of the stage's optimizer; None: the optimizer's own.
        finished: whether no further stage follows and the weights are final.
        number: place in the cascade, from 1.
        count: stages of the cascade, 0 without a cascade. Without one, the following attributes mean nothing.
        max_epochs: the most epochs of this stage.
        epochs_left: the most epochs left in this and all later stages.
        best_loss: the lowest validation loss of this stage.
        patience: epochs without improvement after which the stage ends.
        patience_left: how many of them are left.
    """

    level: int
    epoch: int = 0
    data: StageData = "all"
    learning_rate: float | None = None
    finished: bool = False
    number: int = 1
    count: int = 0
    max_epochs: int = 0
    epochs_left: int = 0
    best_loss: float = math.inf
    patience: int = 0
    patience_left: int = 0

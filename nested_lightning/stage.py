"""The stage of training: the one thing that data, module and callbacks agree on."""

from dataclasses import dataclass
from typing import Literal

StageData = Literal["exact", "all"]


@dataclass(frozen=True)
class Stage:
    """What is being trained now.

    A :class:`~nested_lightning.NestedLightningModule` carries one in its attribute ``stage``; only
    :class:`~nested_lightning.callbacks.CascadeTraining` replaces it. Everything else reads it.

    Attributes:
        level: index of the finest level that is run and trained, 0 = coarsest.
        epoch: epochs already finished in this stage.
        data: ``"exact"``: the rows labelled up to ``level`` and no further (D_i of Sec. 4.3);
            ``"all"``: every training row, unknown levels masked out of the loss (Sec. 5).
        learning_rate: of the stage's optimizer; None: the optimizer's own.
        finished: whether no further stage is to come and the weights are final.
    """

    level: int
    epoch: int = 0
    data: StageData = "all"
    learning_rate: float | None = None
    finished: bool = False

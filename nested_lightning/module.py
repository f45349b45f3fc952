"""The Lightning module: a nested network with its loss, metrics, optimizer and predictions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nested_lightning.checkpoints.io import refuse_other_weights
from nested_lightning.errors import CheckpointError, ConfigurationError
from nested_lightning.functional.calibration import log_probabilities
from nested_lightning.functional.combination import CombinationRule, get_combination
from nested_lightning.functional.losses import Criterion, inverse_frequency_weights, nested_loss
from nested_lightning.functional.path import consistent_path
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.epoch_loss import EpochLoss, finite_samples, non_finite
from nested_lightning.metrics.evaluation import Evaluation
from nested_lightning.metrics.predictions import Prediction
from nested_lightning.models import DenseBottleneck, NestedNetwork
from nested_lightning.models.layers import evaluation_mode, train_on_any_batch
from nested_lightning.stage import Stage
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils import training
from nested_lightning.utils.hparams import keep_plain, not_plain, plain

Batch = tuple[Tensor, Tensor]


class NestedLightningModule(L.LightningModule):
    """Nested learning (Sec. 4) around any backbone.

    Trained by a stock ``Trainer`` with every level at once, or stage by stage with
    :class:`~nested_lightning.callbacks.CascadeTraining`. To replace the loss, give a ``criterion`` or override
    :meth:`loss`; the optimizer per stage, :meth:`configure_optimizers`.

    Args:
        backbone: gives one feature tensor, or a list or dict of them from shallow to deep.
        taxonomy: the tree of labels, or its :meth:`Taxonomy.to_dict` form. Under the command line it comes
            from the data.
        bottleneck: builds a level's bottleneck from (previous channels, skip channels, channels).
        bottleneck_channels: width of the bottlenecks, one number or one per level.
        skip_connections: whether finer bottlenecks see the backbone besides the coarser bottleneck.
        feature_channels: channels of the backbone's features, needed where it has no attribute ``out_channels``.
        optimizer: builds the optimizer of a stage from the parameters that train in it. Of several parameter groups the
            largest learning rate becomes the stage's, and the others keep their ratio to it.
        combination: how the levels' probabilities become one prediction: a name of
            ``nested_lightning.functional.combination.COMBINATIONS`` or a function. ``nested`` is Eq. 2.
        loss_weights: the alphas of Sec. 4.3, one per level. None: inversely proportional to the number of training
            samples known at each level if the data module counts them, else 1.
        label_smoothing: the part of a label that is spread evenly over the level's classes, against overconfidence
            where labels are few.
        criterion: a loss to use instead of :func:`~nested_lightning.functional.nested_loss`, such as
            ``nested_lightning.functional.marginal_loss``. Weights and smoothing do not apply to it.
        threshold: a predicted path ends before the first level whose confidence is below it.

    Attributes:
        stage: what is being trained; :class:`~nested_lightning.callbacks.CascadeTraining` sets it.
        evaluation: metrics and predictions at the end of training, before and after calibration; None until then.
        learning_rate: the optimizer's without a cascade, such as ``Tuner.lr_find`` sets it; None: the optimizer's own.

    Raises:
        ConfigurationError: arguments that do not fit the taxonomy.
        CheckpointError: on loading a checkpoint of another taxonomy or network.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "eagle"), ("bird", "owl"), ("fish", "cod")])
        >>> module = NestedLightningModule(nn.Linear(5, 8), taxonomy, feature_channels=8).eval()
        >>> [tuple(p.shape) for p in module.predict(torch.randn(4, 5)).probabilities]
        [(4, 2), (4, 3)]
    """

    loss_weights: Tensor
    temperatures: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        taxonomy: Taxonomy | Mapping[str, Any],
        bottleneck: Callable[[int, int, int], nn.Module] = DenseBottleneck,
        bottleneck_channels: int | list[int] = 64,
        skip_connections: bool = True,
        feature_channels: int | list[int] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = Adam,
        combination: str | CombinationRule = "nested",
        loss_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        criterion: Criterion | None = None,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        bottleneck_channels, feature_channels = plain((bottleneck_channels, feature_channels))
        loss_weights, label_smoothing, threshold = plain((loss_weights, label_smoothing, threshold))
        self.taxonomy = taxonomy if isinstance(taxonomy, Taxonomy) else Taxonomy.from_dict(taxonomy)
        self.save_hyperparameters(ignore=not_plain(locals()))
        self.hparams["taxonomy"] = self.taxonomy.to_dict()
        n_levels = self.taxonomy.n_levels
        if loss_weights is not None and len(loss_weights) != n_levels:
            raise ConfigurationError(
                f"model.loss_weights has {len(loss_weights)} values for the {n_levels} levels "
                f"{', '.join(self.taxonomy.levels)}: give one per level"
            )
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"model.threshold must lie in [0, 1], got {threshold}")
        if not 0 <= label_smoothing < 1:
            raise ConfigurationError(f"model.label_smoothing must lie in [0, 1), got {label_smoothing}")
        if criterion is not None and (loss_weights is not None or label_smoothing):
            raise ConfigurationError(
                "model.criterion replaces the loss that model.loss_weights and model.label_smoothing belong to: leave "
                "them out, or set loss_weights to null and label_smoothing to 0"
            )
        self.network = NestedNetwork(
            backbone,
            self.taxonomy.sizes,
            bottleneck=bottleneck,
            bottleneck_channels=bottleneck_channels,
            skip_connections=skip_connections,
            feature_channels=feature_channels,
        )
        self.optimizer = optimizer
        self.combination = get_combination(combination)
        self.label_smoothing = label_smoothing
        self.criterion = criterion
        self.threshold = threshold
        self._count_weights = loss_weights is None
        self.register_buffer("loss_weights", torch.tensor(loss_weights or [1.0] * n_levels))
        self.register_buffer("temperatures", torch.ones(n_levels))
        self.train_loss, self.val_loss = EpochLoss(), EpochLoss()
        self.val_metrics = NestedMetrics(self.taxonomy, threshold=threshold)
        self.test_metrics = nn.ModuleList()
        self.stage = Stage(level=n_levels - 1, finished=True)
        self.evaluation: Evaluation | None = None
        self.learning_rate: float | None = None

    def setup(self, stage: str) -> None:
        """Take the loss weights from the data module's counts, unless they were given."""
        if stage != "fit":
            training.refuse_batch_size_finder(self.trainer)
            return
        self.evaluation = None  # on resuming, a checkpoint restores it after this
        if not self._count_weights:
            return
        counts = getattr(getattr(self.trainer, "datamodule", None), "level_counts", None)
        if counts is not None:
            self.loss_weights.copy_(torch.tensor(inverse_frequency_weights(counts)))

    def on_fit_start(self) -> None:
        """Call ``fit_inputs`` of a backbone that learns from inputs alone, unless a checkpoint has restored it."""
        backbone: Any = self.network.backbone
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(backbone, "fit_inputs") and not backbone.is_fitted and hasattr(datamodule, "labelled_dataloader"):
            backbone.fit_inputs(x for x, _ in datamodule.labelled_dataloader())

    def forward(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        """Return the logits of levels 0 to ``up_to``; see :meth:`NestedNetwork.forward`."""
        return self.network(x, up_to=up_to)  # type: ignore[no-any-return]

    def loss(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss of the levels given (Sec. 4.3; samples of unknown label are masked as in Sec. 5)."""
        if self.criterion is not None:
            return self.criterion(logits, target, self.taxonomy)
        return nested_loss(logits, target, self.loss_weights, self.label_smoothing)

    def own_log_probabilities(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """Return each level's calibrated log-probabilities over its real classes, before combination."""
        return [log_probabilities(z, t) for z, t in zip(logits, self.temperatures, strict=False)]

    def combined_log_probabilities(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """Return each level's log-probabilities after calibration and combination; predictions use these."""
        return self.combination(self.own_log_probabilities(logits), self.taxonomy)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Prediction:
        """Predict every level for a batch of inputs: calibrated, combined, and cut at ``threshold``.

        The prediction for a sample depends on that sample alone: the network runs in evaluation mode, whatever mode
        it is in.
        """
        with evaluation_mode(self.modules()):
            own = self.own_log_probabilities(self(x))
        combined = self.combination(own, self.taxonomy)
        path, depth, confidence = consistent_path(combined, self.taxonomy, self.threshold)
        return Prediction([p.exp() for p in combined], [p.exp() for p in own], path, depth, confidence)

    def on_train_epoch_start(self) -> None:
        self.train_loss.reset()
        self.evaluation = None  # a resumed run that trains on makes it outdated

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, target = training.input_and_target(batch)
        logits = train_on_any_batch(self, x, up_to=self.stage.level)
        loss = self.loss(logits, target)
        self.train_loss.update(loss, x, batch_idx)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.train_loss.refuse_non_finite(self._place("training"))

    def on_validation_epoch_start(self) -> None:
        self.train_loss.refuse_non_finite(self._place("training"))

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        training.refuse_several_loaders("validation", len(self.trainer.num_val_batches))
        x, target = training.input_and_target(batch)
        logits = self(x, up_to=self.stage.level)
        loss = self.loss(logits, target)
        self.val_loss.update(loss, x, batch_idx)
        self.log("val/loss", self.val_loss, on_epoch=True)
        # NaN, which the metrics cannot rank, is refused when the epoch ends.
        self.val_metrics.update(self.combined_log_probabilities([z.nan_to_num() for z in logits]), target)

    def on_validation_epoch_end(self) -> None:
        self.val_loss.refuse_non_finite(self._place("validation"))
        values = self._log_metrics("val", self.val_metrics)
        correct = [values[key] for level in self.taxonomy.levels if (key := f"{level}/accuracy") in values]
        if correct:
            self.log("val/correct_levels", torch.stack(correct).nansum().float())

    def on_test_start(self) -> None:
        new = [NestedMetrics(self.taxonomy, threshold=self.threshold) for _ in self.trainer.num_test_batches]
        self.test_metrics = nn.ModuleList(new).to(self.device)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        x, target = training.input_and_target(batch)
        metrics: Any = self.test_metrics[dataloader_idx]
        metrics.update(self.combined_log_probabilities(self(x)), target)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the first loader under ``test/``, of the others under ``test/NAME/``."""
        loaders: Any = self.trainer.test_dataloaders
        metrics: Any
        for i, metrics in enumerate(self.test_metrics):
            name = f"/{getattr(loaders[i].dataset, 'name', '') or f'loader_{i}'}" if i else ""
            self._log_metrics(f"test{name}", metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        training.refuse_several_loaders("prediction", len(self.trainer.num_predict_batches))
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        if not bool((finite := finite_samples(x)).all()):
            raise non_finite(f"{self._place('prediction')} batch {batch_idx}", finite)
        return self.predict(x)

    def configure_optimizers(self) -> Optimizer:
        """Return a fresh optimizer over what trains in this stage; its largest learning rate becomes the stage's."""
        optimizer = self.optimizer([p for p in self.network.parameters() if p.requires_grad])
        rate = self.learning_rate if self.stage.learning_rate is None else self.stage.learning_rate
        training.set_learning_rate(optimizer, rate)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["taxonomy"] = self.taxonomy.to_dict()
        # Nothing is written yet: weights that are not finite never replace the previous checkpoint.
        checkpoint["train_loss"] = self.train_loss.refuse_non_finite(self._place("training"))
        if self.evaluation is not None:
            checkpoint["evaluation"] = self.evaluation.state_dict()
        checkpoint.update(plain(dict(checkpoint), tensors=False))
        keep_plain(checkpoint, self.CHECKPOINT_HYPER_PARAMS_KEY, L.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("taxonomy")
        if saved is not None and (other := Taxonomy.from_dict(saved)) != self.taxonomy:
            raise CheckpointError(
                f"the checkpoint was trained for another taxonomy: {other!r}, while the data has "
                f"{self.taxonomy!r}. Use the taxonomy of the checkpoint, or train a new model without ckpt_path"
            )
        if (evaluation := checkpoint.get("evaluation")) is not None:
            self.evaluation = Evaluation(**evaluation)
        if self._trainer is not None:
            # Lightning does so only after loading, which would round weights of double precision.
            self._trainer.precision_plugin.convert_module(self)
            if (states := checkpoint.get("train_loss")) is not None:
                self.train_loss.resume(states, self._trainer.global_rank, self._trainer.world_size)
        if self.strict_loading:
            refuse_other_weights(self.state_dict(), checkpoint["state_dict"], self.network.fitted_buffers("network."))

    def _log_metrics(self, split: str, metrics: NestedMetrics) -> dict[str, Tensor]:
        values = metrics.compute()
        self.log_dict({f"{split}/{key}": value.float() for key, value in values.items()})
        metrics.reset()
        return values

    def _place(self, kind: str) -> str:
        level = self.stage.level
        return f"stage {level + 1} ({self.taxonomy.levels[level]}), epoch {self.stage.epoch + 1}, {kind}"


def as_nested(module: L.LightningModule) -> NestedLightningModule:
    """Return ``module``, typed as the module that this package's callbacks need.

    Raises:
        ConfigurationError: it is another kind of module.
    """
    if isinstance(module, NestedLightningModule):
        return module
    raise ConfigurationError(
        f"the callbacks of nested_lightning need a NestedLightningModule or a subclass, got {type(module).__name__}"
    )

"""Draw the figures of a run, as files and in every logger that takes images."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from nested_lightning.callbacks.evaluation import evaluate, measure, run_network
from nested_lightning.callbacks.report import tested_loaders, write_json, write_summary
from nested_lightning.data.samplers import TensorRows
from nested_lightning.errors import ConfigurationError
from nested_lightning.metrics.evaluation import Measured
from nested_lightning.module import as_nested
from nested_lightning.stage import Stage
from nested_lightning.taxonomy import Taxonomy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from nested_lightning.figures import Sample

When = Literal["stages", "end", "never"]


class Figures(Callback):
    """Draw the model's predictions at the end of every stage and of the training, and write ``summary.json``.

    Each figure has a name such as ``figures/reliability``: its file is ``<default_root_dir>/figures/reliability.png``,
    and the name is its key in every logger that takes images (W&B, TensorBoard, MLflow). At the end of training the
    test samples are drawn, or the validation samples if there are none; ``figures/uncalibrated/...`` shows the model
    before calibration, and ``figures/stage-1-LEVEL/...`` the validation samples at the end of each stage but the last.
    ``summary.json`` is read by ``lightning report``.

    ``Trainer.test`` with several loaders, as with ``data.distortions``, draws ``figures/distortions``.

    Place it after the cascade and the calibrating callbacks. A plot that fails only raises a warning; training
    continues.

    Args:
        draw: ``"stages"``: all figures; ``"end"``: none at the end of stages; ``"never"``: none, only
            ``summary.json``.
        samples: number of samples on the sheet of samples; 0: no sheet.

    Raises:
        ConfigurationError: another value of ``draw``, or a negative number of samples.
    """

    def __init__(self, draw: When = "stages", samples: int = 12) -> None:
        if draw not in get_args(When):
            raise ConfigurationError(f"figures.draw is one of {', '.join(get_args(When))}; got {draw!r}")
        if samples < 0:
            raise ConfigurationError(f"figures.samples must be at least 0, got {samples}")
        self.draw: When = draw
        self.samples = samples
        self._reset()

    def _reset(self) -> None:
        self.epochs: list[dict[str, float | str]] = []
        self._ended: Stage | None = None
        self._earlier, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, including the processes before this one."""
        return self._earlier + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._earlier = state_dict["epochs"], state_dict["seconds"]
        self._started = time.monotonic()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":  # on resuming, a checkpoint restores it after this
            self._reset()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ended = None

    def on_stage_end(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: Stage) -> None:
        """Draw the validation samples, unless the stage is the last: its figures follow after training."""
        self._ended = stage
        if stage.finished or self.draw != "stages" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        module = as_nested(pl_module)
        with isolate_rng():  # training continues as if nothing had been drawn
            measured = measure(module, run_network(trainer, module, trainer.val_dataloaders, up_to=stage.level))
        if trainer.is_global_zero:
            from nested_lightning.callbacks import run_figures

            name = run_figures.level_name(stage.level, module.taxonomy.levels[stage.level])
            write_drawings(trainer, run_figures.draw_levels(measured, stage.level + 1), f"stage-{name}/")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        levels = module.taxonomy.levels[: (self._ended or module.stage).level + 1]
        keys = ("train/loss", "val/loss", *(f"val/{level}/accuracy" for level in levels))
        logged = {key: float(trainer.callback_metrics[key]) for key in keys if key in trainer.callback_metrics}
        self.epochs.append({"stage": levels[-1], **logged})

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if trainer.fast_dev_run or not module.stage.finished:  # type: ignore[attr-defined]
            return
        evaluation = evaluate(trainer, module)
        # Without a measurement an earlier process has evaluated the model, and has drawn it.
        if evaluation is None or evaluation.measured is None or not trainer.is_global_zero:
            return
        write_summary(trainer, module, evaluation, self.epochs, self.seconds)
        if self.draw == "never":
            return
        from nested_lightning.callbacks import run_figures

        taxonomy, measured = module.taxonomy, evaluation.measured
        sheet = partial(worst_samples, measured, taxonomy, self.samples) if self.samples else None
        write_drawings(trainer, run_figures.draw_end(measured, self.epochs, sheet))
        if evaluation.uncalibrated is not None:
            drawings = run_figures.draw_levels(evaluation.uncalibrated, taxonomy.n_levels)
            write_drawings(trainer, drawings, "uncalibrated/")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        levels = as_nested(pl_module).taxonomy.levels
        tests = tested_loaders(trainer, levels)
        if len(tests) < 2 or self.draw == "never" or not trainer.is_global_zero:
            return
        from nested_lightning.callbacks import run_figures

        folder = Path(trainer.default_root_dir) / "figures"
        write_json(folder / "distortions.json", {"levels": list(levels), "tests": tests})
        draw = partial(run_figures.compared_distortions, {"": tests}, levels)
        write_drawings(trainer, [("distortions", draw)])
        print(f"Accuracy under each distortion: {folder / 'distortions.png'}")


def write_drawings(
    trainer: L.Trainer, drawings: "Iterable[tuple[str, Callable[[], Figure]]]", prefix: str = ""
) -> None:
    """Draw each figure once, for a file in ``<default_root_dir>/figures`` and for every logger that takes images.

    Args:
        trainer: has the folder and the loggers.
        drawings: names, and the functions that draw.
        prefix: of the names, such as ``"uncalibrated/"``.
    """
    from nested_lightning.figures.style import rendered, write_png

    for name, draw in drawings:
        key = f"figures/{prefix}{name}"
        try:
            picture = rendered(draw())
            write_png(picture, Path(trainer.default_root_dir) / f"{key}.png")
            for logger in trainer.loggers:
                _log_image(logger, key, picture.convert("RGB"), trainer.global_step)
        except Exception as error:  # no failure of a plot is worth ending the training
            rank_zero_warn(f"{key} could not be drawn or written, training continues: {type(error).__name__}: {error}")


def _log_image(logger: Logger, key: str, image: "Image", step: int) -> None:
    """Log an image with W&B's, TensorBoard's or MLflow's logger; do nothing with any other."""
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [image], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, np.asarray(image), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, artifact_file=f"{key}.png")


def worst_samples(measured: Measured, taxonomy: Taxonomy, n: int) -> "list[Sample]":
    """Return ``n`` samples: the mistakes, most confident first, then the least confident predictions.

    Args:
        measured: the predictions, and the data set of the samples.
        taxonomy: the tree of labels.
        n: number of samples.
    """
    from nested_lightning.figures import Sample

    predictions, samples = measured.predictions, []
    depths = predictions.depth(measured.metrics.threshold)
    levels = range(predictions.path.shape[1])
    names, nodes = list(map(taxonomy.unambiguous_names, levels)), list(map(taxonomy.short_nodes, levels))
    for i in predictions.worst_first()[:n].tolist():
        row = -1 if measured.rows is None else int(measured.rows[i])
        target, path = predictions.target[i].tolist(), predictions.path[i].tolist()
        known = [of_level[k] for of_level, k in zip(nodes, target, strict=True) if k >= 0]
        samples.append(
            Sample(
                row,
                viewable(measured.dataset, row) if row >= 0 else None,
                [of_level[k] if k >= 0 else None for of_level, k in zip(names, target, strict=True)],
                [of_level[k] for of_level, k in zip(names, path, strict=True)],
                [k == predicted if k >= 0 else None for k, predicted in zip(target, path, strict=True)],
                predictions.confidence[i].tolist(),
                int(depths[i]),
                "/".join(known[-1]) if known else "",
            )
        )
    return samples


def viewable(dataset: Any, row: int) -> np.ndarray | str | None:
    """Return the input of one sample of a data set as an image or a text.

    Args:
        dataset: of pairs of input and target; of a :class:`TensorRows` the input before its transforms is taken.
        row: number of the sample.

    Returns:
        ``uint8[H, W]`` or ``uint8[H, W, 3]``, a text, or None for other inputs.

    Example:
        >>> rows = TensorRows(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), torch.tensor([[0]]))
        >>> viewable(rows, 0).tolist()
        [[0, 255]]
    """
    if isinstance(dataset, TensorRows) and dataset.text is not None:
        return dataset.text(row)
    x = dataset.inputs[row] if isinstance(dataset, TensorRows) else dataset[row][0]
    if isinstance(x, str):
        return x
    return _to_pixels(x) if isinstance(x, Tensor) and x.ndim == 3 and x.shape[0] in (1, 3) else None


def _to_pixels(x: Tensor) -> np.ndarray:
    if x.dtype != torch.uint8:
        x = x.float()
        low, high = x.amin(), x.amax()
        if low < 0 or high > 1:  # normalised in some way
            x = (x - low) / (high - low).clamp(min=1e-12)
        x = (255 * x).round().byte()
    pixels: np.ndarray = x.cpu().permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels

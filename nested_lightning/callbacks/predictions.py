"""Write ``predictions.parquet``: one row per sample, in input order."""

import os
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info

from nested_lightning.data.origin import Origin
from nested_lightning.errors import ConfigurationError
from nested_lightning.metrics.predictions import Prediction
from nested_lightning.module import as_nested
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.files import replacing


class PredictionWriter(BasePredictionWriter):
    """Write the predictions of ``Trainer.predict`` to ``<default_root_dir>/predictions.parquet``.

    The columns per level are ``LEVEL`` and ``LEVEL_confidence`` (calibrated and combined), ``LEVEL_own`` and
    ``LEVEL_own_confidence`` (this level's head alone, calibrated). Then follow ``path`` (the labels of one consistent
    path joined by "/", cut where the confidence falls below the module's threshold), ``path_confidence`` and
    ``depth`` (the number of levels predicted; a leaf above the finest level is named once in the path).

    Then follows what names the sample, if the data are a
    :class:`~nested_lightning.data.datamodule.HierarchicalDataModule`: ``source``, ``row`` (its
    number in the source, from 0), ``file`` (of images that have one), and the columns to copy. A column whose name is
    taken gets the prefix ``input_``.

    Args:
        columns: names of columns of the source to copy, such as an id.

    Raises:
        ConfigurationError: there are several processes, or columns are to be copied from other data.
        DataError: the source does not have one of the columns.
    """

    def __init__(self, columns: list[str] | None = None) -> None:
        super().__init__(write_interval="epoch")
        self._columns = columns or []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "predict" and trainer.world_size > 1:
            raise ConfigurationError("predictions are written in input order by one process: set trainer.devices to 1")

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._columns:
            if (origin := _origin(trainer)) is None:
                raise ConfigurationError(
                    f"predictions.columns={self._columns} can be copied only if a HierarchicalDataModule reads the data"
                )
            origin.require(self._columns, "predictions.columns")

    def write_on_epoch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = os.path.join(trainer.default_root_dir, "predictions.parquet")
        columns: dict[str, Any] = prediction_columns(as_nested(pl_module).taxonomy, predictions)
        if (origin := _origin(trainer)) is not None:
            n = len(columns["depth"])
            _add(columns, origin.columns(n))
            _add(columns, {name: origin.copied(name, n) for name in self._columns})
        table = pa.table(columns)
        with replacing(path) as temporary:
            pq.write_table(table, temporary)
        rank_zero_info(f"{table.num_rows} predictions written to {os.path.abspath(path)}")


def prediction_columns(taxonomy: Taxonomy, predictions: Sequence[Prediction]) -> dict[str, list[Any]]:
    """Return the columns of the file, in order, from the predictions of successive batches."""
    columns: dict[str, list[Any]] = {}
    for i, level in enumerate(taxonomy.levels):
        names = taxonomy.names(i)
        for suffix, field in (("", "probabilities"), ("_own", "own_probabilities")):
            best = [getattr(prediction, field)[i].max(dim=1) for prediction in predictions]
            columns[level + suffix] = [names[k] for b in best for k in b.indices.tolist()]
            columns[f"{level}{suffix}_confidence"] = torch.cat([b.values for b in best]).tolist()
    depths = torch.cat([prediction.depth for prediction in predictions]).tolist()
    paths = torch.cat([prediction.path for prediction in predictions]).tolist()
    nodes = [["/".join(node) for node in taxonomy.short_nodes(level)] for level in range(taxonomy.n_levels)]
    columns["path"] = [
        nodes[depth - 1][path[depth - 1]] if depth else "" for path, depth in zip(paths, depths, strict=True)
    ]
    columns["path_confidence"] = torch.cat([prediction.path_confidence for prediction in predictions]).tolist()
    columns["depth"] = depths
    return columns


def _origin(trainer: L.Trainer) -> Origin | None:
    """Return what names the samples of the only loader of the prediction; None if they are not of this package."""
    loader = trainer.predict_dataloaders
    origin = getattr(getattr(loader, "dataset", None), "origin", None)
    return origin if isinstance(origin, Origin) else None


def _add(columns: dict[str, Any], others: dict[str, Any]) -> None:
    for name, cells in others.items():
        while name in columns:
            name = f"input_{name}"
        columns[name] = cells

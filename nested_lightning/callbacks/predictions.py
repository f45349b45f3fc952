"""Write ``predictions.parquet``: one row per sample, in input order."""

import os
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info

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

    Raises:
        ConfigurationError: there are several processes.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "predict" and trainer.world_size > 1:
            raise ConfigurationError("predictions are written in input order by one process: set trainer.devices to 1")

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
        table = pa.table(prediction_columns(as_nested(pl_module).taxonomy, predictions))
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

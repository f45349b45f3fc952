"""Finished runs of this package, asked through its command line for the very same test rows."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.peers.rows import Indices
from nested_lightning.cli.main import main
from nested_lightning.data.sources import Table
from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy import Taxonomy


def answers_of_run(run: Path, table: Table, taxonomy: Taxonomy) -> Indices:
    """Return the class indices int64 [N, n_levels] that the finished run in a folder answers.

    The rows are handed over as a file, so that no choice of a split comes between.

    Raises:
        ConfigurationError: the run answers other levels.
        TaxonomyError: the run answers a label that the taxonomy does not have.
    """
    import datasets

    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        table.rows.to_parquet(str(rows))
        command = ["predict", "--ckpt_path", str(run / "checkpoints" / "final.ckpt"), "--data.source", str(rows)]
        with _no_notes():
            main([*command, "--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false"])
        answered = datasets.Dataset.from_parquet(
            str(Path(folder) / "predictions.parquet"), keep_in_memory=True, cache_dir=folder
        )
    missing = [level for level in taxonomy.levels if level not in answered.column_names]
    if missing:
        raise ConfigurationError(
            f"--runs {run}: it does not answer the levels {', '.join(map(repr, missing))} of the data: give a run that "
            "was trained on them"
        )
    return np.stack([_indices(answered[name], level, taxonomy) for level, name in enumerate(taxonomy.levels)], axis=1)


def _indices(labels: list[str], level: int, taxonomy: Taxonomy) -> Indices:
    index = {label: taxonomy.index(taxonomy.find(label, level)) for label in set(labels)}
    return np.array([index[label] for label in labels], dtype=np.int64)


@contextmanager
def _no_notes() -> Iterator[None]:
    """Within it nothing below a warning is logged: the command would name a file that is soon gone."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)

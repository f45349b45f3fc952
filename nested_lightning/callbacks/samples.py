"""Rows to look at, the worst mistakes first."""

from typing import TYPE_CHECKING

from nested_lightning.callbacks.evaluation import Measured
from nested_lightning.callbacks.shown import shown
from nested_lightning.taxonomy import Taxonomy

if TYPE_CHECKING:
    from nested_lightning.figures import Sample


def worst_samples(measured: Measured, taxonomy: Taxonomy, n: int) -> "list[Sample]":
    """Return ``n`` rows: mistakes, the most confident one first, and then the least sure answers.

    Args:
        measured: the answers, and the data set that the rows are of.
        taxonomy: the tree.
        n: how many.
    """
    from nested_lightning.figures import Sample

    answers, samples = measured.answers, []
    depths = answers.depth(measured.metrics.threshold)
    names = [taxonomy.names(level) for level in range(answers.path.shape[1])]
    for i in answers.worst_first()[:n].tolist():
        row = -1 if measured.rows is None else int(measured.rows[i])
        target, path = answers.target[i].tolist(), answers.path[i].tolist()
        samples.append(
            Sample(
                row,
                shown(measured.dataset, row) if row >= 0 else None,
                [of_level[k] if k >= 0 else None for of_level, k in zip(names, target, strict=True)],
                [of_level[k] for of_level, k in zip(names, path, strict=True)],
                [k == answer if k >= 0 else None for k, answer in zip(target, path, strict=True)],
                answers.confidence[i].tolist(),
                int(depths[i]),
            )
        )
    return samples

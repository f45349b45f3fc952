"""Tables and pages for W&B: a taxonomy, the stages of a training, and samples with their answers."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nested_lightning.taxonomy import Taxonomy

if TYPE_CHECKING:
    import wandb

    from nested_lightning.figures import Sample

_STAGE = ("level", "epochs", "first step", "last step", "best loss")


def taxonomy_table(taxonomy: Taxonomy) -> "wandb.Table":
    """Return a row per class of the finest level with a column per level."""
    import wandb

    return wandb.Table([*taxonomy.levels], [list(leaf) for leaf in taxonomy.leaves])


def taxonomy_tree(taxonomy: Taxonomy) -> "wandb.Html":
    """Return the drawing of the tree as a page."""
    import wandb

    return wandb.Html(f"<pre>{html.escape(taxonomy.show())}</pre>", inject=False)


def stages_table(stages: Sequence[Mapping[str, Any]]) -> "wandb.Table":
    """Return a row per stage, which has a value for each of ``_STAGE``."""
    import wandb

    rows = [[number, *(stage[name] for name in _STAGE)] for number, stage in enumerate(stages, start=1)]
    return wandb.Table(["stage", *_STAGE], rows)


def samples_table(samples: "Sequence[Sample]", levels: Sequence[str]) -> "wandb.Table":
    """Return a row per sample in the order given.

    Columns: ``row``, its number; ``input``, an image or a text; ``label``, its known path; per level ``LEVEL`` and
    ``LEVEL confidence``, the answer before it is cut; ``depth``, how many levels are answered; ``rejected``, whether
    none is; ``mistake``, whether an answer is wrong, cut or not.
    """
    import wandb

    answers = [column for level in levels for column in (level, f"{level} confidence")]
    columns: list[str | int] = ["row", "input", "label", *answers, "depth", "rejected", "mistake"]
    rows = []
    for sample in samples:
        seen = wandb.Image(sample.input) if isinstance(sample.input, np.ndarray) else sample.input
        pairs = [value for pair in zip(sample.prediction, sample.confidence, strict=True) for value in pair]
        label = "/".join(name for name in sample.truth if name is not None)
        rows.append([sample.row, seen, label, *pairs, sample.depth, sample.depth == 0, False in sample.correct])
    return wandb.Table(columns, rows)

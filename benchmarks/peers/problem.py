"""The texts and targets of each split that all methods share, read as training reads them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import ConfigurationError, DataError, suggestion
from nested_lightning.loading import load_run
from nested_lightning.taxonomy import Taxonomy

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Texts with ``targets`` int64 [N, n_levels], -1 = unknown."""

    texts: list[str]
    targets: Indices

    def known(self, level: int) -> "Samples":
        """Return the samples whose label is known at ``level``; -1 is the finest."""
        chosen = np.flatnonzero(self.targets[:, level] >= 0)
        return Samples([self.texts[i] for i in chosen], self.targets[chosen])


class Problem:
    """Sources with a taxonomy and the splits train, validation and test; arguments are those of the data module."""

    def __init__(self, source: Any, taxonomy: Any, label_columns: Any, input_column: str) -> None:
        self._data, self._input_column = LabelledSource(source, taxonomy, label_columns), input_column

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels."""
        return self._data.taxonomy

    @cached_property
    def train(self) -> Samples:
        """All training samples; DataError if a level has fewer than two classes."""
        samples = self._samples("train")
        for level, name in enumerate(self.taxonomy.levels):
            n_classes = len(np.unique(samples.known(level).targets[:, level]))
            if n_classes < 2:
                raise DataError(
                    f"the training samples have {n_classes} class(es) at level {name!r}, but a classifier needs 2: add "
                    "samples labelled to it, or leave the level out"
                )
        return samples

    @cached_property
    def validation(self) -> Samples:
        """The samples for choosing settings; DataError if none is labelled to the finest level."""
        samples = self._samples("validation")
        if not len(samples.known(-1).texts):
            raise DataError(
                f"the split 'validation' has no sample labelled to {self.taxonomy.levels[-1]!r}, which the choice of C "
                "needs: add some"
            )
        return samples

    def tests(self, sources: list[str] | None = None) -> dict[str, tuple[Table, Samples]]:
        """Return the test samples of each of ``sources`` (None: all) by its name, as a table and as texts with targets.

        Raises:
            DataError: no split ``test``, or a source that has none.
        """
        tables = self._split("test").tables
        ends = np.cumsum([len(table.rows) for table in tables])
        targets = np.split(self._data.targets("test").numpy(), ends[:-1])
        found = {t.source: (t, Samples(self._texts(t), part)) for t, part in zip(tables, targets, strict=True)}
        for name in sources or ():
            if name not in found:
                raise DataError(
                    f"--test_source {name!r} is not one of the sources with a split 'test': "
                    f"{', '.join(map(repr, found))}.{suggestion(name, found)}"
                )
        return {name: found[name] for name in sources or found}

    def _samples(self, name: str) -> Samples:
        texts = [text for table in self._split(name).tables for text in self._texts(table)]
        return Samples(texts, self._data.targets(name).numpy())

    def _split(self, name: str) -> Split:
        return self._data.split(name, "the comparison needs the splits train, validation and test")

    def _texts(self, table: Table) -> list[str]:
        if self._input_column not in table.rows.column_names:
            raise Split((table,)).missing_column(self._input_column, "--input_column")
        return [str(text) for text in table.rows.with_format(None)[:][self._input_column]]


def predict_with_run(run: Path, table: Table, taxonomy: Taxonomy) -> Indices:
    """Return the class indices int64 [N, n_levels] that a finished run predicts for the rows of a table.

    Raises:
        ConfigurationError: the run predicts other levels.
        TaxonomyError: the run predicts a label that the taxonomy does not have.
    """
    module, data = load_run(run / "checkpoints" / "final.ckpt", source=table.rows)
    levels = module.taxonomy.levels
    if missing := [level for level in taxonomy.levels if level not in levels]:
        raise ConfigurationError(
            f"--runs {run}: it does not predict the levels {', '.join(map(repr, missing))} of the data: give a run "
            "trained on them"
        )
    data.setup("predict")
    batches = [module.predict(inputs).probabilities for inputs, _ in data.predict_dataloader()]
    columns = []
    for level, name in enumerate(taxonomy.levels):
        own = levels.index(name)
        predicted = torch.cat([probabilities[own].argmax(dim=1) for probabilities in batches]).numpy()
        ours = np.full(module.taxonomy.sizes[own], -1)
        for k in np.unique(predicted):
            ours[k] = taxonomy.index(taxonomy.find(module.taxonomy.names(own)[k], level))
        columns.append(ours[predicted])
    return np.stack(columns, axis=1)

"""Which rows of a source are for training, validation, testing and prediction."""

from functools import cached_property

import torch
from torch import Tensor

from nested_lightning.data.labelled import LabelledSource
from nested_lightning.data.partition import Partition, depths, partition
from nested_lightning.data.sources import Split
from nested_lightning.errors import DataError

Selection = tuple[Split, Tensor, Tensor]
"""A split, ascending numbers of its rows, and their targets."""


class Parts:
    """The parts ``train``, ``validation``, ``test`` and ``predict`` of a source; reads labels, no inputs.

    A part is the split of its name where the source has it; else validation and test rows are carved out of
    the split ``train``.

    Args:
        data: the source.
        seed: of the partition.
        budgets: see :func:`~nested_lightning.data.partition.partition`.
        validation: rows (int) or share (float) to carve out, where there is no such split.
        test: as ``validation``; None or 0: nothing.
    """

    def __init__(
        self,
        data: LabelledSource,
        seed: int,
        budgets: list[int] | None,
        validation: int | float,
        test: int | float | None,
    ) -> None:
        self.seed = seed
        self._data, self._budgets, self._validation, self._test = data, budgets, validation, test or 0

    @cached_property
    def partition(self) -> Partition:
        """How the rows of the split ``train`` are divided."""
        self._data.split("train", "name the split to train on 'train', or give a source that has one")
        return partition(
            self._data.targets("train"),
            self.seed,
            levels=self._data.taxonomy.levels,
            budgets=self._budgets,
            validation=0 if "validation" in self._data.splits else self._validation,
            test=0 if "test" in self._data.splits else self._test,
        )

    @property
    def subset_sizes(self) -> list[int]:
        """Number of rows of D_1..D_n."""
        return [len(rows) for rows in self.partition.subsets]

    @property
    def level_counts(self) -> list[int]:
        """Number of training rows whose label is known and used, per level."""
        return [sum(self.subset_sizes[level:]) for level in range(len(self.subset_sizes))]

    @property
    def has_test(self) -> bool:
        """Whether there are rows to test on."""
        return "test" in self._data.splits or ("train" in self._data.splits and len(self.partition.test) > 0)

    @property
    def n_unlabelled(self) -> int:
        """Number of rows of the split ``train`` without a label, which are not used."""
        return int((depths(self._data.targets("train")) == 0).sum())

    def require_every_level(self) -> None:
        """Raise a DataError naming the first level at which no training row has a label."""
        for level, count in zip(self._data.taxonomy.levels, self.level_counts, strict=True):
            if count == 0:
                raise DataError(
                    f"no training row has a label at level {level!r} (rows per depth, coarse to fine: "
                    f"{self.subset_sizes}): add rows labelled to it, raise its number in data.budgets, or "
                    "take the level out of the taxonomy"
                )

    def select(self, part: str) -> Selection:
        """Return the rows of a part with their targets ``LongTensor[N, n_levels]``.

        Training targets are hidden below the row's D_i; for prediction all are -1, and no label is read.

        Raises:
            DataError: the source has no such rows.
        """
        splits = self._data.splits
        if part == "predict":
            name = self._split_to_predict()
            return splits[name], torch.arange(len(splits[name])), self._data.unknown_targets(name)
        if part == "train":
            rows, targets = self.partition.train, self._data.targets("train")
            return splits["train"], rows, self.partition.visible(targets)
        if part in splits:
            return splits[part], torch.arange(len(splits[part])), self._data.targets(part)
        if part == "test" and not self._test:
            self._data.split("test", "set data.test to the number or share of training rows to keep for it")
        rows = self.partition.test if part == "test" else self.partition.validation
        return splits["train"], rows, self._data.targets("train")[rows]

    def _split_to_predict(self) -> str:
        for name in ("predict", "test"):
            if name in self._data.splits:
                return name
        if len(self._data.splits) > 1:
            self._data.split("predict", "name the split to answer 'predict' or 'test', or give its file alone")
        return next(iter(self._data.splits))

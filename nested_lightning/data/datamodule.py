"""The data module: any labelled source, divided by label depth, as batches for each stage."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from nested_lightning.data.inputs import InputColumn, find_input_column, input_column
from nested_lightning.data.labels import (
    load_taxonomy,
    targets_of_leaf_column,
    targets_of_level_columns,
    taxonomy_of_columns,
)
from nested_lightning.data.loaders import (
    Batch,
    Position,
    RankSampler,
    StageLoader,
    StageSampler,
    TensorRows,
    make_loader,
)
from nested_lightning.data.partition import Partition, depths, partition
from nested_lightning.data.sources import Split, open_source
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.plain import not_plain
from nested_lightning.stage import Stage
from nested_lightning.taxonomy import Taxonomy

_ROLES = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("predict",),
}


class HierarchicalDataModule(L.LightningDataModule):
    """Rows with labels of uneven depth, as batches ``(input, target)``."""

    def __init__(
        self,
        source: Any = "digits",
        taxonomy: Any = None,
        input_column: str | None = None,
        label_columns: str | list[str] | None = None,
        levels: list[str] | None = None,
        allow_repeated_names: bool = False,
        budgets: list[int] | None = None,
        validation: int | float = 0.1,
        test: int | float | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        image_size: int | list[int] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=not_plain(locals()), logger=False)
        self._source, self._given_taxonomy = source, taxonomy
        self._input_column, self._label_columns, self._level_names = input_column, label_columns, levels
        self._allow_repeated_names = allow_repeated_names
        self.budgets, self.validation, self.test = budgets, validation, test
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.transform, self.augmentation = transform, augmentation
        self._seed = seed
        self._shape: tuple[int, ...] | None = None
        self._rows: dict[str, TensorRows] = {}

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The splits of the source by name, opened at the first use."""
        return open_source(self._source)

    @property
    def seed(self) -> int:
        """The seed of partition and order: as given, or that of ``seed_everything``, or 0."""
        return int(os.environ.get("PL_GLOBAL_SEED", 0)) if self._seed is None else self._seed

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels; the data are read only where it is not given."""
        if self._given_taxonomy is not None:
            return load_taxonomy(self._given_taxonomy)
        if not isinstance(self._label_columns, list):
            raise ConfigurationError(
                "no taxonomy: give data.taxonomy (a YAML file), or in data.label_columns one column for each "
                "level, coarse to fine"
            )
        ordered = sorted(self.splits, key=("train validation test predict".split() + list(self.splits)).index)
        return taxonomy_of_columns(
            [self.splits[name] for name in ordered],
            self._label_columns,
            self._level_names or self._label_columns,
            self._allow_repeated_names,
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """Level names, coarse to fine."""
        return self.taxonomy.levels

    def targets(self, split: str) -> Tensor:
        """Return all labels of a split of the source: ``LongTensor[N, n_levels]``."""
        rows, columns = self.splits[split], self._label_columns
        if columns is None:
            columns = [name for name in self.levels if name in rows.columns] or "label"
        if isinstance(columns, str):
            return targets_of_leaf_column(rows, columns, self.taxonomy)
        return targets_of_level_columns(rows, columns, self.taxonomy)

    @cached_property
    def partition(self) -> Partition:
        """The rows of the split ``train``, divided."""
        targets = self._train_targets
        unlabelled = int((depths(targets) == 0).sum())
        if unlabelled:
            rank_zero_warn(f"{unlabelled} of {len(targets)} training rows have no label and are left out")
        return partition(
            targets,
            self.seed,
            levels=self.levels,
            budgets=self.budgets,
            validation=0 if "validation" in self.splits else self.validation,
            test=0 if "test" in self.splits else self.test or 0,
        )

    @cached_property
    def _train_targets(self) -> Tensor:
        return self.targets("train")

    @cached_property
    def _visible_targets(self) -> Tensor:
        """Targets of the split ``train`` with what the budgets hide set to -1, and rows not used all -1."""
        visible = torch.full_like(self._train_targets, -1)
        for level, rows in enumerate(self.partition.subsets):
            visible[rows, : level + 1] = self._train_targets[rows, : level + 1]
        return visible

    @property
    def subset_sizes(self) -> list[int]:
        """Number of rows of D_1..D_n."""
        return [len(rows) for rows in self.partition.subsets]

    @property
    def level_counts(self) -> list[int]:
        """Number of training rows whose label is known at each level."""
        return (self._visible_targets >= 0).sum(0).tolist()  # type: ignore[no-any-return]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, (C, H, W) for images."""
        if self._shape is None:
            split = self.splits.get("train", next(iter(self.splits.values())))
            self._shape = self._inputs(split).shape
        return self._shape

    def prepare_data(self) -> None:
        """Download or convert the source on one process, before the others need it."""
        open_source(self._source)

    def setup(self, stage: str) -> None:
        """Read the rows that ``stage`` (fit, validate, test, predict) needs, and no others."""
        for role in _ROLES[stage]:
            self._get(role)

    def _get(self, role: str) -> TensorRows | None:
        if role not in self._rows:
            split, rows, targets = getattr(self, f"_{role}_rows")()
            inputs = self._inputs(split, self.input_shape).read(rows)
            augmentation = self.augmentation if role == "train" else None
            self._rows[role] = TensorRows(inputs, targets, self.transform, augmentation)
        return self._rows[role]

    def _inputs(self, split: Split, shape: tuple[int, ...] | None = None) -> InputColumn:
        size = None if self.image_size is None else tuple(self.image_size)
        return input_column(split, self._input_column or find_input_column(split), size, shape)

    def _train_rows(self):
        rows = torch.cat(self.partition.subsets).sort().values
        return self.splits["train"], rows, self._visible_targets[rows]

    def _validation_rows(self):
        return self._held_out(
            "validation", self.partition.validation if "validation" not in self.splits else None
        )

    def _test_rows(self):
        return self._held_out("test", self.partition.test if "test" not in self.splits else None)

    def _held_out(self, name, rows):
        if rows is None:
            targets = self.targets(name)
            return self.splits[name], torch.arange(len(targets)), targets
        return self.splits["train"], rows, self._train_targets[rows]

    def _predict_rows(self):
        name = next((n for n in ("predict", "test") if n in self.splits), next(iter(self.splits)))
        split = self.splits[name]
        return split, torch.arange(len(split)), torch.full((len(split), self.taxonomy.n_levels), -1)

    def _stage(self) -> Stage:
        last = self.taxonomy.n_levels - 1
        if self.trainer is None:
            return Stage(level=last)
        stage = getattr(self.trainer.lightning_module, "stage", None)
        return stage if isinstance(stage, Stage) else Stage(level=last, epoch=self.trainer.current_epoch)

    def _position(self) -> Position:
        stage = self._stage()
        return stage.level, stage.epoch

    def _ranks(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def train_dataloader(self) -> DataLoader[Batch]:
        rows, stage = self._get("train"), self._stage()
        known = depths(rows.targets)
        chosen = torch.arange(len(rows)) if stage.data == "all" else self._exact(stage.level)
        sampler = StageSampler(chosen, self.seed, self._position, *self._ranks())
        return make_loader(StageLoader, rows, sampler, self.batch_size, self.num_workers)

    def _exact(self, level: int) -> Tensor:
        used = torch.cat(self.partition.subsets).sort().values
        return torch.isin(used, self.partition.subsets[level]).nonzero().flatten()

    def _eval(self, role: str) -> DataLoader[Batch]:
        rows = self._get(role)
        return make_loader(
            DataLoader, rows, RankSampler(len(rows), *self._ranks()), self.eval_batch_size, self.num_workers
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._eval("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._eval("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._eval("predict")

    def labelled_dataloader(self, role: str = "train") -> DataLoader[Batch]:
        """Return all rows of ``train`` or ``validation`` in a fixed order, without augmentation, on every process."""
        rows = self._get(role)
        plain = TensorRows(rows.inputs, rows.targets, rows.transform)
        return make_loader(DataLoader, plain, RankSampler(len(rows)), self.eval_batch_size, self.num_workers)

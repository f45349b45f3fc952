"""Which rows are for training (D_1..D_n, Sec. 4.3), validation, testing and prediction."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.sources import Split
from nested_lightning.errors import BudgetError, CheckpointError, ConfigurationError, DataError
from nested_lightning.stage import Stage
from nested_lightning.utils.random import generator_from

Selection = tuple[Split, Tensor, Tensor]
"""A split, ascending numbers of some of its rows, and the targets of these rows."""


@dataclass(frozen=True)
class Partition:
    """Disjoint sets of row numbers, each an ascending ``LongTensor``.

    Attributes:
        subsets: D_1..D_n; ``subsets[i]`` are the rows whose labels are used up to level i and no further.
        validation: rows set aside for validation.
        test: rows set aside for testing.
    """

    subsets: tuple[Tensor, ...]
    validation: Tensor
    test: Tensor

    @property
    def train(self) -> Tensor:
        """The rows of all D_i, ascending."""
        return torch.cat(self.subsets).sort().values

    @property
    def subset_sizes(self) -> list[int]:
        """Number of rows of D_1..D_n."""
        return [len(rows) for rows in self.subsets]

    @property
    def level_counts(self) -> list[int]:
        """Number of training rows whose label is known and used, per level."""
        return [sum(self.subset_sizes[level:]) for level in range(len(self.subsets))]

    def visible(self, targets: Tensor) -> Tensor:
        """Return those of ``targets`` [N, n_levels] that belong to :attr:`train`; those of D_i are -1 below level i."""
        depth = torch.zeros(len(targets), dtype=torch.long)
        for i, rows in enumerate(self.subsets):
            depth[rows] = i + 1
        hidden = torch.arange(targets.shape[1]) >= depth[:, None]
        return targets.masked_fill(hidden, -1)[self.train]

    def require_every_level(self, levels: Sequence[str]) -> None:
        """Raise a DataError naming the first level at which no training row has a label."""
        for level, count in zip(levels, self.level_counts, strict=True):
            if count == 0:
                raise DataError(
                    f"no training row has a label at level {level!r} (rows per depth, coarse to fine: "
                    f"{self.subset_sizes}): add rows labelled to it, raise its number in data.budgets, or "
                    "remove the level from the taxonomy"
                )


def select(source: LabelledSource, part: str, divide: Callable[[], Partition]) -> Selection:
    """Return the rows of ``train``, ``validation``, ``test`` or ``predict``; DataError if the source has none.

    They are the split of that name if the source has it; else validation and test rows are set aside from ``train``
    by the partition that ``divide`` returns, and predictions are made for ``test`` or the only split. Targets of
    training rows are hidden below the row's D_i; for prediction all are -1, and no label is read.
    """
    splits = source.splits
    if part == "predict":
        name = next((name for name in ("predict", "test") if name in splits), next(iter(splits)))
        if name not in ("predict", "test") and len(splits) > 1:
            source.split("predict", "name the split 'predict' or 'test', or give its file alone")
        n = len(splits[name])
        return splits[name], torch.arange(n), torch.full((n, source.taxonomy.n_levels), -1)
    if part == "train":
        divided = divide()
        return splits["train"], divided.train, divided.visible(source.targets("train"))
    if part in splits:
        return splits[part], torch.arange(len(splits[part])), source.targets(part)
    if part == "test" and not ("train" in splits and len(divide().test)):
        source.split("test", "set data.test to the number or share of training rows to test on")
    rows = divide().test if part == "test" else divide().validation
    return splits["train"], rows, source.targets("train")[rows]


def depths(targets: Tensor) -> Tensor:
    """Return how many levels are known in each row of ``targets`` [N, n_levels]: ``LongTensor[N]``."""
    return (targets >= 0).sum(1)


def fingerprint(targets: Tensor) -> dict[str, Any]:
    """Return what a checkpoint keeps of the rows that were divided: their number, and a digest of their targets."""
    return {"count": len(targets), "digest": hashlib.blake2b(targets.numpy().tobytes(), digest_size=16).hexdigest()}


def rows_of_run(targets: Tensor, saved: dict[str, Any]) -> Tensor:
    """Return those of the training rows' ``targets`` that the run of a checkpoint has divided: all but appended ones.

    Raises:
        CheckpointError: rows were removed, inserted, reordered or labelled anew.
    """
    now, then = len(targets), int(saved["count"])
    if fingerprint(targets[:then]) != saved:
        raise CheckpointError(
            f"the checkpoint's run divided {then} training rows, and these are others ({now} rows; some were removed, "
            "inserted, reordered or labelled anew): rows that it was trained on would be validated or tested on. Give "
            "the rows as they were (rows appended at the end are left out), give samples to test on as a split 'test' "
            "of their own, or train a new model"
        )
    if now > then:
        rank_zero_warn(
            f"{now - then} training rows were appended since the checkpoint's run began with {then}: they are left "
            "out, so that validation and test rows stay those that were not trained on. To use them, train a new model"
        )
    return targets[:then]


def stage_rows(targets: Tensor, stage: Stage, levels: Sequence[str]) -> Tensor:
    """Return the numbers of the training rows that a stage uses, and print how many they are.

    If a stage of ``"exact"`` rows has none, these are the rows with finer labels instead.
    """
    depth, level = depths(targets), stage.level
    wanted = depth == level + 1 if stage.data == "exact" else depth > 0
    what = f"labelled to {levels[level]!r} and no further" if stage.data == "exact" else "labelled to any level"
    if not wanted.any():
        wanted, what = depth > level, f"with finer labels, as none is labelled exactly to {levels[level]!r}"
    count, classes = int(wanted.sum()), len(targets[wanted, level].unique())
    if stage.count:
        rank_zero_info(
            f"Stage {stage.number} of {stage.count} ({levels[level]}) trains on {count} of {len(targets)} samples: "
            f"those {what}"
        )
        if stage.data == "exact" and count < max(10, len(targets[:, level].unique()), len(targets) / 100):
            rank_zero_warn(
                f"stage {stage.number} ({levels[level]}) has only {count} of {len(targets)} training samples, of "
                f"{classes} {'class' if classes == 1 else 'classes'}, because cascade.stage_data is 'exact': set "
                "cascade.stage_data to all to train every stage on all samples"
            )
    return wanted.nonzero().flatten()


def stratified_sample(targets: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw ``n`` of the rows without replacement so that every class has its share at every level.

    The rows are lined up in the order of the tree, shuffled within a class, and taken at equal distances from
    a random start. The rows of a class, of any level, are contiguous in this line: the class gets its exact share,
    rounded up or down.

    Args:
        targets: ``LongTensor[N, n_levels]``, -1 = unknown; the unknown ones of a parent are a class.
        n: how many, 0 <= n <= N; the result is ``LongTensor[n]``, ascending row numbers.
        generator: source of all random numbers.

    Example:
        >>> targets = torch.tensor([[0, 0]] * 30 + [[0, 1]] * 10 + [[1, 2]] * 20)
        >>> targets[stratified_sample(targets, 6, torch.Generator().manual_seed(0)), 1].tolist()
        [0, 0, 0, 1, 2, 2]
    """
    if n == 0:
        return torch.empty(0, dtype=torch.long)
    line = torch.randperm(len(targets), generator=generator)
    classes = targets.unique(dim=0, return_inverse=True)[1]  # sorted by level: the order of the tree
    line = line[classes[line].argsort(stable=True)]
    start = torch.randint(len(targets), (1,), generator=generator)
    return line[(torch.arange(n) * len(targets) + start) // n].sort().values


def partition(
    targets: Tensor,
    seed: int,
    *,
    levels: Sequence[str],
    divided: dict[str, Any] | None = None,
    budgets: Sequence[int] | None = None,
    validation: int | float = 0,
    test: int | float = 0,
) -> Partition:
    """Divide the rows. The result depends on the arguments alone.

    Test and validation rows are set aside first and do not depend on the budgets. Without budgets the depth of a
    row decides its D_i. With budgets the finest is filled first; a row known to level d may serve every D_i
    with i <= d, its finer labels hidden; the rows left over are not used. Rows without a label are in no set.

    Args:
        targets: ``LongTensor[N, n_levels]``, -1 = unknown.
        seed: same seed, same partition.
        levels: their names, for messages.
        divided: :func:`fingerprint` of the rows of a run, whose partition is repeated; rows appended since are in no
            set.
        budgets: n_1..n_n, the number of rows of each D_i.
        validation: rows (int) or share of the labelled rows (float).
        test: as ``validation``.

    Raises:
        DataError: ``validation`` or ``test`` is negative, or together they leave no training rows.
        BudgetError: the budgets do not fit the levels or the available rows.
        CheckpointError: the rows are not those of the run.
    """
    targets = targets if divided is None else rows_of_run(targets, divided)
    rows = (depths(targets) > 0).nonzero().flatten()
    n_test, n_validation = (
        _held_out_size(value, len(rows), name) for value, name in ((test, "test"), (validation, "validation"))
    )
    if n_test + n_validation >= len(rows):
        raise DataError(
            f"data.validation={validation} and data.test={test} ask for {n_validation} and {n_test} rows, "
            f"but there are only {len(rows)} labelled training rows and some must remain: ask for fewer"
        )
    held_out = []
    for name, n in (("test", n_test), ("validation", n_validation)):
        picked = rows[stratified_sample(targets[rows], n, generator_from("partition", seed, name))]
        rows = rows[~torch.isin(rows, picked)]
        held_out.append(picked)
    if budgets is None:
        subsets = tuple(rows[depths(targets[rows]) == i + 1] for i in range(len(levels)))
    else:
        subsets = _by_budget(targets, rows, seed, levels, budgets)
    return Partition(subsets, validation=held_out[1], test=held_out[0])


def _held_out_size(value: int | float, n_rows: int, name: str) -> int:
    if not 0 <= value < (1 if isinstance(value, float) else float("inf")):  # nor NaN
        raise DataError(f"data.{name}={value}: give a number of rows (0, 1, 2, ..) or a share in [0, 1)")
    return round(value * n_rows) if isinstance(value, float) else value


def _by_budget(
    targets: Tensor, rows: Tensor, seed: int, levels: Sequence[str], budgets: Sequence[int]
) -> tuple[Tensor, ...]:
    if len(budgets) != len(levels) or min(budgets) < 0 or sum(budgets) == 0:
        raise BudgetError(
            f"data.budgets={list(budgets)}: give one number of rows (0 or more, not all 0) for each of the "
            f"{len(levels)} levels {', '.join(levels)}"
        )
    depth = depths(targets)
    subsets = []
    for i in reversed(range(len(levels))):
        pool = rows[depth[rows] > i]
        if budgets[i] > len(pool):
            there = ", ".join(f"{int((depth[rows] == d + 1).sum())} to {name}" for d, name in enumerate(levels))
            raise BudgetError(
                f"data.budgets={list(budgets)}: {budgets[i]} rows labelled to level {levels[i]!r} are asked "
                f"for, but only {len(pool)} are left (after validation, test and finer levels the rows "
                f"labelled exactly: {there}). Lower the budgets, or data.validation"
            )
        picked = pool[stratified_sample(targets[pool], budgets[i], generator_from("partition", seed, i))]
        rows = rows[~torch.isin(rows, picked)]
        subsets.append(picked)
    return tuple(reversed(subsets))


def require_sizes(batch_size: int, eval_batch_size: int, num_workers: int) -> None:
    """Raise a ConfigurationError if an argument of the loaders is too small or too large."""
    for name, value, least, most in (
        ("batch_size", batch_size, 1, 2**31 - 1),  # the largest index
        ("eval_batch_size", eval_batch_size, 1, 2**31 - 1),
        ("num_workers", num_workers, 0, 1024),  # each is a process
    ):
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            raise ConfigurationError(f"data.{name} must be {bound}, got {value}")

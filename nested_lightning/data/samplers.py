"""Batches from tensors, one index list per batch, in a reproducible order that can be resumed anywhere."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from nested_lightning.data.origin import Origin
from nested_lightning.data.vocabulary import PADDING
from nested_lightning.errors import DataError
from nested_lightning.utils.random import generator_from, seed_from

Batch = tuple[Tensor, Tensor]
Transform = Callable[[Tensor], Tensor]
Position = tuple[int, int]
"""Stage level and epoch within the stage."""
_SORTED_BATCHES = 50
"""Batches that are sorted by length together; more would make an epoch's batches more alike from epoch to epoch."""


class TensorRows(Dataset[Batch]):
    """Inputs and targets of a split in memory; one indexing returns a whole batch.

    Args:
        inputs: ``uint8[N, C, H, W]`` images, returned as floats in [0, 1]; ``int32[N, L]`` token ids, returned as
            ``int64`` and no longer than the longest text of the batch; or any float tensor ``[N, ...]``.
        targets: ``LongTensor[N, n_levels]``, -1 = unknown.
        transform: called with the float batch.
        augmentation: called with each float input by itself, before ``transform``. What it draws from torch's
            generator depends on ``key`` and the number of the row alone.
    """

    key: tuple[int, ...] = ()
    name = ""
    """Name of the distortion of the rows, if any."""
    text: Callable[[int], str] | None = None
    """Returns a row's text as it was written, if the inputs are texts."""
    origin: Origin | None = None
    """Names the rows in files."""

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        transform: Transform | None = None,
        augmentation: Transform | None = None,
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.transform, self.augmentation = transform, augmentation

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Batch:
        inputs, targets = self.__getitems__([index])
        return inputs[0], targets[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        rows = torch.as_tensor(indices)
        inputs = self.inputs[rows]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float().div_(255)
        elif inputs.dtype == torch.int32:
            inputs = inputs[:, : int((inputs != PADDING).any(0).sum())].long()
        if self.augmentation is not None:
            with torch.random.fork_rng(devices=[]):
                inputs = torch.stack([self._augmented(i, x) for i, x in zip(indices, inputs, strict=True)])
        if self.transform is not None:
            inputs = self.transform(inputs)
        return inputs, self.targets[rows]

    def _augmented(self, index: int, x: Tensor) -> Tensor:
        torch.default_generator.manual_seed(seed_from("augmentation", *self.key, index))
        return self.augmentation(x)  # type: ignore[misc]  # only called if there is one


class StageSampler(DistributedSampler[int]):
    """Draw some of the rows in an order that depends on seed, stage level and epoch alone.

    It is a ``DistributedSampler`` so that Lightning keeps it; the order is padded to a multiple of ``world_size`` by
    repeating its first rows.

    Args:
        rows: ``LongTensor``, the row numbers to draw from.
        seed: seed of the order.
        position: returns stage level and epoch; called at the beginning of each epoch. None: level 0 and the epoch of
            :meth:`set_epoch`.
        world_size: number of processes.
        rank: of this process.
        lengths: ``LongTensor``, tokens of each of ``rows``; given, the texts of a batch have similar lengths.
        batch_size: rows in a batch of one process; only used with ``lengths``.
    """

    start = 0
    """How many of this process's rows to skip at the beginning of the next epoch."""

    def __init__(
        self,
        rows: Tensor,
        seed: int,
        position: Callable[[], Position] | None = None,
        world_size: int = 1,
        rank: int = 0,
        lengths: Tensor | None = None,
        batch_size: int = 1,
    ) -> None:
        super().__init__(rows, num_replicas=world_size, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.rows = rows
        self._position = position
        self._lengths, self._batch_size = lengths, batch_size * world_size

    @property
    def position(self) -> Position:
        """Return stage level and epoch as of now."""
        return (0, self.epoch) if self._position is None else self._position()

    def __iter__(self) -> Iterator[int]:
        generator = generator_from("order", self.seed, *self.position)
        order = torch.randperm(len(self.rows), generator=generator)
        if self._lengths is not None:
            order = group_by_length(order, self._lengths, self._batch_size, generator)
        order = self.rows[order]
        order = order.repeat(-(-self.total_size // len(order)))[: self.total_size]
        return iter(order[self.rank :: self.num_replicas][self.start :].tolist())


def group_by_length(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Rearrange a random order so that the rows of each batch have similar lengths; batches stay in random order.

    Less padding makes batches cheaper. The last batch, which may be smaller, stays last. ``order`` and the result are
    row numbers ``LongTensor[N]``, ``lengths[row]`` is the length of a row, and a batch is that of all processes.

    Example:
        >>> lengths = torch.tensor([9, 1, 8, 2, 7])
        >>> order = group_by_length(torch.arange(5), lengths, 2, torch.Generator().manual_seed(0))
        >>> [lengths[rows].tolist() for rows in order.split(2)]
        [[1, 2], [7, 8], [9]]
    """
    windows = order.split(_SORTED_BATCHES * batch_size)
    batches = torch.cat([window[lengths[window].argsort(stable=True)] for window in windows]).split(batch_size)
    full = [batch for batch in batches if len(batch) == batch_size]
    shuffled = [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
    return torch.cat([*shuffled, *batches[len(full) :]])


class StageLoader(DataLoader[Batch]):
    """A loader that can be saved in the middle of an epoch and resumes with the next batch.

    Its state belongs to one stage and epoch and is ignored in any other, so that the state saved at the end
    of an epoch starts the next one from its beginning. Iterating does not draw from torch's global generator.
    """

    _skip = 0
    _yielded = 0
    _epoch: Position | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        skip, self._skip = self._skip, 0
        self._epoch, self._yielded = self._position(), skip
        if isinstance(self.sampler, StageSampler):
            key = (self.sampler.seed, *self.sampler.position)
            self.sampler.start = skip * (self.batch_size or 1)
            self.generator.manual_seed(seed_from("workers", *key))
            self.dataset.key = key  # type: ignore[attr-defined]
        for batch in super().__iter__():
            self._yielded += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return stage level and epoch of the last epoch begun, its batches yielded, and the rows of a step."""
        return {"epoch": self._epoch, "yielded": self._yielded, "rows": self._rows_of_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration skip the batches already yielded, if it is of the same epoch."""
        now = self._rows_of_step
        if (before := state.get("rows", now)) != now and getattr(self.sampler, "rank", 0) == 0:
            warnings.warn(
                f"a step takes {now} rows (data.batch_size times the number of processes), in the checkpoint it was "
                f"{before}: the rest of the interrupted epoch sees other rows than it would have, and later epochs "
                f"have another number of steps. To resume exactly, set data.batch_size so that the product is {before}",
                stacklevel=1,  # as one of this package, which the command line prints in one line
            )
        if state["epoch"] == self._position() and state["yielded"] < len(self):
            self._skip = state["yielded"]

    @property
    def _rows_of_step(self) -> int:
        """Rows in a batch, of all processes together."""
        return (self.batch_size or 1) * getattr(self.sampler, "num_replicas", 1)

    def _position(self) -> Position | None:
        """Return the sampler's position; None if the trainer has replaced the sampler (``overfit_batches``)."""
        return self.sampler.position if isinstance(self.sampler, StageSampler) else None


def make_loader(
    loader: type[DataLoader[Batch]],
    rows: TensorRows,
    sampler: DistributedSampler[int],
    batch_size: int,
    workers: int,
) -> DataLoader[Batch]:
    """Return a loader of whole batches that has its own generator."""
    return loader(
        rows,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_as_is,  # type: ignore[arg-type]  # ``__getitems__`` returns whole batches
        generator=torch.Generator(),
    )


def evaluation_loader(
    rows: TensorRows, batch_size: int, workers: int, world_size: int = 1, rank: int = 0
) -> DataLoader[Batch]:
    """Return a loader of each row once over all processes, in order; DataError if a process would have none."""
    if 0 < len(rows) < world_size:
        raise DataError(
            f"there are {len(rows)} rows to validate or test on and {world_size} processes, each of which needs one: "
            "give more rows (data.validation, data.test), or use fewer processes (trainer.devices)"
        )
    sampler = UnrepeatedDistributedSampler(rows, num_replicas=world_size, rank=rank, shuffle=False)
    return make_loader(DataLoader, rows, sampler, batch_size, workers)


def _as_is(batch: Batch) -> Batch:
    return batch

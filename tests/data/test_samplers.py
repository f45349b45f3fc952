"""Order, batches and resuming of the loaders, without a trainer; batches of texts of similar length."""

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nested_lightning.data.samplers import (
    _SORTED_BATCHES,
    StageLoader,
    StageSampler,
    TensorRows,
    evaluation_loader,
    group_by_length,
    make_loader,
)
from nested_lightning.errors import DataError

Position = tuple[int, int]


def rows(n: int, **kwargs: Any) -> TensorRows:
    return TensorRows(torch.arange(n, dtype=torch.float32)[:, None], torch.arange(n)[:, None], **kwargs)


def loader(
    n: int,
    position: Position | Callable[[], Position] = (0, 0),
    batch_size: int = 4,
    workers: int = 0,
    world: int = 1,
    **kwargs: Any,
) -> StageLoader:
    """Return the loader of the last of some processes."""
    sampler = StageSampler(torch.arange(n), 7, position if callable(position) else lambda: position, world, world - 1)
    made = make_loader(StageLoader, rows(n, **kwargs), sampler, batch_size, workers)
    assert isinstance(made, StageLoader)
    return made


def test_images_become_floats_and_numbers_stay() -> None:
    images = torch.tensor([[[[0, 51]]], [[[255, 102]]]], dtype=torch.uint8)
    batch, _ = TensorRows(images, torch.zeros(2, 1).long()).__getitems__([1, 0])
    assert torch.equal(batch, torch.tensor([[[[1.0, 0.4]]], [[[0.0, 0.2]]]]))
    one, target = rows(5)[3]
    assert (one.tolist(), target.tolist()) == ([3.0], [3])


def test_order_depends_on_seed_level_and_epoch_alone() -> None:
    chosen = torch.tensor([3, 5, 8, 9, 11, 20])
    orders = {
        (seed, position): list(StageSampler(chosen, seed, lambda p=position: p))
        for seed in (0, 1)
        for position in ((0, 0), (0, 1), (1, 0))
    }
    assert all(sorted(o) == chosen.tolist() for o in orders.values())
    assert len(set(map(tuple, orders.values()))) == 6
    torch.manual_seed(3)
    assert list(StageSampler(chosen, 1, lambda: (0, 1))) == orders[1, (0, 1)]


def test_position_is_read_when_the_epoch_begins() -> None:
    position = [(0, 0)]
    sampler = StageSampler(torch.arange(50), 0, lambda: position[0])
    first = list(sampler)
    position[0] = (2, 1)
    sampler.set_epoch(9)  # Lightning's own count of epochs does not matter
    assert list(sampler) == list(StageSampler(torch.arange(50), 0, lambda: (2, 1))) != first


def test_plain_loops_may_set_the_epoch() -> None:
    sampler = StageSampler(torch.arange(50), 0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


@given(st.integers(1, 40), st.integers(1, 5))
def test_ranks_share_the_rows(n: int, world: int) -> None:
    training = [list(StageSampler(torch.arange(n), 0, lambda: (0, 0), world, rank)) for rank in range(world)]
    assert {len(part) for part in training} == {-(-n // world)}
    counts = Counter(row for part in training for row in part)
    assert set(counts) == set(range(n))
    if n < world:
        return  # refused, see below
    for rank in range(world):
        evaluation = evaluation_loader(rows(n), 3, 0, world, rank)
        batches = [target.flatten().tolist() for _, target in evaluation]
        assert [row for batch in batches for row in batch] == list(range(rank, n, world))
        assert len(evaluation) == len(batches)


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 30), st.integers(1, 2))
def test_resumes_with_the_next_batch(n: int, batch_size: int, stop: int, world: int) -> None:
    def fresh() -> StageLoader:
        return loader(n, (1, 3), batch_size, world=world)

    whole = [target.tolist() for _, target in fresh()]
    interrupted, head = fresh(), []
    for _, (_, target) in zip(range(stop), interrupted, strict=False):
        head.append(target.tolist())
    resumed = fresh()
    resumed.load_state_dict(interrupted.state_dict())
    tail = [target.tolist() for _, target in resumed]
    # after the last batch the state belongs to a finished epoch, and the next one begins from its start
    assert tail == (whole[len(head) :] if len(head) < len(whole) else whole)
    assert len(resumed) == len(whole)
    assert [target.tolist() for _, target in resumed] == whole
    assert resumed.state_dict()["yielded"] == len(whole)


def test_state_of_another_position_is_ignored() -> None:
    interrupted = loader(12, (0, 4))
    iterator = iter(interrupted)
    next(iterator), next(iterator)
    state = interrupted.state_dict()
    for position in ((1, 4), (0, 5)):
        other = loader(12, position)
        other.load_state_dict(state)
        assert len(list(other)) == 3
    same = loader(12, (0, 4))
    same.load_state_dict(state)
    assert len(list(same)) == 1


def test_state_saved_after_the_epoch_was_counted_belongs_to_the_old_epoch() -> None:
    position = [(0, 0)]
    cut_short = loader(12, lambda: position[0])
    next(iter(cut_short))  # as under limit_train_batches=1
    position[0] = (0, 1)
    resumed = loader(12, (0, 1))
    resumed.load_state_dict(cut_short.state_dict())
    assert len(list(resumed)) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_augmentation_is_per_input_repeatable_and_leaves_the_global_generator_alone(workers: int) -> None:
    def noise(x: Tensor) -> Tensor:
        return x + torch.rand(1)

    def epoch(position: Position) -> Tensor:
        return torch.cat([x - y for x, y in loader(12, position, workers=workers, augmentation=noise)])

    state = torch.get_rng_state()
    first = epoch((0, 0))
    assert len(first.unique()) == 12
    torch.rand(5)
    assert torch.equal(first, epoch((0, 0)))
    assert not torch.equal(first, epoch((0, 1)))
    torch.set_rng_state(state)
    epoch((0, 2))
    assert torch.equal(torch.get_rng_state(), state)


def test_transform_gets_the_batch_after_augmentation() -> None:
    shapes = []

    def transform(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        return x * 10

    made = loader(6, transform=transform, augmentation=lambda x: x + 1)
    assert all(torch.equal(x, (y + 1) * 10.0) for x, y in made)
    assert shapes == [(4, 1), (2, 1)]


def test_fewer_rows_than_processes() -> None:
    with pytest.raises(DataError, match=r"2 rows to validate or test on and 3 processes.*trainer\.devices"):
        evaluation_loader(rows(2), 4, 0, 3, 0)
    assert list(evaluation_loader(rows(0), 4, 0, 3, 1)) == []


def test_another_number_of_rows_in_a_step_raises_a_warning() -> None:
    def of_rank(rank: int, batch_size: int, world: int) -> StageLoader:
        made = loader(20, batch_size=batch_size, world=world)
        made.sampler.rank = rank
        return made

    state = of_rank(0, 4, 1).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_rank(0, 2, 2).load_state_dict(state)
        of_rank(1, 4, 2).load_state_dict(state)  # only the first process warns
    with pytest.warns(UserWarning, match=r"a step takes 8 rows .* in the checkpoint it was 4"):
        of_rank(0, 4, 2).load_state_dict(state)


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=400)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(LENGTHS, st.integers(1, 5), st.integers(0, 99))
def test_every_batch_is_a_slice_of_its_sorted_window(values: list[int], batch_size: int, seed: int) -> None:
    lengths = torch.tensor(values)
    order = torch.randperm(len(values), generator=generator(seed))
    before = order.clone()
    result = group_by_length(order, lengths, batch_size, generator(seed))
    assert torch.equal(order, before)
    assert sorted(result.tolist()) == list(range(len(values)))
    expected = []
    for window in order.split(_SORTED_BATCHES * batch_size):
        ranked = sorted(window.tolist(), key=values.__getitem__)  # sorted is stable: ties stay in the random order
        expected += [tuple(ranked[i : i + batch_size]) for i in range(0, len(ranked), batch_size)]
    batches = [tuple(batch.tolist()) for batch in result.split(batch_size)]
    assert sorted(batches) == sorted(expected)
    if len(values) % batch_size:
        assert batches[-1] == expected[-1]


def test_the_generator_decides() -> None:
    lengths = torch.randint(1, 50, (500,), generator=generator())
    order = torch.randperm(500, generator=generator())
    first, same, other = (group_by_length(order, lengths, 8, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_batches_come_in_random_order_and_waste_less() -> None:
    lengths = torch.randint(1, 200, (1000,), generator=generator())
    order = torch.randperm(1000, generator=generator())
    batches = [lengths[rows] for rows in group_by_length(order, lengths, 10, generator()).split(10)]
    longest = [int(batch.max()) for batch in batches]
    assert longest != sorted(longest)

    def waste(rows: torch.Tensor) -> int:
        return sum(int((batch.max() - batch).sum()) for batch in lengths[rows].split(10))

    assert waste(group_by_length(order, lengths, 10, generator())) < waste(order) / 10


def test_processes_share_the_batches_of_similar_length() -> None:
    lengths = torch.randint(1, 200, (240,), generator=generator())
    rows = torch.randperm(500, generator=generator())[:240].sort().values
    options = {"lengths": lengths, "batch_size": 4, "world_size": 2}
    ranks = [list(StageSampler(rows, 3, rank=rank, **options)) for rank in (0, 1)]  # type: ignore[arg-type]
    assert sorted(ranks[0] + ranks[1]) == rows.tolist()
    length_of = dict(zip(rows.tolist(), lengths.tolist(), strict=True))
    ranked = [length_of[row] for row in sorted(rows.tolist(), key=length_of.__getitem__)]
    expected = sorted(ranked[i : i + 8] for i in range(0, 240, 8))
    batches = [ranks[0][i : i + 4] + ranks[1][i : i + 4] for i in range(0, 120, 4)]
    assert sorted(sorted(length_of[row] for row in batch) for batch in batches) == expected

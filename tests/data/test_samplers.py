"""Order, batches and resuming of the loaders, without a trainer."""

import warnings
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nested_lightning.data.samplers import (
    StageLoader,
    StageSampler,
    TensorRows,
    evaluation_loader,
    make_loader,
)
from nested_lightning.errors import DataError

Position = tuple[int, int]


def rows(n: int, **kwargs: Any) -> TensorRows:
    return TensorRows(torch.arange(n, dtype=torch.float32)[:, None], torch.arange(n)[:, None], **kwargs)


def loader(n: int, position: Position = (0, 0), batch_size: int = 4, workers: int = 0, **kwargs: Any) -> StageLoader:
    sampler = StageSampler(torch.arange(n), 7, lambda: position)
    made = make_loader(StageLoader, rows(n, **kwargs), sampler, batch_size, workers)
    assert isinstance(made, StageLoader)
    return made


def order(sampler: StageSampler) -> list[int]:
    return list(sampler)


def test_images_become_floats_and_numbers_stay() -> None:
    images = torch.tensor([[[[0, 51]]], [[[255, 102]]]], dtype=torch.uint8)
    batch, _ = TensorRows(images, torch.zeros(2, 1).long()).__getitems__([1, 0])
    assert torch.equal(batch, torch.tensor([[[[1.0, 0.4]]], [[[0.0, 0.2]]]]))
    one, target = rows(5)[3]
    assert (one.tolist(), target.tolist()) == ([3.0], [3])


def test_order_depends_on_seed_level_and_epoch_alone() -> None:
    chosen = torch.tensor([3, 5, 8, 9, 11, 20])
    orders = {
        (seed, position): order(StageSampler(chosen, seed, lambda p=position: p))
        for seed in (0, 1)
        for position in ((0, 0), (0, 1), (1, 0))
    }
    assert all(sorted(o) == chosen.tolist() for o in orders.values())
    assert len(set(map(tuple, orders.values()))) == 6
    torch.manual_seed(3)
    assert order(StageSampler(chosen, 1, lambda: (0, 1))) == orders[1, (0, 1)]


def test_position_is_read_when_the_epoch_begins() -> None:
    position = [(0, 0)]
    sampler = StageSampler(torch.arange(50), 0, lambda: position[0])
    first = order(sampler)
    position[0] = (2, 1)
    sampler.set_epoch(9)  # Lightning's own count of epochs does not matter
    assert order(sampler) == order(StageSampler(torch.arange(50), 0, lambda: (2, 1))) != first


def test_plain_loops_may_set_the_epoch() -> None:
    sampler = StageSampler(torch.arange(50), 0)
    first = order(sampler)
    sampler.set_epoch(1)
    assert order(sampler) != first


@given(st.integers(1, 40), st.integers(1, 5))
def test_ranks_share_the_rows(n: int, world: int) -> None:
    training = [order(StageSampler(torch.arange(n), 0, lambda: (0, 0), world, rank)) for rank in range(world)]
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
        sampler = StageSampler(torch.arange(n), 7, lambda: (1, 3), world, world - 1)
        made = make_loader(StageLoader, rows(n), sampler, batch_size, 0)
        assert isinstance(made, StageLoader)
        return made

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
    cut_short = make_loader(StageLoader, rows(12), StageSampler(torch.arange(12), 7, lambda: position[0]), 4, 0)
    assert isinstance(cut_short, StageLoader)
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


def test_another_number_of_rows_a_step_is_told() -> None:
    def loader(batch_size: int, world_size: int) -> StageLoader:
        sampler = StageSampler(torch.arange(20), 0, lambda: (0, 0), world_size, 0)
        rows = TensorRows(torch.zeros(20, 1), torch.zeros(20, 1, dtype=torch.long))
        made = make_loader(StageLoader, rows, sampler, batch_size, 0)
        assert isinstance(made, StageLoader)
        return made

    state = loader(4, 1).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader(2, 2).load_state_dict(state)
    with pytest.warns(UserWarning, match=r"a step takes 8 rows .* in the checkpoint it was 4"):
        loader(4, 2).load_state_dict(state)

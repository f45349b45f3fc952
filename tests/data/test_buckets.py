"""Batches of texts of like length."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from nested_lightning.data.samplers import _SORTED_BATCHES, StageSampler, group_by_length

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
    batches = [tuple(batch) for batch in result.split(batch_size)]
    batches = [tuple(int(row) for row in batch) for batch in batches]
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


def test_processes_share_the_batches_of_like_length() -> None:
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

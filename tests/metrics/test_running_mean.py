import pytest
import torch

from nested_lightning.metrics.running_mean import RunningMean

BATCHES = [(torch.tensor(value), rows) for value, rows in ((3.0, 4), (1.0, 16), (8.0, 1), (2.0, 7))]


def mean(batches):
    return sum(float(value) * rows for value, rows in batches) / sum(rows for _, rows in batches)


def test_goes_on_where_it_was_left():
    before, after = RunningMean(), RunningMean()
    for batch in BATCHES[:2]:
        before.update(*batch)
    after.go_on_from(before.of_all_processes(), rank=0, world_size=1)
    for batch in BATCHES[2:]:
        after.update(*batch)
    assert float(after.compute()) == pytest.approx(mean(BATCHES))


def test_another_number_of_processes_loses_no_row():
    states = torch.tensor([[12.0, 4.0], [16.0, 16.0]])
    for world_size in (1, 3):
        means = [RunningMean() for _ in range(world_size)]
        for rank, each in enumerate(means):
            each.go_on_from(states, rank, world_size)
        assert torch.equal(sum(each.state for each in means), states.sum(0))


def test_the_same_number_of_processes_takes_its_own():
    states = torch.tensor([[12.0, 4.0], [16.0, 16.0]])
    each = RunningMean()
    each.go_on_from(states, 1, 2)
    assert torch.equal(each.state, states[1])

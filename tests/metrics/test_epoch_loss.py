"""The mean loss of an epoch: interrupted, resumed by other processes, and not finite."""

import pytest
import torch

from nested_lightning.errors import NonFiniteError
from nested_lightning.metrics.epoch_loss import EpochLoss

BATCHES = [
    (torch.tensor(value), torch.zeros(n, 2), i) for i, (value, n) in enumerate([(3, 4), (1, 16), (8, 1), (2, 7)])
]
STATES = torch.tensor([[12.0, 4.0], [16.0, 16.0]])


def resumed(rank, world_size, states=STATES):
    loss = EpochLoss()
    loss.resume(states, rank, world_size)
    return loss


def test_resumes_where_it_was_left():
    before = EpochLoss()
    for batch in BATCHES[:2]:
        before.update(*batch)
    after = resumed(0, 1, before.gather())
    for batch in BATCHES[2:]:
        after.update(*batch)
    assert float(after.compute()) == pytest.approx((3 * 4 + 1 * 16 + 8 * 1 + 2 * 7) / 28)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_no_sample_is_lost_whatever_the_number_of_processes(world_size):
    states = torch.cat([resumed(rank, world_size).gather() for rank in range(world_size)])
    assert torch.equal(states.sum(0), STATES.sum(0))
    assert world_size != 2 or torch.equal(states, STATES)


def test_the_first_batch_that_is_not_finite_is_named_once_asked():
    loss = EpochLoss()
    for batch_idx, value in enumerate([1.0, float("inf"), float("nan")]):
        loss.update(torch.tensor(value), torch.zeros(3, 2), batch_idx)
    with pytest.raises(NonFiniteError, match="the loss is not finite in epoch 1, training batch 1: lower"):
        loss.refuse_non_finite("epoch 1, training")
    loss.reset()
    loss.update(torch.tensor(float("inf"), dtype=torch.float16), torch.zeros(3, 2), 0)
    with pytest.raises(NonFiniteError, match=r"batch 0: .* set trainer\.precision to bf16-true or 16-mixed"):
        loss.refuse_non_finite("epoch 2, training")
    loss.reset()
    assert torch.equal(loss.refuse_non_finite("epoch 2, training"), torch.zeros(1, 2))


def test_a_batch_that_was_not_finite_in_another_process():
    loss = resumed(0, 1, torch.tensor([[float("nan"), 1.0]]))
    with pytest.raises(NonFiniteError, match="in another process"):
        loss.refuse_non_finite("epoch 1, training")

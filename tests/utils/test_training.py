import pytest
import torch
from helpers.refusing import refusing
from torch import nn
from torch.optim import SGD

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.utils.training import input_and_target, refuse_several_loaders, set_learning_rate


def test_a_batch_is_a_pair():
    x, target = torch.zeros(2, 3), torch.zeros(2, 1)
    assert input_and_target([x, target])[1] is input_and_target((x, target))[1] is target
    nested = {"pixels": x}, target
    assert input_and_target(nested)[0] == {"pixels": x}


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        ({"x": 1, "y": 2}, "dict of x, y"),
        ([torch.zeros(2), "label"], "list of Tensor, str"),
        ((torch.zeros(2),) * 3, "tuple of Tensor, Tensor, Tensor"),
        (torch.zeros(2, 3), "Tensor"),
    ],
)
def test_a_batch_that_is_no_pair(batch, got):
    with refusing(DataError, "pair of input and target", f"got a {got}"):
        input_and_target(batch)


def test_one_loader():
    refuse_several_loaders("validation", 1)
    with refusing(ConfigurationError, "validation takes one data loader, got 3"):
        refuse_several_loaders("validation", 3)


@pytest.mark.parametrize(
    ("rates", "rate", "expected"),
    [((1e-3,), 0.5, [0.5]), ((0.0,), 0.5, [0.5]), ((1.0, 4.0, 2.0), 0.8, [0.2, 0.8, 0.4]), ((3.0, 5.0), None, [3, 5])],
)
def test_the_largest_rate_is_set_and_the_others_keep_their_ratio(rates, rate, expected):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": value} for value in rates]
    optimizer = SGD(groups)
    set_learning_rate(optimizer, rate)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected)

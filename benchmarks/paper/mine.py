"""Estimate the mutual information of two samples with a network (MINE, Belghazi et al. 2018; Eq. 3-5, E.3)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nested_lightning.errors import ConfigurationError, DataError

_DECAY = 0.99  # of both moving averages
_PARTNERS = 16  # new pairs per held-out row


class InformationEstimate(NamedTuple):
    """The result of :func:`estimate_information`.

    Attributes:
        nats: the estimate at the end of training.
        steps: the training steps after which there are estimates.
        history: the estimates after these steps, in nats.
    """

    nats: float
    steps: list[int]
    history: list[float]


def estimate_information(
    x: Tensor,
    z: Tensor,
    steps: int = 3000,
    batch_size: int = 256,
    hidden: int = 64,
    learning_rate: float = 2e-3,
    every: int = 100,
    seed: int = 0,
) -> InformationEstimate:
    """Estimate I(X, Z) from pairs of samples by the bound of Donsker and Varadhan (Eq. 4, 5).

    A network T with two hidden layers learns to distinguish true pairs from new pairs drawn at random, on a random half
    of the rows. All estimates are the bound ``mean T(pairs) - log mean exp T(new pairs)`` on the other half, so
    overfitting adds nothing; too few steps, rows or units lower the estimate. T's weights are a moving average over
    about 100 steps, and so is the mean of exp T that divides its gradient: that of a single batch would be biased. The
    sampling error shrinks with the root of the number of rows and grows fast with the information; above about 6 nats
    no estimate of this kind is reliable.

    Args:
        x: ``[N, d1]``, any floating or integer dtype; row i is paired with row i of ``z``. Columns are standardised.
        z: ``[N, d2]``.
        steps: steps of Adam.
        batch_size: pairs of each kind per step.
        hidden: units of each hidden layer.
        learning_rate: of Adam.
        every: steps between two estimates of the history, which ends with the last step.
        seed: of the halves, the weights and the batches. torch's global random state does not change.

    Returns:
        The estimate in nats, computed on the CPU in float32; around 0 for independent samples, possibly below it.

    Raises:
        DataError: x and z are not finite matrices with the same number of at least 4 rows.
        ConfigurationError: an argument is not positive.

    Example:
        >>> x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
        >>> estimate_information(x, x.sign(), steps=300).nats > 0.8 * math.log(2)
        True
    """
    _check(x, z, steps=steps, batch_size=batch_size, hidden=hidden, learning_rate=learning_rate, every=every)
    generator = torch.Generator().manual_seed(seed)
    learned, held_out = torch.randperm(len(x), generator=generator).tensor_split(2)
    x, z = (_standardise(sample.detach().cpu().double(), learned) for sample in (x, z))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(x.shape[1] + z.shape[1], hidden), nn.ELU(), nn.Linear(hidden, hidden), nn.ELU()]
        network = nn.Sequential(*layers, nn.Linear(hidden, 1))
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_DECAY))
    shifts = torch.randint(1, len(held_out), (_PARTNERS,), generator=generator).tolist()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    log_average, at, history = torch.zeros(1), [], []
    for step in range(1, steps + 1):
        rows, partners = learned[torch.randint(len(learned), (2, batch_size), generator=generator)]
        optimizer.zero_grad()
        log_average = _backward(network, x[rows], z[rows], z[partners], log_average)
        optimizer.step()
        averaged.update_parameters(network)
        if step % every == 0 or step == steps:
            at.append(step)
            history.append(_bound(averaged, x[held_out], z[held_out], shifts))
    return InformationEstimate(history[-1], at, history)


def _check(x: Tensor, z: Tensor, **positive: float) -> None:
    if x.ndim != 2 or z.ndim != 2 or len(x) != len(z) or len(x) < 4:
        raise DataError(
            "mutual information needs two matrices [N, d] with the same number of at least 4 rows; got "
            f"{list(x.shape)} and {list(z.shape)}: flatten maps, and give one row per sample"
        )
    if not (x.isfinite().all() and z.isfinite().all()):
        raise DataError("the samples contain NaN or infinite values: remove these rows from both")
    for name, value in positive.items():
        if value <= 0:
            raise ConfigurationError(f"estimate_information: {name} must be positive, got {value}")


@torch.enable_grad()
def _backward(network: nn.Module, x: Tensor, z: Tensor, other_z: Tensor, log_average: Tensor) -> Tensor:
    """Compute the gradient of the bound with a moving average in the denominator; return the log of that average."""
    joint = network(torch.cat([x, z], dim=1)).mean()
    log_mean = network(torch.cat([x, other_z], dim=1)).logsumexp(0) - math.log(len(x))
    log_average = torch.logaddexp(log_average + math.log(_DECAY), log_mean.detach() + math.log(1 - _DECAY))
    ((log_mean - log_average).exp() - joint).backward()
    return log_average


def _standardise(sample: Tensor, rows: Tensor) -> Tensor:
    std, mean = torch.std_mean(sample[rows], dim=0)
    return ((sample - mean) / torch.where(std > 0, std, 1)).float()


@torch.no_grad()
def _bound(network: nn.Module, x: Tensor, z: Tensor, shifts: list[int]) -> float:
    joint = network(torch.cat([x, z], dim=1)).mean()
    new = torch.cat([network(torch.cat([x, z.roll(shift, 0)], dim=1)) for shift in shifts])
    return float(joint - (new.logsumexp(0) - math.log(len(new))))

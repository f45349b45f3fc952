"""Calibration: temperature scaling, and synthetic samples for the rejection class (Sec. 4.4, C.3)."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import nll_loss, normalize

from nested_lightning.errors import CalibrationError, ConfigurationError, NonFiniteError, suggestion
from nested_lightning.functional.reliability import level_ece

TemperatureMethod = Literal["ece_grid", "nll"]
RejectionDistribution = Literal["sphere", "orthant", "ball"]

NLL_BOUNDS = (0.05, 20.0)
"""Lowest and highest temperature that ``fit_temperature(method="nll")`` can return."""


def log_probabilities(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Return the calibrated log-probabilities of a level's real classes.

    The softmax of ``logits / temperature`` runs over all ``K + 1`` columns; then the rejection column is
    dropped. What it held is not handed to the other classes: a row sums to one minus its rejected mass, so
    a rejected input has a low confidence in every class.

    Args:
        logits: ``[..., K + 1]``, the rejection logit last; ``-inf`` there means that nothing is rejected.
        temperature: a positive scalar; above 1 flattens, below 1 sharpens.

    Returns:
        ``[..., K]`` in the dtype of the logits, at least float32.

    Example:
        >>> log_probabilities(torch.tensor([[0.0, 0.0, 0.0]])).exp()
        tensor([[0.3333, 0.3333]])
        >>> log_probabilities(torch.tensor([[0.0, 0.0, -torch.inf]]), temperature=2.0).exp()
        tensor([[0.5000, 0.5000]])
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits.to(dtype) / temperature, dim=-1)[..., :-1]


def _unchanged(log_probabilities: Tensor) -> Tensor:
    return log_probabilities


def fit_temperature(
    logits: Tensor,
    target: Tensor,
    method: TemperatureMethod = "ece_grid",
    bins: int = 15,
    answer: Callable[[Tensor], Tensor] = _unchanged,
) -> float:
    """Return the temperature which calibrates one level best on held-out rows (Sec. 4.4, C.3).

    ``"ece_grid"`` is the paper's way: of 50 temperatures evenly spaced in [1, 3] take the one with the lowest
    expected calibration error, the lowest temperature of several equal ones. ``"nll"`` minimises the negative
    log-likelihood between 0.05 and 20, and stays at 1 unless another temperature is better; it can sharpen
    (below 1), and on rows without a single mistake it ends at the lower bound.

    Scaling never changes which class is the most probable. It runs in float64 on the CPU, so that the answer
    does not depend on the device.

    Args:
        logits: ``[N, K + 1]`` with the rejection logit last (``-inf`` allowed there): logits, not
            probabilities, of rows that were not trained on.
        target: ``LongTensor[N]``, -1 = not known, ignored.
        method: ``"ece_grid"`` or ``"nll"``.
        bins: number of bins of the calibration error, for ``"ece_grid"``.
        answer: turns the level's log-probabilities ``[n, K]`` (float64, CPU, of the rows that are known, in their
            order) into those to be calibrated, such as their combination with coarser levels. Default: unchanged.

    Returns:
        The temperature, positive and finite.

    Raises:
        CalibrationError: no row is known, a target is no class of this level, or probabilities came.
        NonFiniteError: a logit is NaN or infinite.
        ConfigurationError: an unknown method.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0, -torch.inf]]).repeat(10, 1)
        >>> target = torch.tensor([0] * 8 + [1] * 2)  # right 8 times of 10, though 98 % sure
        >>> round(fit_temperature(logits, target, method="nll"), 3)  # 4 / log(0.8 / 0.2)
        2.885
    """
    if method not in get_args(TemperatureMethod):
        known = get_args(TemperatureMethod)
        raise ConfigurationError(
            f"{method!r} is no way to fit a temperature; known are {', '.join(known)}.{suggestion(method, known)}"
        )
    logits, target = _known_rows(logits, target)
    if method == "nll":
        return _minimise_nll(lambda t: float(nll_loss(answer(log_probabilities(logits, t)), target)))
    grid: list[float] = torch.linspace(1, 3, 50, dtype=torch.float64).tolist()
    # min() keeps the first of equals: the lowest temperature.
    return min(grid, key=lambda t: float(level_ece(answer(log_probabilities(logits, t)).exp(), target, bins)))


def sample_rejection(
    n: int,
    dim: int,
    distribution: RejectionDistribution,
    generator: torch.Generator,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return synthetic embeddings for the rejection class, every row drawn on its own (C.3).

    ``"sphere"`` is uniform on the unit sphere, where the normalised embeddings live: the paper's choice.
    ``"orthant"`` is uniform on its part with no negative coordinate, which holds all embeddings that come
    from ReLU and pooling. ``"ball"`` is uniform in the volume of the unit ball.

    Args:
        n: number of samples.
        dim: size of the embedding.
        distribution: ``"sphere"``, ``"orthant"`` or ``"ball"``.
        generator: the source of randomness; the numbers are drawn on its device, then moved, so that one
            seed gives one set of samples everywhere.
        device: where the result lies; default: the generator's device.
        dtype: a floating dtype; default: torch's default dtype.

    Returns:
        ``[n, dim]``.

    Raises:
        ConfigurationError: an unknown distribution.

    Example:
        >>> samples = sample_rejection(3, 8, "orthant", torch.Generator().manual_seed(0))
        >>> samples.shape, bool((samples >= 0).all())
        (torch.Size([3, 8]), True)
    """
    if distribution not in get_args(RejectionDistribution):
        known = get_args(RejectionDistribution)
        raise ConfigurationError(
            f"{distribution!r} is no distribution of rejection samples; known are {', '.join(known)}."
            f"{suggestion(distribution, known)}"
        )
    # A normal distribution has no preferred direction, so its directions are uniform on the sphere.
    samples = torch.randn(n, dim, generator=generator, device=generator.device, dtype=dtype)
    samples = normalize(samples, dim=1)
    if distribution == "orthant":
        samples = samples.abs()
    elif distribution == "ball":
        # The volume within radius r grows with r ** dim.
        radius = torch.rand(n, 1, generator=generator, device=generator.device, dtype=dtype) ** (1 / dim)
        samples = samples * radius
    return samples.to(device)


def rejection_count(n: int, dim: int) -> int:
    """Return how many rejection samples to add to ``n`` embeddings of size ``dim``: ``0.5 * n * sqrt(dim)``.

    The paper (C.3) asks for a number that grows with both, and names ``n`` times the area of the unit
    sphere. That area peaks at 7 dimensions and then vanishes (1e-4 at 32, 2e-18 at 64), which would leave no
    sample at all for embeddings of any useful size; the square root grows as the text demands.

    Example:
        >>> rejection_count(1000, 64)
        4000
    """
    return round(0.5 * n * math.sqrt(dim))


def _known_rows(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows with a known target, in float64 on the CPU, once they are fit for calibration."""
    if logits.ndim != 2 or logits.shape[1] < 2 or target.shape != logits.shape[:1]:
        raise CalibrationError(
            "a temperature needs logits [N, K + 1] and a target [N] of one level; "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    logits, target = logits.detach().cpu().double(), target.detach().cpu()
    logits, target = logits[target >= 0], target[target >= 0]
    n_classes = logits.shape[1] - 1
    if len(target) == 0:
        raise CalibrationError(
            "a temperature needs validation rows whose label is known at this level, but there is none: "
            "add labelled validation rows, or leave this level uncalibrated"
        )
    if int(target.max()) >= n_classes:
        raise CalibrationError(
            f"the target holds class index {int(target.max())}, but the logits have {n_classes} classes and "
            "one rejection column: expected indices from 0, or -1 for unknown"
        )
    rejection = logits[:, -1]
    if not (logits[:, :-1].isfinite().all() and (rejection.isfinite() | rejection.isneginf()).all()):
        raise NonFiniteError("the logits to calibrate hold NaN or infinite values: training has diverged")
    if (logits >= 0).all() and (logits.sum(dim=1) - 1).abs().max() < 1e-3:
        raise CalibrationError(
            "the logits to calibrate are probabilities (every row sums to 1): pass the outputs before the softmax"
        )
    return logits, target


def _minimise_nll(nll_at: Callable[[float], float]) -> float:
    """Return the temperature with the lowest negative log-likelihood, 1 where none is better."""

    def nll(log_temperature: float) -> float:
        return nll_at(math.exp(log_temperature))

    # The loss is convex in 1 / T, so along log T it has one valley: golden-section search finds it.
    low, high = (math.log(bound) for bound in NLL_BOUNDS)
    best = _golden_section(nll, low, high)
    return math.exp(min((0.0, low, high, best), key=nll))


def _golden_section(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where ``function``, falling then rising between the bounds, is lowest, to 1e-9."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-9:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2

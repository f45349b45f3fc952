"""Calibration: temperature scaling, and synthetic samples for the rejection class (Sec. 4.4, C.3)."""

import math
from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import nll_loss, normalize

from nested_lightning.errors import CalibrationError, ConfigurationError, NonFiniteError, suggestion
from nested_lightning.functional.reliability import ACCUMULATOR, check_probabilities, confidence_bins, ece_of

TemperatureMethod = Literal["ece_grid", "nll"]
RejectionDistribution = Literal["sphere", "orthant", "ball"]

NLL_BOUNDS = (0.05, 20.0)
"""Lowest and highest temperature that ``fit_temperature(method="nll")`` can return."""


def log_probabilities(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Return the calibrated log-probabilities of a level's real classes.

    The softmax of ``logits / temperature`` runs over all ``K + 1`` columns, then the rejection column is dropped. Its
    mass is not redistributed: the probabilities sum to one minus the rejected mass, so a rejected input has a low
    confidence in every class.

    Args:
        logits: ``[..., K + 1]``, the rejection logit last; ``-inf`` there rejects nothing.
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


def fit_temperature(
    logits: Tensor,
    target: Tensor,
    method: TemperatureMethod = "ece_grid",
    bins: int = 15,
    combine: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """Return the temperature that calibrates one level best on held-out samples (Sec. 4.4, C.3).

    ``"ece_grid"`` is the paper's method: of 50 temperatures evenly spaced in [1, 3], the lowest one that minimises the
    expected calibration error. ``"nll"`` minimises the negative log-likelihood between 0.05 and 20 and returns 1
    unless another temperature is better; it can sharpen (below 1), and samples without a single mistake give the lower
    bound. Scaling never changes which class is the most probable.

    Computed in float64 on the CPU, so the result does not depend on the device.

    Args:
        logits: ``[N, K + 1]`` (not probabilities) of samples that were not trained on, the rejection logit last, which
            may be ``-inf``.
        target: ``LongTensor[N]``, -1 = not known, ignored.
        method: ``"ece_grid"`` or ``"nll"``.
        bins: number of bins of the calibration error, for ``"ece_grid"``.
        combine: maps the level's log-probabilities ``[n, K]`` (float64, CPU, of the known samples in their order) to
            those to calibrate, such as their combination with coarser levels. Default: unchanged.

    Raises:
        CalibrationError: no label is known, a target is not a class of this level, or got probabilities.
        NonFiniteError: a logit is NaN or infinite.
        ConfigurationError: an unknown method.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0, -torch.inf]]).repeat(10, 1)
        >>> target = torch.tensor([0] * 8 + [1] * 2)  # correct 8 times of 10, with a confidence of 98 %
        >>> round(fit_temperature(logits, target, method="nll"), 3)  # 4 / log(0.8 / 0.2)
        2.885
    """
    logits, target = known_samples(logits, target)

    def calibrated(temperature: float) -> Tensor:
        own = log_probabilities(logits, temperature)
        return own if combine is None else combine(own)

    return search_temperature(lambda: [(calibrated, target)], method, bins)


def search_temperature(
    batches: Callable[[], Iterable[tuple[Callable[[float], Tensor], Tensor]]],
    method: TemperatureMethod = "ece_grid",
    bins: int = 15,
) -> float:
    """Return what :func:`fit_temperature` returns, from batches of samples.

    Args:
        batches: returns all batches: a function from a temperature to the log-probabilities ``[n, K]`` to calibrate,
            and the known targets ``LongTensor[n]``. ``"ece_grid"`` takes them once, ``"nll"`` many times.
        method: ``"ece_grid"`` or ``"nll"``.
        bins: number of bins of the calibration error, for ``"ece_grid"``.

    Raises:
        ConfigurationError: an unknown method.
    """
    _check_choice("temperature method", method, get_args(TemperatureMethod))

    def mean_nll(temperature: float) -> float:
        sums = [(float(nll_loss(at(temperature), y, reduction="sum")), len(y)) for at, y in batches()]
        return sum(loss for loss, _ in sums) / sum(n for _, n in sums)

    if method == "nll":
        return _minimise(mean_nll)
    grid: list[float] = torch.linspace(1, 3, 50, dtype=torch.float64).tolist()
    sums = torch.zeros(len(grid), bins, 3, dtype=ACCUMULATOR)
    for at, y in batches():
        for i, temperature in enumerate(grid):
            log_confidence, predicted = at(temperature).max(dim=1)
            confidence = log_confidence.exp()
            check_probabilities(confidence)
            sums[i] += confidence_bins(confidence, predicted == y, y >= 0, bins)
    # min() keeps the first of several minima: the lowest temperature.
    return min(zip(grid, sums, strict=True), key=lambda pair: float(ece_of(pair[1])))[0]


def sample_rejection(
    n: int,
    dim: int,
    distribution: RejectionDistribution,
    generator: torch.Generator,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return independent synthetic embeddings ``[n, dim]`` for the rejection class (C.3).

    ``"sphere"`` is uniform on the unit sphere, where the normalised embeddings lie: the paper's choice. ``"orthant"``
    is uniform on the part of it with no negative coordinate, which holds all embeddings that come from ReLU and
    pooling. ``"ball"`` is uniform in the volume of the unit ball.

    Args:
        n: number of samples.
        dim: size of the embedding.
        distribution: ``"sphere"``, ``"orthant"`` or ``"ball"``.
        generator: draws on its own device, then the samples are moved, so a seed gives the same samples everywhere.
        device: of the result; default: the generator's.
        dtype: a floating dtype; default: torch's default dtype.

    Raises:
        ConfigurationError: an unknown distribution.

    Example:
        >>> samples = sample_rejection(3, 8, "orthant", torch.Generator().manual_seed(0))
        >>> samples.shape, bool((samples >= 0).all())
        (torch.Size([3, 8]), True)
    """
    _check_choice("rejection distribution", distribution, get_args(RejectionDistribution))
    # A normal distribution has no preferred direction, so its directions are uniform on the sphere.
    samples = normalize(torch.randn(n, dim, generator=generator, device=generator.device, dtype=dtype), dim=1)
    if distribution == "orthant":
        samples = samples.abs()
    elif distribution == "ball":
        # The volume within radius r grows with r ** dim.
        samples = samples * torch.rand(n, 1, generator=generator, device=generator.device, dtype=dtype) ** (1 / dim)
    return samples.to(device)


def rejection_count(n: int, dim: int) -> int:
    """Return how many rejection samples to add to ``n`` embeddings of size ``dim``: ``0.5 * n * sqrt(dim)``.

    The paper (C.3) asks for a number that grows with both, and suggests ``n`` times the area of the unit sphere. That
    area peaks at 7 dimensions and then vanishes (1e-4 at 32, 2e-18 at 64), which would leave no sample for embeddings
    of any useful size; the square root grows as required.
    """
    return round(0.5 * n * math.sqrt(dim))


def _check_choice(kind: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"unknown {kind} {value!r}. Choose from {', '.join(known)}.{suggestion(value, known)}")


def known_samples(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and targets of the samples with a known label, in float64 on the CPU.

    Arguments and errors as in :func:`fit_temperature`.
    """
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
            "a temperature needs validation samples whose label is known at this level, but there is none: "
            "add labelled validation samples, or leave this level uncalibrated"
        )
    if int(target.max()) >= n_classes:
        raise CalibrationError(
            f"the target holds class index {int(target.max())}, but the logits have {n_classes} classes and one "
            "rejection column: expected indices from 0, or -1 for unknown"
        )
    rejection = logits[:, -1]
    if not (logits[:, :-1].isfinite().all() and (rejection.isfinite() | rejection.isneginf()).all()):
        raise NonFiniteError("the logits to calibrate hold NaN or infinite values: training has diverged")
    if (logits >= 0).all() and (logits.sum(dim=1) - 1).abs().max() < 1e-3:
        raise CalibrationError(
            "the logits to calibrate are probabilities (they sum to 1): pass the outputs before the softmax"
        )
    return logits, target


def _minimise(nll: Callable[[float], float]) -> float:
    """Return the temperature with the lowest negative log-likelihood, 1 if none is better."""
    from scipy.optimize import minimize_scalar

    # The loss is convex in 1 / T, so along log T it has a single valley.
    bounds = tuple(math.log(bound) for bound in NLL_BOUNDS)
    valley = minimize_scalar(lambda t: nll(math.exp(t)), bounds=bounds, method="bounded", options={"xatol": 1e-9}).x
    return min((1.0, *NLL_BOUNDS, math.exp(valley)), key=nll)

"""Adversarial attacks on one level's prediction, by the Adversarial Robustness Toolbox (ART); Sec. 5."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError, DataError, suggestion
from nested_lightning.module import NestedLightningModule

AttackMethod = Literal["fgsm", "deepfool", "saliency"]
EPSILONS = tuple(np.geomspace(1e-3, 1.0, 101).tolist())
"""The FGSM steps tried by default: 101 from 0.001 to 1, each 7 % longer than the one before."""
_SMALL_BATCHES = {"batch_size": 16, "verbose": False}  # a batch takes as many steps as its hardest sample


def attack(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    method: AttackMethod,
    level: int = -1,
    **options: Any,
) -> Tensor:
    """Change images so that one level's prediction becomes any incorrect class.

    The attacker knows the whole model and attacks what ``module.predict`` returns at that level, calibrated and
    combined, through its log-probabilities (:class:`LevelScores`). Each sample is attacked independently, and samples
    that are predicted incorrectly without an attack stay unchanged.

    ============  ==============================================  =================================================
    method        ART's class                                     defaults that differ from ART's
    ============  ==============================================  =================================================
    ``fgsm``      ``FastGradientMethod``: one step of ``eps``     none; ``eps`` is 0.3
                  along the sign of the gradient
    ``deepfool``  ``DeepFool``: steps to the nearest boundary of  ``nb_grads``: all classes are candidates;
                  a linear approximation                          ``epsilon=0.02``: 2 % beyond the boundary, as in
                                                                  its paper, or rounding may undo it;
                                                                  ``max_iter=20``: more only creep up to the boundary
    ``saliency``  ``SaliencyMapMethod`` (JSMA): every step makes  the goal is the most probable incorrect class, where
                  two pixels brighter by ``theta``                ART draws one at random
    ============  ==============================================  =================================================

    Args:
        module: a trained model on the CPU or a CUDA device; its weights, their gradients and its mode do not change.
        images: float ``[B, ...]`` in [0, 1].
        target: int64 ``[B, n_levels]``; every sample known at ``level``.
        method: see above.
        level: index of the level to attack; -1: the finest.
        **options: arguments of ART's class, such as ``eps=0.1`` or ``max_iter=20``.

    Returns:
        Float32 images like ``images``, in [0, 1]. Not every attack succeeds: check with ``module.predict``.

    Raises:
        ConfigurationError: ART is missing, or an unknown method, level or option.
        DataError: images outside [0, 1], or targets that do not fit.
    """
    if method not in (known := get_args(AttackMethod)):
        raise ConfigurationError(
            f"Unknown attack {method!r}.{suggestion(method, known)} Choose from {', '.join(known)}"
        )
    labels = _labels_of(module, images, target, level)
    x = images.detach().cpu().numpy().astype(np.float32)
    with _frozen(module):
        classifier = make_art_classifier(module, level, x.shape[1:])
        attacker = _make_attacker(classifier, method, options)
        scores = classifier.predict(x)
        correct = scores.argmax(axis=1) == labels
        scores[np.arange(len(x)), labels] = -np.inf
        goals = scores.argmax(axis=1) if method == "saliency" else labels
        # ART computes one gradient per goal in a batch: keep samples of the same goal together.
        chosen = np.flatnonzero(correct)[goals[correct].argsort(kind="stable")]
        if len(chosen):
            x[chosen] = attacker.generate(x[chosen], np.eye(classifier.nb_classes, dtype=np.float32)[goals[chosen]])
    return torch.from_numpy(x).to(images.device)


def find_minimal_fgsm(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    level: int = -1,
    epsilons: Sequence[float] = EPSILONS,
    batch_size: int = 100,
) -> tuple[Tensor, Tensor]:
    """Find the smallest FGSM step that makes one level's prediction of each image incorrect.

    The step follows the sign of the gradient at the unchanged image: x + eps * sign(grad), clipped to [0, 1]; only its
    length varies. ART's own search for the smallest step also changes samples that are incorrect without it, and does
    not return the step. Arguments and errors are those of :func:`attack`; ``epsilons`` are the lengths to try,
    ascending, in units of the images' [0, 1].

    Returns:
        The images ``[B, ...]``, float32, each with its smallest step, and the steps ``[B]``, float64: the first of
        ``epsilons`` at which the prediction is incorrect, even if a longer one corrects it; 0 where it is incorrect
        without a step; infinite, with an unchanged image, where no step succeeds.
    """
    labels = _labels_of(module, images, target, level)
    x = images.detach().cpu().numpy().astype(np.float32)
    step, adversarial = np.full(len(x), np.inf), x.copy()
    with _frozen(module):
        classifier = make_art_classifier(module, level, x.shape[1:])
        one_hot = np.eye(classifier.nb_classes, dtype=np.float32)[labels]
        direction = np.zeros_like(x)
        for batch in np.split(np.arange(len(x)), range(batch_size, len(x), batch_size)):
            direction[batch] = np.sign(classifier.loss_gradient(x[batch], one_hot[batch]))
        left = np.arange(len(x))
        for epsilon in (0.0, *epsilons):
            if not len(left):
                break
            tried = np.clip(x[left] + np.float32(epsilon) * direction[left], 0, 1)
            incorrect = classifier.predict(tried, batch_size).argmax(axis=1) != labels[left]
            adversarial[left[incorrect]], step[left[incorrect]] = tried[incorrect], epsilon
            left = left[~incorrect]
    return torch.from_numpy(adversarial).to(images.device), torch.from_numpy(step).to(images.device)


def find_epsilons(steps: Tensor, rates: Sequence[float]) -> list[float]:
    """Return the epsilon at which each error rate is reached (eps@ER in Table 3).

    The error rate at an epsilon is the share of all samples that some step up to epsilon makes incorrect, including
    those that are incorrect without an attack. It never falls as epsilon grows.

    Args:
        steps: ``[B]``, the smallest step of each sample, from :func:`find_minimal_fgsm`.
        rates: error rates in (0, 1].

    Returns:
        For each rate the smallest of ``steps`` with at least that error rate; infinite where there is none.

    Raises:
        DataError: ``steps`` is empty.

    Example:
        >>> find_epsilons(torch.tensor([0.5, 0.25, torch.inf, 0.0]), rates=[0.25, 0.3, 0.5, 1.0])
        [0.0, 0.25, 0.25, inf]
    """
    if not len(steps):
        raise DataError("an error rate needs at least one sample; got no steps")
    reached = torch.arange(1, len(steps) + 1, dtype=torch.float64) / len(steps)
    first = torch.searchsorted(reached, torch.tensor(rates, dtype=torch.float64))
    return steps.cpu().double().sort().values[first].tolist()


class LevelScores(nn.Module):
    """Compute the log-probabilities ``[B, K]`` of one level of a model, calibrated and combined, with a gradient.

    They are the logs of what ``module.predict`` returns and serve as logits: a softmax over them gives the
    probabilities divided by their sum, so rejected mass affects neither gradient nor prediction. Logs keep their slope
    where a probability is rounded to 1, so no model looks robust because it is very confident. A ``majority_vote``
    combination has no gradient: ConfigurationError.
    """

    def __init__(self, module: NestedLightningModule, level: int) -> None:
        super().__init__()
        self.module, self.level = module, level

    def forward(self, images: Tensor) -> Tensor:
        """Return the log-probabilities of the level."""
        scores = self.module.combined_log_probabilities(self.module(images))[self.level]
        if images.requires_grad and not scores.requires_grad:
            raise ConfigurationError(
                "attacks need a gradient, and model.combination has none: use a model whose combination is not a vote"
            )
        return scores


def make_art_classifier(module: NestedLightningModule, level: int, input_shape: tuple[int, ...]) -> Any:
    """Return ART's ``PyTorchClassifier`` around :class:`LevelScores`, for inputs in [0, 1]; needs ART."""
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise ConfigurationError(
            "attacks need the package adversarial-robustness-toolbox: pip install 'nested-lightning[benchmarks]'"
        ) from error
    return PyTorchClassifier(
        LevelScores(module, level),
        loss=nn.CrossEntropyLoss(),
        input_shape=input_shape,
        nb_classes=module.taxonomy.sizes[level],
        clip_values=(0.0, 1.0),
        device_type="cpu" if module.device.type == "cpu" else "gpu",
    )


def _make_attacker(classifier: Any, method: AttackMethod, options: dict[str, Any]) -> Any:
    from art.attacks.evasion import DeepFool, FastGradientMethod, SaliencyMapMethod

    try:
        if method == "fgsm":
            return FastGradientMethod(classifier, **options)
        if method == "saliency":
            return SaliencyMapMethod(classifier, **{**_SMALL_BATCHES, **options})
        own = {"nb_grads": classifier.nb_classes, "epsilon": 0.02, "max_iter": 20}
        return DeepFool(classifier, **{**own, **_SMALL_BATCHES, **options})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the options {options} do not fit the attack {method!r}: {error}") from error


def _labels_of(module: NestedLightningModule, images: Tensor, target: Tensor, level: int) -> Any:
    """Return the labels ``[B]`` of a level as an int64 array; raise unless images and targets can be attacked."""
    n_levels = module.taxonomy.n_levels
    if not -n_levels <= level < n_levels:
        raise ConfigurationError(f"level={level}: the taxonomy has {n_levels} levels; give 0 to {n_levels - 1}, or -1")
    if not images.is_floating_point() or not bool(((images >= 0) & (images <= 1)).all()):
        raise DataError("attacks need float images in [0, 1] that are not normalised")
    if target.shape != (len(images), n_levels):
        raise DataError(
            f"expected a target of shape ({len(images)}, {n_levels}) for {len(images)} images and {n_levels} levels; "
            f"got {tuple(target.shape)}"
        )
    labels = target[:, level].cpu().numpy()
    if (labels < 0).any():
        raise DataError(
            f"{int((labels < 0).sum())} samples have no label at level {module.taxonomy.levels[level]!r}, so no "
            "prediction of them is incorrect: leave them out"
        )
    return labels


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Put ``module`` into evaluation mode without gradients of its weights, and restore it afterwards."""
    training = [part for part in module.modules() if part.training]
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        for part in training:
            part.training = True
        for weight in trainable:
            weight.requires_grad = True

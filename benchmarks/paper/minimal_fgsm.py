"""The least FGSM step that misleads each image, and the step for a given error rate (Sec. 5, Table 3)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.paper.art_attacks import labels_to_attack
from benchmarks.paper.art_scores import art_classifier, frozen
from nested_lightning.errors import DataError
from nested_lightning.module import NestedLightningModule

EPSILONS = tuple(np.geomspace(1e-3, 1.0, 101).tolist())
"""The steps tried by default: 101 from 0.001 to 1, each 7 % longer than the one before."""


def minimal_fgsm(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    level: int = -1,
    epsilons: Sequence[float] = EPSILONS,
    batch_size: int = 100,
) -> tuple[Tensor, Tensor]:
    """Lengthen the FGSM step of each image until one level's answer is wrong.

    The direction is the sign of the gradient at the image as it is: x + eps * sign(grad), cut to [0, 1]. Only the
    length changes. What is attacked is as in :func:`~benchmarks.paper.art_attacks.attack`. ART's own search for
    the least step moves rows that are wrong already, and does not tell the step.

    Args:
        module: as for ``attack``.
        images: as for ``attack``.
        target: as for ``attack``.
        level: index of the level to mislead; -1: the finest.
        epsilons: lengths to try, rising, in units of the images' [0, 1].
        batch_size: rows run at once.

    Returns:
        The images ``[B, ...]``, float32, each with its least step, and the steps ``[B]``, float64: the first of
        ``epsilons`` at which the answer is wrong, though a longer one may make it right again; 0 where it is wrong
        from the start; infinite where no step misleads, and there the image stays as it is.

    Raises:
        ConfigurationError: ART is missing, or an unknown level.
        DataError: images outside [0, 1], or targets that do not fit.
    """
    labels = labels_to_attack(module, images, target, level)
    x = images.detach().cpu().numpy().astype(np.float32)
    step, adversarial = np.full(len(x), np.inf), x.copy()
    with frozen(module):
        classifier = art_classifier(module, level % module.taxonomy.n_levels, x.shape[1:])
        one_hot = np.eye(classifier.nb_classes, dtype=np.float32)[labels]
        direction = np.zeros_like(x)
        for rows in np.split(np.arange(len(x)), range(batch_size, len(x), batch_size)):
            direction[rows] = np.sign(classifier.loss_gradient(x[rows], one_hot[rows]))
        right = np.arange(len(x))
        for epsilon in (0.0, *epsilons):
            if not len(right):
                break
            tried = np.clip(x[right] + np.float32(epsilon) * direction[right], 0, 1)
            wrong = classifier.predict(tried, batch_size).argmax(axis=1) != labels[right]
            adversarial[right[wrong]], step[right[wrong]] = tried[wrong], epsilon
            right = right[~wrong]
    return torch.from_numpy(adversarial).to(images.device), torch.from_numpy(step).to(images.device)


def epsilon_at_error_rates(steps: Tensor, rates: Sequence[float] = (0.05, 0.1, 0.15, 0.3)) -> list[float]:
    """Return the epsilon at which each error rate is reached: eps@ER of Table 3.

    The error rate at an epsilon is the share of all rows, those included that are wrong without an attack, which some
    step no longer than epsilon misleads. So it never falls as epsilon grows, though a longer step may miss a row that a
    shorter one has misled.

    Args:
        steps: ``[B]``, the least step of each row, from :func:`minimal_fgsm`.
        rates: error rates in (0, 1].

    Returns:
        Per rate the least of ``steps`` at which the error rate is at least that; infinite where none is.

    Raises:
        DataError: no rows.

    Example:
        >>> epsilon_at_error_rates(torch.tensor([0.5, 0.25, torch.inf, 0.0]), rates=[0.25, 0.3, 0.5, 1.0])
        [0.0, 0.25, 0.25, inf]
    """
    if not len(steps):
        raise DataError("an error rate needs at least one row; got no steps")
    reached = torch.arange(1, len(steps) + 1, dtype=torch.float64) / len(steps)
    first = torch.searchsorted(reached, torch.tensor(rates, dtype=torch.float64))
    return steps.cpu().double().sort().values[first].tolist()

"""Adversarial attacks on the answer of one level (Sec. 5, "Robustness to adversarial attacks")."""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from benchmarks.paper.art_scores import art_classifier, frozen
from nested_lightning.errors import ConfigurationError, DataError, suggestion
from nested_lightning.module import NestedLightningModule

AttackMethod = Literal["fgsm", "deepfool", "saliency"]

# A batch takes as many steps as its hardest row.
_SMALL_BATCHES = {"batch_size": 16, "verbose": False}


def attack(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    method: AttackMethod,
    level: int = -1,
    **options: Any,
) -> Tensor:
    """Change images so that one level's answer becomes wrong; whichever wrong answer will do.

    The attacker knows all of the model. What is attacked is the answer that ``module.predict`` gives at that level,
    calibrated and combined, through its log-probabilities (:class:`~benchmarks.paper.art_scores.LevelScores`).
    So with Eq. 2 the coarser heads take part; with ``sum_up``, the end-to-end baseline, it is a sum over the finest
    classes. A row depends on no other row, and one that is answered wrongly without help stays as it is.

    ============  ==============================================  =================================================
    method        ART's class                                     defaults that are not ART's
    ============  ==============================================  =================================================
    ``fgsm``      ``FastGradientMethod``: one step of ``eps``     none; ``eps`` is 0.3
                  along the sign of the gradient
    ``deepfool``  ``DeepFool``: steps to the nearest boundary of  ``nb_grads``: all classes are candidates;
                  a linear approximation                          ``epsilon=0.02``: 2 % beyond the boundary, as in
                                                                  its paper, or rounding may undo it;
                                                                  ``max_iter=20``: more only creep up to the boundary
    ``saliency``  ``SaliencyMapMethod`` (JSMA): in every step     the goal is the most probable wrong class, where
                  two pixels become brighter by ``theta``         ART draws one at random
    ============  ==============================================  =================================================

    Args:
        module: a trained model on the CPU or a CUDA device; its weights, their gradients and its mode stay as they are.
        images: float ``[B, ...]`` in [0, 1].
        target: int64 ``[B, n_levels]``; every row known at ``level``.
        method: see above.
        level: index of the level to mislead; -1: the finest.
        **options: arguments of ART's class, such as ``eps=0.1`` or ``max_iter=20``.

    Returns:
        Float32 images like ``images``, in [0, 1]. They need not mislead the model: ``module.predict`` tells.

    Raises:
        ConfigurationError: ART is missing, or an unknown method, level or option.
        DataError: images outside [0, 1], or targets that do not fit.
    """
    _refuse_unknown(method)
    labels = labels_to_attack(module, images, target, level)
    x = images.detach().cpu().numpy().astype(np.float32)
    with frozen(module):
        classifier = art_classifier(module, level % module.taxonomy.n_levels, x.shape[1:])
        attacker = _attacker(classifier, method, options)
        scores = classifier.predict(x)
        right = scores.argmax(axis=1) == labels
        scores[np.arange(len(x)), labels] = -np.inf
        goals = scores.argmax(axis=1) if method == "saliency" else labels
        # ART goes backwards once per goal in a batch: rows of one goal stand side by side.
        rows = np.flatnonzero(right)[goals[right].argsort(kind="stable")]
        if len(rows):
            x[rows] = attacker.generate(x[rows], np.eye(classifier.nb_classes, dtype=np.float32)[goals[rows]])
    return torch.from_numpy(x).to(images.device)


def _refuse_unknown(method: str) -> None:
    known = get_args(AttackMethod)
    if method not in known:
        raise ConfigurationError(
            f"method={method!r}: there is no such attack.{suggestion(method, known)} There are {', '.join(known)}"
        )


def _attacker(classifier: Any, method: AttackMethod, options: dict[str, Any]) -> Any:
    from art.attacks.evasion import DeepFool, FastGradientMethod, SaliencyMapMethod

    try:
        match method:
            case "fgsm":
                return FastGradientMethod(classifier, **options)
            case "deepfool":
                own = {"nb_grads": classifier.nb_classes, "epsilon": 0.02, "max_iter": 20}
                return DeepFool(classifier, **{**own, **_SMALL_BATCHES, **options})
            case "saliency":
                return SaliencyMapMethod(classifier, **{**_SMALL_BATCHES, **options})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the options {options} do not fit the attack {method!r}: {error}") from error


def labels_to_attack(module: NestedLightningModule, images: Tensor, target: Tensor, level: int) -> Any:
    """Return the labels ``[B]`` of a level as an int64 array, once images and targets are fit for an attack.

    Raises:
        ConfigurationError: there is no such level.
        DataError: images outside [0, 1], or targets that do not fit.
    """
    n_levels = module.taxonomy.n_levels
    if not -n_levels <= level < n_levels:
        raise ConfigurationError(f"level={level}: the taxonomy has {n_levels} levels; give 0 to {n_levels - 1}, or -1")
    if not images.is_floating_point() or not bool(((images >= 0) & (images <= 1)).all()):
        raise DataError("an attack changes numbers between 0 and 1: give float images in [0, 1], not normalised ones")
    if target.shape != (len(images), n_levels):
        raise DataError(
            f"the target is {tuple(target.shape)} for {len(images)} images and {n_levels} levels: expected "
            f"({len(images)}, {n_levels})"
        )
    labels = target[:, level].cpu().numpy()
    if (labels < 0).any():
        raise DataError(
            f"{int((labels < 0).sum())} rows have no label at level {module.taxonomy.levels[level]!r}, so no answer to "
            "them is wrong: leave them out"
        )
    return labels

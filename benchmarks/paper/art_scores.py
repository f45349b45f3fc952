"""One level's answer as the Adversarial Robustness Toolbox (ART) sees a classifier."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule


class LevelScores(nn.Module):
    """The log-probabilities of one level, calibrated and combined, with a gradient.

    They are the logs of what ``module.predict`` answers. As scores they do for logits: a softmax over them gives
    the probabilities divided by their sum, so that rejected mass moves no gradient and no answer. In logs an answer
    keeps its slope where its probability is rounded to 1, so that no model looks robust for being very sure.

    Args:
        module: a trained model.
        level: index of the level.

    Shape:
        - input: images ``[B, ...]``
        - output: ``[B, K]`` float32, the classes of the level

    Raises:
        ConfigurationError: the model's combination has no gradient (``majority_vote``).
    """

    def __init__(self, module: NestedLightningModule, level: int) -> None:
        super().__init__()
        self.module = module
        self.level = level

    def forward(self, images: Tensor) -> Tensor:
        """Return the log-probabilities of the level."""
        own = self.module.own_log_probabilities(self.module(images))
        scores = self.module.combination(own, self.module.taxonomy)[self.level]
        if images.requires_grad and not scores.requires_grad:
            raise ConfigurationError(
                "attacks follow a gradient, and model.combination has none: use a model whose combination is not a vote"
            )
        return scores


def art_classifier(module: NestedLightningModule, level: int, input_shape: tuple[int, ...]) -> Any:
    """Return ART's ``PyTorchClassifier`` around :class:`LevelScores`, for inputs in [0, 1].

    Raises:
        ConfigurationError: ART is not installed.
    """
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise ConfigurationError(
            "attacks need the package adversarial-robustness-toolbox: pip install 'nested-lightning[attacks]'"
        ) from error
    return PyTorchClassifier(
        LevelScores(module, level),
        loss=nn.CrossEntropyLoss(),
        input_shape=input_shape,
        nb_classes=module.taxonomy.sizes[level],
        clip_values=(0.0, 1.0),
        device_type="cpu" if module.device.type == "cpu" else "gpu",
    )


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Put ``module`` into evaluation mode without gradients of its weights, and back as it was afterwards."""
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

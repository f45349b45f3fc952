"""Layers that the models share, and checks of their arguments and inputs.

The paper puts batch normalisation after every convolution (C.1). The epsilon is the authors'. Their momentum, 0.01 in
PyTorch's terms, only suits long epochs: a level known for 200 samples has 7 batches of 32 per epoch, and its running
statistics would still be the initial ones at the time of early stopping. 0.1 loses nothing on larger data.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm

from nested_lightning.errors import ConfigurationError

MOMENTUM = 0.1
EPS = 1e-3


class RobustBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of ``[B, C, ...]`` that accepts a batch with a single value per channel.

    A single value (the last batch of an epoch may hold one sample) has no variance, and PyTorch refuses it in training
    mode. Here such a batch is normalised with the running statistics and leaves them unchanged.

    Args:
        num_features: channels C.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=EPS, momentum=MOMENTUM)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised values, of the shape of ``input``."""
        if self.training and input.numel() == self.num_features:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""


@contextmanager
def evaluation_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Set ``modules`` to evaluation mode for a while; afterwards each is in the mode it was in."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def train_on_any_batch(network: nn.Module, x: Tensor, **kwargs: Any) -> Any:
    """Return ``network(x, **kwargs)``, also where its batch normalisation refuses a batch of one sample.

    As with :class:`RobustBatchNorm`, that batch is then normalised with the running statistics.
    """
    try:
        return network(x, **kwargs)
    except (ValueError, RuntimeError) as error:  # compiled, a RuntimeError
        if len(x) > 1 or "more than 1 value per channel" not in str(error):
            raise
    layers = (layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm))
    with evaluation_mode(layers):
        return network(x, **kwargs)


def global_average(features: Tensor) -> Tensor:
    """Return the mean ``[B, C]`` of ``features`` ``[B, C, ...]`` over all dimensions after the channels, if any."""
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)


def double_convolution(in_channels: int, channels: int, kernel_size: int = 3) -> nn.Sequential:
    """Return twice convolution, batch normalisation, ReLU (the U-Net's block, Fig. C.1).

    The resolution does not change: ``[B, in_channels, H, W]`` becomes ``[B, channels, H, W]``.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, padding="same", bias=False),
        RobustBatchNorm(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size, padding="same", bias=False),
        RobustBatchNorm(channels),
        nn.ReLU(inplace=True),
    )


def positive_integers(name: str, values: int | Sequence[int]) -> tuple[int, ...]:
    """Return one positive integer, or a sequence of them, as a tuple; raise ConfigurationError for anything else."""
    numbers = tuple(values) if isinstance(values, Sequence) else (values,)
    if not numbers or not all(isinstance(n, Integral) and n > 0 for n in numbers):
        raise ConfigurationError(f"`{name}` must be one positive integer or several, got {values!r}.")
    return tuple(int(n) for n in numbers)


def check_images(name: str, images: Tensor, channels: int) -> None:
    """Raise ConfigurationError unless the input of the backbone ``name`` is ``[B, channels, H, W]``."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ConfigurationError(
            f"{name} expects images [batch, {channels}, height, width], got an input of shape {list(images.shape)}. "
            "Set `in_channels` to the number of channels of the images."
        )


def check_token_ids(name: str, tokens: Tensor, vocabulary_size: int) -> None:
    """Raise ConfigurationError unless the input of the backbone ``name`` is ``int64[B, L]`` of known token ids."""
    if tokens.ndim != 2 or tokens.is_floating_point():
        raise ConfigurationError(
            f"{name} expects token ids, integers [batch, tokens], got {tokens.dtype} of shape {list(tokens.shape)}. "
            "Set `data.input_column` to a column of texts."
        )
    if tokens.numel() and (highest := int(tokens.max())) >= vocabulary_size:
        raise ConfigurationError(
            f"{name} was built for {vocabulary_size} tokens, but got the token id {highest}. Set `vocabulary_size` of "
            "the backbone to that of the data (`data.text.vocabulary_size`, or the size of its tokenizer)."
        )

"""The classifier of one level: pooling, normalised embedding, linear layer with a logit for rejection."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nested_lightning.models.layers import global_average

# Also representable in half precision, where the usual 1e-12 becomes 0 and an empty map 0/0.
_EPS = 1e-6


class BottleneckHead(nn.Module):
    """Turn a level's feature map into its embedding f_i and its logits (Fig. C.1, C.3).

    The map is averaged over its spatial dimensions and scaled to length 1 (L2) over the channels; a map of zeros stays
    zero. A linear layer gives one logit per class and, in the last column, one for "none of these". That logit is minus
    infinity, and its parameters get a gradient of exactly zero, until the buffer ``rejection_fitted`` is set to 1.
    So no parameter ever changes its shape, and until then a softmax over all columns is one over the real classes.

    Args:
        channels: channels of the feature map, the size of the embedding.
        n_classes: real classes of the level, without the rejection class.

    Attributes:
        linear: the classifier, ``channels`` to ``n_classes + 1``.
        rejection_fitted: scalar tensor, 0 or 1, stored in checkpoints. It is of whole numbers, as averages of models
            (``torch.optim.swa_utils.AveragedModel``) cannot subtract bool.

    Shape:
        - input: ``[B, channels]`` or ``[B, channels, ...]`` with any number of spatial dimensions
        - output: logits ``[B, n_classes + 1]``

    Example:
        >>> head = BottleneckHead(channels=8, n_classes=3)
        >>> logits = head(torch.rand(2, 8, 5, 5))
        >>> logits.shape, logits[:, -1]
        (torch.Size([2, 4]), tensor([-inf, -inf], grad_fn=<SelectBackward0>))
    """

    rejection_fitted: Tensor

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, n_classes + 1)
        # An embedding of length 1 has mean square 1/channels. Initial weights and Adam's step are meant for mean
        # square 1: without this factor most epochs are spent on growing logits to a useful size.
        self._scale = channels**0.5
        self.register_buffer("rejection_fitted", torch.tensor(0))

    def embed(self, features: Tensor) -> Tensor:
        """Return the embedding f_i ``[B, channels]``, of length 1, of ``features`` ``[B, channels, ...]``."""
        return normalize(global_average(features), dim=1, eps=_EPS)

    def classify(self, embedding: Tensor) -> Tensor:
        """Return the logits ``[B, n_classes + 1]`` of embeddings ``[B, channels]``."""
        logits: Tensor = self.linear(self._scale * embedding)
        # torch.where, not an `if`: no wait for the device, and the masked branch gets a gradient of exactly zero.
        rejection = torch.where(self.rejection_fitted.bool(), logits[:, -1:], -torch.inf)
        return torch.cat([logits[:, :-1], rejection], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``classify(embed(features))``."""
        return self.classify(self.embed(features))

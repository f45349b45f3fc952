"""Inputs as a person can look at them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.samplers import TensorRows


def shown(dataset: Any, row: int) -> np.ndarray | str | None:
    """Return the input of one row of a data set as a picture or a text.

    Args:
        dataset: whose rows are pairs of input and target; of a :class:`TensorRows` the input before its transforms.
        row: its number.

    Returns:
        ``uint8[H, W]`` or ``uint8[H, W, 3]``, a text, or None of inputs that are neither.

    Example:
        >>> rows = TensorRows(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), torch.tensor([[0]]))
        >>> shown(rows, 0).tolist()
        [[0, 255]]
    """
    if isinstance(dataset, TensorRows) and dataset.text is not None:
        return dataset.text(row)
    x = dataset.inputs[row] if isinstance(dataset, TensorRows) else dataset[row][0]
    if isinstance(x, str):
        return x
    return _picture(x) if isinstance(x, Tensor) and x.ndim == 3 and x.shape[0] in (1, 3) else None


def _picture(x: Tensor) -> np.ndarray:
    if x.dtype != torch.uint8:
        x = x.float()
        low, high = x.amin(), x.amax()
        if low < 0 or high > 1:  # normalised in some way
            x = (x - low) / (high - low).clamp(min=1e-12)
        x = (255 * x).round().byte()
    pixels: np.ndarray = x.cpu().permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels

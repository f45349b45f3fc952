"""Checks of arguments that the models share."""

from collections.abc import Sequence
from numbers import Integral

from torch import Tensor

from nested_lightning.errors import ConfigurationError


def positive_integers(name: str, values: int | Sequence[int]) -> tuple[int, ...]:
    """Return one positive integer, or a sequence of them, as a tuple.

    Raises:
        ConfigurationError: there is none, or one is not a positive integer.

    Example:
        >>> positive_integers("sizes", [2, 4, 10])
        (2, 4, 10)
        >>> positive_integers("channels", 16)
        (16,)
    """
    numbers = tuple(values) if isinstance(values, Sequence) else (values,)
    if not numbers or not all(isinstance(n, Integral) and n > 0 for n in numbers):
        raise ConfigurationError(f"`{name}` must be one positive integer or several, got {values!r}.")
    return tuple(int(n) for n in numbers)


def token_ids(name: str, tokens: Tensor, vocabulary_size: int) -> None:
    """Refuse an input of the backbone ``name`` that is no ``int64[B, L]`` of ids below ``vocabulary_size``.

    Raises:
        ConfigurationError: naming what came, and the option to set.
    """
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

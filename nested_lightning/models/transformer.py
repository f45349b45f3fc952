"""A pretrained sentence encoder, from a folder on disk, as the backbone of texts."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.layers import check_token_ids
from nested_lightning.models.text_cache import TextCache

_TEXTS_AT_ONCE = 32


class PretrainedEncoder(nn.Module):
    """A transformer that the library ``transformers`` can load; a text's vector is the mean over its tokens.

    Its tokenizer splits the texts: set ``data.text.tokenizer`` to the same folder, and ``data.text.length`` to at most
    the model's maximum. The folder is needed whenever the network is built, also to predict; the weights are then those
    of the checkpoint.

    Args:
        folder: with ``config.json`` and ``model.safetensors``; nothing is downloaded, and no code in it is run.
        frozen: whether its weights stay unchanged. Then each text is encoded once, and its vector kept in memory.

    Attributes:
        out_channels: dimension of the vectors.
        is_fitted: whether :meth:`fit_inputs` has nothing to do.

    Shape:
        - input: ``int64[B, L]`` token ids, -1 after the end of a text
        - output: ``[B, out_channels]``

    Raises:
        ConfigurationError: ``transformers`` is missing, the folder cannot be used, or a text is too long.
    """

    def __init__(self, folder: str, frozen: bool = True) -> None:
        super().__init__()
        self.model = _load(folder)
        self.model.requires_grad_(not frozen)
        self.frozen = frozen
        self.out_channels = int(self.model.config.hidden_size)
        self._cache = TextCache(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the texts' vectors."""
        check_token_ids(type(self).__name__, tokens, self.model.config.vocab_size)
        longest = self._longest()
        if longest is not None and tokens.shape[1] > longest:
            raise ConfigurationError(
                f"PretrainedEncoder reads {longest} tokens at most, got texts of {tokens.shape[1]}: set "
                f"data.text.length to {longest} or less"
            )
        return self._cache(tokens, self._encoded) if self.frozen else self._encoded(tokens)

    @property
    def is_fitted(self) -> bool:
        """Whether vectors of training texts are in memory, or the encoder is trained and keeps none."""
        return not self.frozen or len(self._cache) > 0

    def fit_inputs(self, batches: Iterable[Tensor]) -> None:
        """Encode the training texts in their fixed order, before training.

        The last bits of a vector depend on the texts encoded with it: encoded as they come, texts would have other
        vectors in a run that was resumed.
        """
        for tokens in batches:
            for some in tokens.to(self.model.device).split(_TEXTS_AT_ONCE):
                self(some)

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """Set the mode; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def _longest(self) -> int | None:
        """Return how many tokens of a text the model can read; None: any number."""
        positions: int | None = getattr(self.model.config, "max_position_embeddings", None)
        table = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)  # RoBERTa and similar models count from after the padding's
        return positions if positions is None or padding is None else positions - padding - 1

    def _encoded(self, tokens: Tensor) -> Tensor:
        present = tokens >= 0
        states = self.model(input_ids=tokens.clamp(min=0), attention_mask=present.long()).last_hidden_state
        weights = present[..., None].to(states.dtype)
        vectors: Tensor = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return vectors


def _load(folder: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigurationError(
            "PretrainedEncoder needs the package transformers: pip install 'nested-lightning[encoder]'"
        ) from error
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise ConfigurationError(
            f"PretrainedEncoder: there is no {path / 'config.json'}. Give the folder of a pretrained model, with "
            "config.json, model.safetensors and tokenizer.json"
        )
    try:
        model = transformers.AutoModel.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:  # the exceptions for a broken folder differ between models
        raise ConfigurationError(f"PretrainedEncoder: {path} cannot be loaded ({error})") from error
    if model.config.is_encoder_decoder:
        raise ConfigurationError(
            f"PretrainedEncoder: {path} has a {type(model).__name__}, which has a decoder, too: give an encoder, such "
            "as a BERT or a RoBERTa"
        )
    return model

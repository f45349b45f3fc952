"""Initialise word vectors from a file."""

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from nested_lightning.data import HierarchicalDataModule
from nested_lightning.data.word_vectors import read_word_vectors
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.module import as_nested


class WordVectors(Callback):
    """Initialise a backbone's word vectors from a file; words that it lacks keep their random vectors.

    The backbone has its vectors in an ``nn.Embedding`` named ``embedding``, like
    :class:`~nested_lightning.models.TextUNetEncoder`; the words are those of the data module's vocabulary. A
    resumed run keeps the vectors of its checkpoint.

    Args:
        source: a text file with a word and its numbers in each line (the format of GloVe), or a table with the columns
            ``word`` and ``vector``.

    Raises:
        ConfigurationError: the backbone has no word vectors, too few, or vectors of another dimension.
        DataError: the file cannot be read, or has none of the words.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        embedding = getattr(as_nested(pl_module).network.backbone, "embedding", None)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(embedding, nn.Embedding) or not isinstance(data, HierarchicalDataModule):
            raise ConfigurationError(
                "WordVectors needs a backbone with word vectors in `embedding`, such as TextUNetEncoder, and a "
                "HierarchicalDataModule of texts"
            )
        words = data.vocabulary.numbers
        if len(data.vocabulary) > embedding.num_embeddings:
            raise ConfigurationError(
                f"the backbone was built for {embedding.num_embeddings} words, but the data has "
                f"{len(data.vocabulary)}: set its vocabulary_size to that of the data (data.text.vocabulary_size, or "
                "the size of its tokenizer)"
            )
        vectors = read_word_vectors(self.source, words)
        if not vectors:
            raise DataError(f"{self.source} has none of the {len(words)} words of the data: is it of another language?")
        size = len(next(iter(vectors.values())))
        if size != embedding.embedding_dim:
            raise ConfigurationError(
                f"{self.source} has vectors of dimension {size}, the backbone of {embedding.embedding_dim}: set its "
                f"embedding_channels to {size}"
            )
        with torch.no_grad():
            for number, vector in vectors.items():
                embedding.weight[number] = vector.to(embedding.weight)
        rank_zero_info(f"{len(vectors):,} of {len(words):,} word vectors initialised from {self.source}")

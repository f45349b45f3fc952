"""Texts as weighted bags of n-grams in a latent semantic space: fast, strong where labels are few, no word order."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.checks import positive_integers, token_ids
from nested_lightning.models.ngrams import n_gram_keys, term_frequencies
from nested_lightning.models.text_cache import TextMemory

if TYPE_CHECKING:
    import scipy.sparse

_MIN_TEXTS = 2


class NGramBag(nn.Module):
    """Backbone of texts: TF-IDF weights of n-grams times a vector for each n-gram, summed up.

    The vectors are not trained with the labels: :meth:`fit_inputs` learns them from the training texts alone, by a
    truncated singular value decomposition of their TF-IDF matrix (latent semantic analysis; Deerwester et al. 1990).
    Rare n-grams get their place from the company they keep, where vectors trained with few labels would learn them by
    heart. ``fit`` of the command line does so by itself before training; the bottlenecks are what is trained.

    The time for a text is linear in its length, and is spent once: its vector is kept in main memory. N-grams are
    numbered exactly, so that none share a vector.

    Args:
        vocabulary_size: how many token ids there may be (``data.text.vocabulary_size``).
        channels: dimension of the space.
        n_grams: how many different n-grams have a vector: those that occur in the most texts, in at least 2.
        longest: tokens of the longest n-grams.
        dropout: probability of zeroing a value of the result in training.

    Attributes:
        out_channels: ``channels``.
        fitted_buffers: names of what :meth:`fit_inputs` learns and training leaves as it is.

    Shape:
        - input: ``int64[B, L]`` token ids, -1 behind the end of a text
        - output: ``[B, channels]``; texts without a known n-gram give zeros

    Raises:
        ConfigurationError: an argument is out of range, an input is no token ids, or :meth:`fit_inputs` was not called.

    Example:
        >>> texts = torch.tensor([[0, 1, 2], [0, 1, -1], [3, 2, 0], [3, 2, -1]])
        >>> bag = NGramBag(vocabulary_size=4, channels=2, n_grams=8)
        >>> bag.fit_inputs([texts])
        >>> bag(texts).shape
        torch.Size([4, 2])
    """

    fitted_buffers = ("keys", "idf", "vectors", "is_fitted")

    keys: Tensor
    idf: Tensor
    vectors: Tensor
    is_fitted: Tensor

    def __init__(
        self,
        vocabulary_size: int = 30000,
        channels: int = 1000,
        n_grams: int = 150_000,
        longest: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, value in (("vocabulary_size", vocabulary_size), ("channels", channels), ("n_grams", n_grams)):
            positive_integers(name, value)
        if longest < 1 or (vocabulary_size + 1) ** longest >= 2**63:
            raise ConfigurationError(
                f"`longest` must be at least 1, and small enough to number the n-grams of {vocabulary_size} tokens in "
                f"64 bits; got {longest}."
            )
        self.vocabulary_size, self.longest, self.out_channels = vocabulary_size, longest, channels
        self.dropout = nn.Dropout(dropout)
        # Half precision: three digits are more than an average over a text needs, and a checkpoint is half as large.
        self.register_buffer("keys", torch.full((n_grams,), torch.iinfo(torch.int64).max))
        self.register_buffer("idf", torch.zeros(n_grams))
        self.register_buffer("vectors", torch.zeros(n_grams, channels, dtype=torch.half))
        self.register_buffer("is_fitted", torch.tensor(False))
        self._memory = TextMemory(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the texts' vectors ``[B, channels]``, brought to a mean square of 1 over the training texts."""
        if not self.is_fitted:
            raise ConfigurationError(
                "NGramBag has no vectors yet: call its fit_inputs with the training texts, or train with a "
                "HierarchicalDataModule, which does so."
            )
        token_ids("NGramBag", tokens, self.vocabulary_size)
        return self.dropout(self._memory(tokens, self._summed))  # type: ignore[no-any-return]

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Tensor]) -> None:
        """Learn n-grams, their weights and their vectors; the same from the same texts in the same order.

        Args:
            batches: of the training texts, each ``int64[B, L]`` token ids, -1 behind the end of a text.

        Raises:
            ConfigurationError: there is no n-gram that occurs in two texts.
        """
        from sklearn.decomposition import TruncatedSVD

        self._memory.forget()
        texts = [batch.cpu() for batch in batches]
        self._count(texts)
        matrix = self._matrix(texts)
        n_components = min(self.out_channels, matrix.shape[1] - 1, matrix.shape[0])
        if n_components < 1:
            raise ConfigurationError(
                "NGramBag finds no two words that occur in two training texts each: give more texts"
            )
        svd = TruncatedSVD(n_components, n_iter=2, random_state=0)
        scale = 1 / (svd.fit_transform(matrix).std() or 1.0)
        vectors = torch.from_numpy(svd.components_.T * scale).half()
        self.vectors.zero_()[: len(vectors), :n_components] = vectors
        self.is_fitted.fill_(True)

    def _summed(self, tokens: Tensor) -> Tensor:
        rows, weights = self._weighted(tokens)
        used, rows = rows.unique(return_inverse=True)
        return embedding_bag(rows, self.vectors[used].float(), per_sample_weights=weights, mode="sum")

    def _weighted(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return places in ``keys`` ``int64[B, G]`` and TF-IDF weights ``float32[B, G]``, 0 where unknown."""
        keys, frequency = term_frequencies(n_gram_keys(tokens, self.vocabulary_size, self.longest))
        rows = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        is_known = (self.keys[rows] == keys) & (frequency > 0)
        weights = torch.where(is_known, (1 + frequency.log()) * self.idf[rows], 0.0)
        return torch.where(is_known, rows, 0), normalize(weights, dim=1)

    def _count(self, texts: Sequence[Tensor]) -> None:
        """Choose the n-grams, and set their keys (ascending) and inverse document frequencies."""
        found = []
        for tokens in texts:
            token_ids("NGramBag", tokens, self.vocabulary_size)
            keys, frequency = term_frequencies(n_gram_keys(tokens, self.vocabulary_size, self.longest))
            found.append(keys[frequency > 0])
        keys, n_texts = torch.cat(found).unique(return_counts=True)
        keys, n_texts = keys[n_texts >= _MIN_TEXTS], n_texts[n_texts >= _MIN_TEXTS]
        chosen = n_texts.argsort(descending=True, stable=True)[: len(self.keys)].sort().values
        idf = torch.log((1 + sum(map(len, texts))) / (1 + n_texts[chosen])) + 1
        self.keys.fill_(torch.iinfo(torch.int64).max)[: len(chosen)] = keys[chosen]
        self.idf.zero_()[: len(chosen)] = idf

    def _matrix(self, texts: Sequence[Tensor]) -> "scipy.sparse.csr_matrix":
        """Return the TF-IDF weights of all texts ``[N, n_grams that there are]``."""
        import scipy.sparse

        rows, columns, weights, start = [], [], [], 0
        for tokens in texts:
            column, weight = (part.cpu() for part in self._weighted(tokens.to(self.keys.device)))
            row, at = weight.nonzero(as_tuple=True)
            rows.append(row + start)
            columns.append(column[row, at])
            weights.append(weight[row, at])
            start += len(tokens)
        shape = (start, int((self.idf > 0).sum()))
        values, *places_of = (torch.cat(part).numpy() for part in (weights, rows, columns))
        return scipy.sparse.csr_matrix((values, tuple(places_of)), shape=shape)

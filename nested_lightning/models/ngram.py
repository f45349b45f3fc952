"""Texts as weighted bags of n-grams in a latent semantic space: fast, strong where labels are few, no word order.

Weights and vectors are those of scikit-learn's ``TfidfVectorizer`` and ``TruncatedSVD``. The counting is done on
tensors here, because a checkpoint holds tensors only: a fitted vectorizer could not be stored, nor read when
predicting.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.layers import check_token_ids, positive_integers
from nested_lightning.models.text_cache import TextCache

if TYPE_CHECKING:
    import scipy.sparse

_NO_KEY = torch.iinfo(torch.int64).max


class NGramBag(nn.Module):
    """Backbone of texts: the sum of vectors of n-grams, weighted by TF-IDF.

    The vectors are not trained with the labels: :meth:`fit_inputs` learns them from the training texts alone, by a
    truncated singular value decomposition of their TF-IDF matrix (latent semantic analysis; Deerwester et al. 1990). It
    places rare n-grams by the n-grams they occur with, where vectors trained on few labels would overfit. Training with
    a ``HierarchicalDataModule`` calls it first; then the bottlenecks are trained.

    The time for a text is linear in its length and spent once: its vector is kept in main memory. N-grams are numbered
    exactly, so no two share a vector.

    Args:
        vocabulary_size: number of token ids (``data.text.vocabulary_size``).
        channels: dimension of the space.
        n_grams: how many different n-grams have a vector: those that occur in the most texts, in at least 2.
        longest: tokens of the longest n-grams.
        dropout: probability of zeroing a value of the result in training.

    Attributes:
        out_channels: ``channels``.
        fitted_buffers: names of the buffers that :meth:`fit_inputs` learns and training does not change.

    Shape:
        - input: ``int64[B, L]`` token ids, -1 after the end of a text
        - output: ``[B, channels]``; texts without a known n-gram give zeros

    Raises:
        ConfigurationError: an argument is out of range, an input is not token ids, or :meth:`fit_inputs` was not
            called.

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
        # Half precision: three digits are enough for an average over a text, and halve the size of checkpoints.
        self.n_grams = n_grams
        self.register_buffer("keys", torch.full((1,), _NO_KEY))
        self.register_buffer("idf", torch.zeros(1))
        self.register_buffer("vectors", torch.zeros(1, channels, dtype=torch.half))
        self.register_buffer("is_fitted", torch.tensor(False))
        self._cache = TextCache(self)
        self.register_load_state_dict_pre_hook(_resize)  # type: ignore[no-untyped-call]

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the texts' vectors ``[B, channels]``, scaled to a mean square of 1 over the training texts."""
        if not self.is_fitted:
            raise ConfigurationError(
                "NGramBag has no vectors yet: call its fit_inputs with the training texts, or train with a "
                "HierarchicalDataModule, which does so."
            )
        check_token_ids("NGramBag", tokens, self.vocabulary_size)
        return self.dropout(self._cache(tokens, self._summed))  # type: ignore[no-any-return]

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Tensor]) -> None:
        """Learn n-grams, their weights and their vectors; deterministic given the texts and their order.

        Args:
            batches: of the training texts, each ``int64[B, L]`` token ids, -1 after the end of a text.

        Raises:
            ConfigurationError: no two n-grams occur in two texts each.
        """
        from sklearn.decomposition import TruncatedSVD

        self._cache.clear()
        texts = [batch.cpu() for batch in batches]
        self._count(texts)
        matrix = self._matrix(texts)
        n_components = min(self.out_channels, matrix.shape[1] - 1, matrix.shape[0])
        svd = TruncatedSVD(n_components, n_iter=2, random_state=0)
        scale = 1 / (svd.fit_transform(matrix).std() or 1.0)
        vectors = torch.from_numpy(svd.components_.T * scale).half()
        self.vectors = self.vectors.new_zeros(len(vectors), self.out_channels)
        self.vectors[:, :n_components] = vectors
        self.is_fitted.fill_(True)

    def _summed(self, tokens: Tensor) -> Tensor:
        indices, weights = self._weighted(tokens)
        used, indices = indices.unique(return_inverse=True)
        return embedding_bag(indices, self.vectors[used].float(), per_sample_weights=weights, mode="sum")

    def _weighted(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return indices into ``keys`` ``int64[B, G]`` and TF-IDF weights ``float32[B, G]``, 0 where unknown."""
        keys, frequency = term_frequencies(n_gram_keys(tokens, self.vocabulary_size, self.longest))
        indices = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        is_known = (self.keys[indices] == keys) & (frequency > 0)
        weights = torch.where(is_known, (1 + frequency.log()) * self.idf[indices], 0.0)
        # Summed as integers: a sum of floats would depend on the padding, and a text's vector on the texts around it.
        # Texts first seen after a run was resumed would then get other bits than in a run that was not interrupted.
        squares = (weights.square() * 2.0**32).long().sum(1, keepdim=True)
        return torch.where(is_known, indices, 0), weights / (squares.float() / 2.0**32).sqrt().clamp(min=1e-12)

    def _count(self, texts: Sequence[Tensor]) -> None:
        """Choose the n-grams, and set their keys (ascending) and inverse document frequencies."""
        found = []
        for tokens in texts:
            check_token_ids("NGramBag", tokens, self.vocabulary_size)
            keys, frequency = term_frequencies(n_gram_keys(tokens, self.vocabulary_size, self.longest))
            found.append(keys[frequency > 0])
        keys, n_texts = torch.cat(found).unique(return_counts=True)
        keys, n_texts = keys[n_texts >= 2], n_texts[n_texts >= 2]
        chosen = n_texts.argsort(descending=True, stable=True)[: self.n_grams].sort().values
        if len(chosen) < 2:
            raise ConfigurationError(
                "NGramBag finds no two words that occur in two training texts each: give more texts"
            )
        self.keys = keys[chosen].to(self.keys.device)
        self.idf = (torch.log((1 + sum(map(len, texts))) / (1 + n_texts[chosen])) + 1).to(self.idf.device)

    def _matrix(self, texts: Sequence[Tensor]) -> "scipy.sparse.csr_matrix":
        """Return the TF-IDF weights of all texts ``[N, number of chosen n-grams]``."""
        import scipy.sparse

        rows, columns, values, start = [], [], [], 0
        for tokens in texts:
            column, weight = (part.cpu() for part in self._weighted(tokens.to(self.keys.device)))
            row, at = weight.nonzero(as_tuple=True)
            rows.append(row + start)
            columns.append(column[row, at])
            values.append(weight[row, at])
            start += len(tokens)
        places = tuple(torch.cat(part).numpy() for part in (rows, columns))
        shape = (start, int((self.idf > 0).sum()))
        return scipy.sparse.csr_matrix((torch.cat(values).numpy(), places), shape=shape)


def _resize(bag: NGramBag, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Make room for the n-grams of a checkpoint; ``load_state_dict`` refuses vectors of another dimension."""
    if (keys := state.get(f"{prefix}keys")) is not None and keys.shape != bag.keys.shape:
        bag.keys, bag.idf = bag.keys.new_full(keys.shape, _NO_KEY), bag.idf.new_zeros(keys.shape)
        bag.vectors = bag.vectors.new_zeros(len(keys), bag.out_channels)


def n_gram_keys(tokens: Tensor, n_tokens: int, longest: int) -> Tensor:
    """Number the n-grams of 1 to ``longest`` tokens uniquely: the tokens are digits to base ``n_tokens + 1``.

    ``tokens`` are ``int64[B, L]``, -1 after the end of a text. Returns ``int64[B, G]``, -1 where an n-gram would reach
    beyond the end of its text.

    Example:
        >>> n_gram_keys(torch.tensor([[3, 1, -1]]), n_tokens=9, longest=2)
        tensor([[ 4,  2, -1, 42, -1]])
    """
    digits = tokens + 1
    keys, result = digits, []
    for n in range(1, longest + 1):
        if n > 1:
            keys = torch.where(digits[:, n - 1 :] > 0, keys[:, :-1] * (n_tokens + 1) + digits[:, n - 1 :], 0)
        result.append(torch.where(keys > 0, keys, -1))
    return torch.cat(result, dim=1)


def term_frequencies(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys ``int64[B, G]`` of each text in ascending order, and how often each occurs in it.

    The frequency ``float32[B, G]`` stands at the first of equal keys; it is 0 at the others and at negative ones.

    Example:
        >>> term_frequencies(torch.tensor([[7, -1, 5, 7]]))
        (tensor([[-1,  5,  7,  7]]), tensor([[0., 1., 2., 0.]]))
    """
    keys = keys.sort(dim=1).values
    first = torch.ones_like(keys, dtype=torch.bool)
    first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    group = first.cumsum(1) - 1
    counts = torch.zeros(keys.shape, device=keys.device).scatter_add_(1, group, torch.ones_like(keys).float())
    return keys, torch.where(first & (keys >= 0), counts.gather(1, group), 0.0)

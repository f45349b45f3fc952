"""N-grams and their weights against brute force and scikit-learn; the bag's own rules."""

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import lightning as L
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.data.vocabulary import padded
from nested_lightning.errors import ConfigurationError
from nested_lightning.models import NGramBag
from nested_lightning.models.ngram import n_gram_keys, term_frequencies

IDS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=2, max_size=12)
RANDOM = np.random.default_rng(0)
TEXTS = [RANDOM.zipf(1.5, RANDOM.integers(1, 30)).clip(max=40).astype(int).tolist() for _ in range(60)]


def tokens(texts: list[list[int]], longer: int = 0) -> Tensor:
    return padded(texts, max(map(len, texts)) + longer).long()


def bag(texts: list[list[int]] = TEXTS, **options: Any) -> NGramBag:
    result = NGramBag(**{"vocabulary_size": 41, "channels": 8, "n_grams": 2000, **options}).eval()
    result.fit_inputs([tokens(texts[:7]), tokens(texts[7:])] if len(texts) > 7 else [tokens(texts)])
    return result


@given(IDS, st.integers(1, 3), st.integers(0, 3))
def test_counts_by_brute_force(texts: list[list[int]], longest: int, longer: int) -> None:
    keys, frequencies = term_frequencies(n_gram_keys(tokens(texts, longer), 7, longest))
    for text, row, counts in zip(texts, keys, frequencies, strict=True):
        grams = [tuple(text[i : i + n]) for n in range(1, longest + 1) for i in range(len(text) - n + 1)]
        expected = Counter(sum((token + 1) * 8**i for i, token in enumerate(reversed(gram))) for gram in grams)
        assert row.tolist() == sorted(row.tolist())
        assert {int(k): int(n) for k, n in zip(row, counts, strict=True) if n} == expected


def reference(texts: list[list[int]]) -> tuple[np.ndarray, list[int]]:
    """Return scikit-learn's TF-IDF matrix, its columns in the order of their numbers, and these."""
    vectorizer = TfidfVectorizer(
        analyzer="word", tokenizer=str.split, token_pattern=None, lowercase=False, sublinear_tf=True,
        ngram_range=(1, 2), min_df=2, norm="l2", smooth_idf=True,
    )  # fmt: skip
    matrix = vectorizer.fit_transform(" ".join(map(str, text)) for text in texts).toarray()
    numbers = [[int(token) + 1 for token in gram.split()] for gram in vectorizer.get_feature_names_out()]
    keys = [sum(digit * 42**i for i, digit in enumerate(reversed(number))) for number in numbers]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return matrix[:, order], [keys[i] for i in order]


@pytest.mark.filterwarnings("ignore:invalid value")  # scikit-learn's, about the variance of equal texts
@settings(deadline=None, max_examples=25)
@given(IDS.filter(lambda texts: len(set(texts[0]) & set(texts[1])) > 1))
def test_weights_are_those_of_scikit_learn(texts: list[list[int]]) -> None:
    for some in (texts, TEXTS):
        fitted = bag(some)
        matrix, keys = reference(some)
        assert fitted.keys.tolist() == keys
        np.testing.assert_allclose(fitted._matrix([tokens(some)]).toarray(), matrix, atol=1e-6)


def test_the_result_is_the_matrix_times_the_vectors_of_an_svd() -> None:
    fitted, (matrix, _) = bag(), reference(TEXTS)
    vectors = fitted.vectors[: matrix.shape[1]].float()
    assert fitted.vectors.dtype == torch.half
    np.testing.assert_allclose(fitted(tokens(TEXTS)), torch.tensor(matrix).float() @ vectors, atol=1e-4)
    directions = np.linalg.svd(matrix)[2][:8]
    scale = vectors.norm(dim=0).numpy()
    cosines = np.abs((vectors.numpy() / scale * directions.T).sum(0))
    assert (cosines[:4] > 0.99).all()  # the weaker ones are found by chance, in two iterations
    assert float(fitted(tokens(TEXTS)).std()) == pytest.approx(1, abs=0.01)


def test_a_text_depends_on_itself_alone() -> None:
    fitted = bag()
    together = fitted(tokens(TEXTS, longer=5))
    fitted._cache.clear()
    alone = torch.cat([fitted(tokens([text])) for text in TEXTS])
    # Bit by bit: else a resumed run, which first sees a text among others, would have other vectors.
    assert torch.equal(together, alone)


def test_fitted_twice_and_after_a_checkpoint_it_is_the_same() -> None:
    first, second, loaded = bag(), bag(), NGramBag(41, 8, 2000).eval()
    loaded.load_state_dict(first.state_dict())
    for other in (second, loaded):
        assert torch.equal(first(tokens(TEXTS)), other(tokens(TEXTS)))
    loaded.load_state_dict(bag(TEXTS[:9]).state_dict())
    assert torch.equal(loaded(tokens(TEXTS)), bag(TEXTS[:9])(tokens(TEXTS)))
    second.fit_inputs([tokens(TEXTS[:9])])
    assert torch.equal(second(tokens(TEXTS)), bag(TEXTS[:9])(tokens(TEXTS)))


def test_a_checkpoint_holds_the_n_grams_that_are_used(tmp_path: Path) -> None:
    few, many = bag(TEXTS[:9]), bag()
    assert len(few.vectors) == len(few.keys) == len(few.idf) < len(many.keys) < 2000
    torch.save(many.state_dict(), tmp_path / "many")
    assert (tmp_path / "many").stat().st_size < 1.2 * len(many.keys) * (8 + 4 + 2 * 8) + 5000
    with pytest.raises(RuntimeError, match="size mismatch for vectors"):
        NGramBag(41, 9, 2000).load_state_dict(many.state_dict())


def test_those_of_the_most_texts_are_kept() -> None:
    texts = [[1, 2], [1, 2], [1, 3], [1, 3], [3, 1]]
    fitted = bag(texts, n_grams=2, channels=1)
    assert fitted.keys.tolist() == [2, 4]
    assert (fitted(tokens([[2, 7]])) == 0).all()
    assert (fitted(tokens([[3, 7]])) != 0).all()


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no vectors yet: call its fit_inputs"):
        NGramBag(5, 2, 4)(torch.tensor([[1]]))
    with pytest.raises(ConfigurationError, match=r"built for 41 tokens.*token id 41.*vocabulary_size"):
        bag()(torch.tensor([[3, 41]]))
    with pytest.raises(ConfigurationError, match=r"expects token ids.*float32.*data\.input_column"):
        bag()(torch.rand(2, 3))
    with pytest.raises(ConfigurationError, match="no two words that occur in two training texts"):
        NGramBag(5, 2, 4).fit_inputs([torch.tensor([[1, 2], [3, -1]])])
    for options in ({"longest": 0}, {"longest": 12}, {"channels": 0}, {"n_grams": 0}, {"vocabulary_size": -1}):
        with pytest.raises(ConfigurationError, match="must be"):
            NGramBag(**{"vocabulary_size": 41, **options})


class Counting(NGramBag):
    fits = 0

    def fit_inputs(self, batches: Any) -> None:
        self.fits += 1
        super().fit_inputs(batches)


def test_a_trainer_fits_it_once_before_training(tmp_path: Path) -> None:
    texts = [f"{kind} {i % 3} thing" for i in range(12) for kind in ("owl", "cod")]
    rows = datasets.Dataset.from_dict({"text": texts, "label": ["owl", "cod"] * 12})

    def fit(epochs: int, **options: Any) -> Counting:
        data = HierarchicalDataModule(
            rows, {"levels": ["kind", "name"], "leaves": [["bird", "owl"], ["fish", "cod"]]},
            input_column="text", label_columns="label", seed=0,
        )  # fmt: skip
        backbone = Counting(100, 4, 50)
        module = NestedLightningModule(backbone, data.taxonomy, bottleneck_channels=4)
        quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", max_epochs=epochs, **quiet)
        trainer.fit(module, data, **options)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        texts = torch.cat([x for x, _ in data.labelled_dataloader()])
        expected = NGramBag(100, 4, 50)
        expected.fit_inputs([texts])
        assert torch.equal(backbone.vectors, expected.vectors)
        return backbone

    assert fit(1).fits == 1
    assert fit(2, ckpt_path=str(tmp_path / "last.ckpt")).fits == 0

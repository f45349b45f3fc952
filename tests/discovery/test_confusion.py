"""Reading rows with one label column, and the classifier trained on them."""

from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from nested_lightning.discovery import confusion, labelled_rows
from nested_lightning.discovery.confusion import bag_of_words, features
from nested_lightning.errors import ConfigurationError, DataError


def table(labels: list[str | None]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"x": [[float(i), 1.0] for i in range(len(labels))], "kind": labels})


def test_rows_without_a_label_are_left_out() -> None:
    inputs, labels = labelled_rows(table(["a", None, "b", "", "a"]), "kind", "x")
    assert labels == ["a", "b", "a"]
    assert inputs[:, 0].tolist() == [0, 2, 4]


def test_the_draw_is_even_and_repeatable() -> None:
    rows = table(["a"] * 50 + ["b"] * 3 + ["c"] * 30)
    inputs, labels = labelled_rows(rows, "kind", "x", rows=23)
    assert Counter(labels) == {"a": 10, "b": 3, "c": 10}
    assert (labelled_rows(rows, "kind", "x", rows=23)[0] == inputs).all()
    assert not (labelled_rows(rows, "kind", "x", rows=23, seed=1)[0] == inputs).all()


def test_the_split_train_is_read() -> None:
    both = {"train": table(["a", "b"]), "test": table(["c", "d"])}
    assert labelled_rows(both, "kind", "x")[1] == ["a", "b"]
    with pytest.raises(DataError, match="'test', 'validation'"):
        labelled_rows({"test": table(["a", "b"]), "validation": table(["a", "b"])}, "kind", "x")


def test_unusable_rows_raise_an_error() -> None:
    with pytest.raises(DataError, match=r"no column 'kin' .*Did you mean 'kind'"):
        labelled_rows(table(["a", "b"]), "kin", "x")
    with pytest.raises(DataError, match="1 different labels"):
        labelled_rows(table(["a", None]), "kind", "x")
    with pytest.raises(ConfigurationError, match="rows=1"):
        labelled_rows(table(["a", "b"]), "kind", "x", rows=1)
    with pytest.raises(ConfigurationError, match="image_size"):
        labelled_rows("digits", image_size=0)


def test_every_row_is_predicted_once_and_the_same_again() -> None:
    inputs, labels = labelled_rows("digits", image_size=8, rows=400)
    names, matrix = confusion(inputs, labels)
    assert names == [str(digit) for digit in range(10)]
    assert matrix.sum(1).tolist() == [40] * 10
    assert np.trace(matrix) > 340
    assert (confusion(inputs, labels)[1] == matrix).all()


def test_a_class_of_one_row_still_shows_what_it_resembles() -> None:
    near = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    inputs = torch.cat([near, near + 20, torch.tensor([[19.0, 19.0]])])
    names, matrix = confusion(inputs, ["a"] * 30 + ["b"] * 30 + ["rare"])
    assert matrix[names.index("rare")].tolist() == [0, 1, 0]


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="3 rows"):
        confusion(torch.rand(4, 2), ["a", "a", "b", "b"])
    with pytest.raises(DataError, match="at least 2 labels"):
        confusion(torch.rand(4, 2), ["a"] * 4)


def test_words_have_the_weights_of_scikit_learn() -> None:
    tokens = torch.tensor([[0, 1, 1, -1], [2, 0, -1, -1], [-1] * 4], dtype=torch.int32)
    texts = ["w1 w2 w2", "w3 w1", ""]
    reference = TfidfVectorizer(sublinear_tf=True, vocabulary=["w1", "w2", "w3"]).fit_transform(texts).toarray()
    bag = bag_of_words(tokens).toarray()
    assert bag.shape == (3, 3)
    np.testing.assert_allclose(bag, reference, atol=1e-6)
    assert features(tokens).shape == (3, 3)


def test_texts_are_distinguished_by_their_words() -> None:
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, 8)) for words in (["ball", "goal", "is"], ["leaf", "root", "is"]) * 20]
    rows = datasets.Dataset.from_dict({"text": texts, "label": ["sport", "plant"] * 20})
    names, matrix = confusion(*labelled_rows(rows, input_column="text"))
    assert names == ["plant", "sport"]
    assert np.trace(matrix) == 40


def test_numbers_of_any_scale_and_constant_ones() -> None:
    values = features(torch.tensor([[1e6, 5.0], [3e6, 5.0]]))
    np.testing.assert_allclose(values, [[-1, 0], [1, 0]], atol=1e-5)
    assert features(torch.full((2, 1, 2, 2), 255, dtype=torch.uint8)).tolist() == [[1] * 4] * 2


def test_real_images_of_another_size(data_dir: Path) -> None:
    if not (data_dir / "fashion_mnist").is_dir():
        pytest.skip(f"no Fashion-MNIST in {data_dir}")
    inputs, labels = labelled_rows(data_dir / "fashion_mnist", image_size=10, rows=50)
    assert inputs.shape == (50, 1, 10, 10)
    assert set(Counter(labels).values()) == {5}

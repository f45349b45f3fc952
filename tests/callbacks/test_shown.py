"""Inputs to look at are those of the source, whatever the model gets."""

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from nested_lightning import HierarchicalDataModule
from nested_lightning.callbacks.figures import viewable

TEXTS = [f"Text NUMBER {i}, as it was written!" for i in range(20)]


def test_a_text_is_the_one_that_was_written():
    columns = {"kind": ["a", "b"] * 10, "sort": ["a1", "b1", "a2", "b2"] * 5}
    source = datasets.Dataset.from_dict({"text": TEXTS, **columns})
    data = HierarchicalDataModule(source, input_column="text", label_columns=["kind", "sort"], validation=5, seed=0)
    data.setup("validate")
    rows = data.val_dataloader().dataset
    seen = [viewable(rows, i) for i in range(5)]
    assert len(set(seen)) == 5 and set(seen) <= set(TEXTS)
    validation = data.partition.validation.tolist()
    assert seen == [TEXTS[i] for i in validation]


def test_a_picture_is_as_before_transforms():
    data = HierarchicalDataModule("digits", _digits(), validation=5, seed=0, transform=lambda x: 2 * x - 1)
    data.setup("validate")
    rows = data.val_dataloader().dataset
    picture = viewable(rows, 2)
    assert picture.shape == (8, 8) and picture.dtype == np.uint8
    assert np.allclose(2 * (picture / 255) - 1, rows[2][0][0], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_ones_own_loader(channels):
    x = torch.rand(2, channels, 4, 5)
    assert np.allclose(np.atleast_3d(viewable(TensorDataset(x), 1)), 255 * x[1].permute(1, 2, 0), atol=0.51)
    normalised = viewable(TensorDataset(10 * x - 5), 0)
    assert normalised.min() == 0 and normalised.max() == 255


def test_numbers_cannot_be_viewable():
    assert viewable(TensorDataset(torch.rand(2, 7)), 0) is None
    assert viewable([("a text", 0)], 0) == "a text"
    assert viewable([(3, 0)], 0) is None


def _digits():
    return {"levels": ["all", "digit"], "leaves": [[("even", "odd")[int(d) % 2], d] for d in "0123456789"]}

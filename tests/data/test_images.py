"""Images of any mode and size are decoded to the correct pixels; errors name what cannot be decoded."""

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from helpers.errors import raises_naming
from PIL import Image

from nested_lightning.data.images import ImageColumn
from nested_lightning.data.sources import open_source
from nested_lightning.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3), dtype=np.uint8)
IMAGE = {"image": datasets.Image()}


def column(images: list[Any], **kwargs: Any) -> ImageColumn:
    table = datasets.Dataset.from_dict({"image": images}, features=datasets.Features(IMAGE))
    return ImageColumn(open_source(table)["train"], "image", **kwargs)


def rgb(i: int) -> Image.Image:
    return Image.fromarray(PIXELS[i])


def test_pixels_of_chosen_rows_over_several_sources() -> None:
    def part(numbers: range) -> datasets.Dataset:
        images = {"image": [rgb(i) for i in numbers]}
        return datasets.Dataset.from_dict(images, features=datasets.Features(IMAGE))

    split = open_source([part(range(4)), part(range(4, 9))])["train"]
    images = ImageColumn(split, "image").read(torch.tensor([1, 3, 4, 8]))
    assert images.dtype == torch.uint8
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), PIXELS[[1, 3, 4, 8]])
    assert ImageColumn(split, "image").read(torch.tensor([], dtype=torch.long)).shape == (0, 3, 5, 4)


def test_many_rows_keep_their_order() -> None:
    images = [Image.new("L", (2, 2), i % 256) for i in range(1000)]
    pixels = column(images).read(torch.arange(1000))
    assert pixels[:, 0, 0, 0].tolist() == [i % 256 for i in range(1000)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK"])
def test_modes_follow_the_first_image(mode: str) -> None:
    other = rgb(1).convert(mode)
    grey = column([rgb(0).convert("L"), other])
    assert grey.shape == (1, 5, 4)
    assert np.array_equal(grey.read(torch.tensor([1]))[0, 0].numpy(), np.asarray(other.convert("L")))
    colour = column([rgb(0), other])
    assert colour.shape == (3, 5, 4)
    assert np.array_equal(colour.read(torch.tensor([1]))[0].permute(1, 2, 0).numpy(), np.asarray(other.convert("RGB")))


def test_sixteen_bits_keep_their_range() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 100], [65535, 257]], dtype=np.uint16))
    assert column([deep]).read(torch.tensor([0])).tolist() == [[[[0, 100], [255, 1]]]]


def test_orientation_is_applied() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    rgb(0).save(buffer, "PNG", exif=exif)
    turned = column([{"bytes": buffer.getvalue(), "path": None}])
    assert turned.shape == (3, 4, 5)
    assert np.array_equal(turned.read(torch.tensor([0]))[0].permute(1, 2, 0).numpy(), np.rot90(PIXELS[0], -1))


def test_resize() -> None:
    images = [rgb(0), Image.new("RGB", (30, 20), (10, 20, 30))]
    resized = column(images, size=(7, 6)).read(torch.arange(2))
    assert resized.shape == (2, 3, 7, 6)
    assert resized[1].flatten(1).unique(dim=1).flatten().tolist() == [10, 20, 30]
    assert column(images, size=(7, 6), given_shape=(1, 5, 4)).shape == (1, 7, 6)


def fails(images: list[Any], *parts: str, **kwargs: Any) -> None:
    with raises_naming(DataError, *parts):
        column(images, **kwargs).read(torch.arange(len(images)))


def test_failures(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    rgb(1).save(buffer, "PNG")
    cut = {"bytes": buffer.getvalue()[:-40], "path": None}
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    fails([rgb(0), rgb(1), Image.new("RGB", (8, 9))], "row 2 of split 'train'", "9x8", "5x4", "data.image_size")
    fails([rgb(0)], "row 0", "5x4", "28x28", given_shape=(3, 28, 28))
    fails([rgb(0), cut], "row 1 of split 'train'", "'image'", "cannot be decoded", "Replace")
    fails([rgb(0), {"bytes": None, "path": str(path)}], "row 1", str(path), "cannot be decoded")
    fails([rgb(0), None], "row 1", "has no image")
    fails([rgb(0), Image.fromarray(np.ones((5, 4), dtype=np.float32))], "row 1", "'F'", "range")

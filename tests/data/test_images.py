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


@pytest.fixture(autouse=True)
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr("nested_lightning.data.images.rank_zero_warn", texts.append)
    return texts


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("first", [True, False])
def test_all_are_in_colour_if_any_is(mode: str, first: bool, warned: list[str]) -> None:
    other = rgb(1).convert(mode)
    images = column([other, rgb(0).convert("L")] if first else [rgb(0).convert("L"), other])
    wanted = "L" if mode in ("1", "L", "LA") else "RGB"
    assert images.shape == (1 if wanted == "L" else 3, 5, 4)
    pixels = images.read(torch.tensor([0 if first else 1]))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(pixels, np.asarray(other.convert(wanted)).reshape(5, 4, -1))
    assert not warned


def test_colours_that_a_trained_model_cannot_use_are_counted(warned: list[str]) -> None:
    grey = column([rgb(0), rgb(1).convert("L"), rgb(2)], given_shape=(1, 5, 4)).read(torch.arange(3))
    assert np.array_equal(grey[0, 0].numpy(), np.asarray(rgb(0).convert("L")))
    assert len(warned) == 1 and "2 of 3 images have colour, but become grey" in warned[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    if mode in ("P", "RGB"):
        drawn = Image.new(mode, (2, 1), 0)
        drawn.putpixel((0, 0), 1 if mode == "P" else (9, 9, 9))
        drawn.info["transparency"] = 0 if mode == "P" else (0, 0, 0)
        if mode == "P":
            drawn.putpalette([0, 0, 0, 9, 9, 9])
        expected = [9, 255]
    else:
        drawn = Image.new(mode, (2, 1), (0,) * len(mode))
        drawn.putpixel((0, 0), (100,) * (len(mode) - 1) + (51,))  # a fifth is visible
        expected = [224, 255]
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", transparency=drawn.info.get("transparency"))
    pixels = column([{"bytes": buffer.getvalue(), "path": None}]).read(torch.tensor([0]))
    assert pixels.shape[1] == (1 if mode == "LA" else 3)
    assert pixels[0, :, 0].tolist() == [expected] * pixels.shape[1]


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_the_mode_of_the_column_is_applied(mode: str, channels: int) -> None:
    features = datasets.Features({"image": datasets.Image(mode=mode)})
    images = [rgb(0).convert("L"), rgb(1), Image.new("RGBA", (4, 5))]
    split = open_source(datasets.Dataset.from_dict({"image": images}, features=features))["train"]
    pixels = ImageColumn(split, "image").read(torch.arange(3))
    assert pixels.shape == (3, channels, 5, 4)
    assert np.array_equal(pixels[1].permute(1, 2, 0).numpy(), np.asarray(rgb(1).convert(mode)).reshape(5, 4, channels))
    assert (pixels[2] == 255).all()


def test_twelve_bits_in_sixteen_are_warned_of(warned: list[str]) -> None:
    deep = [Image.fromarray(np.array([[0, value]], dtype=np.uint16)) for value in (4095, 1000)]
    column(deep).read(torch.arange(2))
    assert len(warned) == 1 and "2 of 2 images have 16 bits" in warned[0]
    assert "no value above 4095" in warned[0] and "Multiply them by 16" in warned[0]
    column([*deep, Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))]).read(torch.arange(3))
    assert len(warned) == 1


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

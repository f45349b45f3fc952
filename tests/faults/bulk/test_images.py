"""Images of every format are read pixel by pixel as they were made, or raise a DataError that names the row."""

import io
import struct
import zlib
from typing import Any

import datasets
import numpy as np
import torch
from faults.bulk.outcomes import attempt, bulk, is_rejected
from faults.bulk.trees import mostly, typed_rows
from hypothesis import strategies as st
from PIL import Image, features

from nested_lightning.data.images import ImageColumn
from nested_lightning.data.sources import open_source
from nested_lightning.errors import DataError

LOSSLESS = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "TIFF": ("1", "L", "LA", "RGB", "RGBA", "I;16")}
OTHER = {
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P", "RGB"),
    "JPEG": ("L", "RGB", "CMYK"),
    "PPM": ("L", "RGB"),
    "TIFF": ("CMYK", "F", "I", "LAB", "YCbCr"),
    "TGA": ("L", "RGBA"),
    "ICO": ("RGBA",),
}
if features.check("webp"):
    OTHER["WEBP"] = ("RGB", "RGBA")
ALL_KINDS = [(form, mode) for kinds in (LOSSLESS, OTHER) for form, modes in kinds.items() for mode in modes]


def made(mode: str, pixels: np.ndarray) -> Image.Image:
    """Return an image of a mode with the channels of ``pixels`` [H, W, 4]."""
    if mode == "1":
        return Image.fromarray(pixels[..., 0] >= 128)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1])
    if mode in ("I", "F"):
        return Image.fromarray(pixels[..., 0].astype(np.int32 if mode == "I" else np.float32))
    if mode == "P":
        image = Image.fromarray(pixels[..., 0], mode="P")
        image.putpalette([255 - i // 3 for i in range(768)])
        return image
    channels = {"L": 1, "LA": 2, "RGB": 3, "LAB": 3, "YCbCr": 3}.get(mode, 4)
    return Image.fromarray(pixels[..., 0] if channels == 1 else np.ascontiguousarray(pixels[..., :channels]), mode=mode)


def seen(mode: str, pixels: np.ndarray, channels: int) -> np.ndarray:
    """Return the ``uint8[H, W, channels]`` that reading the image must give."""
    values = pixels[..., :1].astype(int)
    if mode == "1":
        values = (values >= 128) * 255
    elif mode == "P":
        values = 255 - values
    elif mode in ("RGB", "RGBA"):
        values = pixels[..., :3].astype(int)
    if mode in ("LA", "RGBA"):  # over white
        alpha = pixels[..., 1:2] if mode == "LA" else pixels[..., 3:]
        values = np.rint((values - 255) * (alpha / 255) + 255)
    return np.broadcast_to(values, (*values.shape[:2], channels)).astype(np.uint8)


def saved(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, content: bytes) -> bytes:
    """Return a PNG with any header and correct checksums."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def read(cells: list[Any], size: Any = None) -> torch.Tensor:
    rows = open_source(typed_rows("image", datasets.Image(), cells))["train"]
    return ImageColumn(rows, "image", size).read(torch.arange(len(cells)))


def cell(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


BLACK = cell(saved(Image.new("L", (8, 8)), "PNG"))


shapes = mostly(st.just((3, 4)), st.tuples(st.integers(1, 40), st.integers(1, 40)))


@bulk(
    700,
    kinds=st.lists(
        st.sampled_from([kind for kind in ALL_KINDS if kind[1] in LOSSLESS.get(kind[0], ())]), min_size=1, max_size=4
    ),
    shape=shapes,
    other=shapes,
    seed=st.integers(0, 999),
)
def test_pixels(kinds: list[tuple[str, str]], shape: Any, other: Any, seed: int) -> bool:
    random = np.random.default_rng(seed)
    sizes = [shape] + [other] * (len(kinds) - 1)
    pixels = [random.integers(0, 256, (*size, 4), dtype=np.uint8) for size in sizes]
    cells = [cell(saved(made(mode, values), form)) for (form, mode), values in zip(kinds, pixels, strict=True)]
    images = attempt(read, cells)
    if len(set(sizes)) > 1:
        assert is_rejected(images)
        assert "row 1 " in str(images)
        return False
    channels = 1 if {mode for _, mode in kinds} <= {"1", "L", "LA", "I;16"} else 3
    expected = [seen(mode, values, channels) for (_, mode), values in zip(kinds, pixels, strict=True)]
    assert not is_rejected(images), images
    rounding = int(any(mode in ("LA", "RGBA") for _, mode in kinds))
    assert np.abs(images.permute(0, 2, 3, 1).numpy() - np.stack(expected).astype(int)).max() <= rounding
    return True


@bulk(
    900,
    kind=st.sampled_from(ALL_KINDS),
    shape=shapes,
    cut=st.none() | st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
    size=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    value=st.integers(0, 255),
)
def test_damaged_files(kind: Any, shape: Any, cut: float | None, flips: Any, size: Any, value: int) -> bool:
    """Read one intact image, then one that may be damaged."""
    content = bytearray(saved(made(kind[1], np.full((*shape, 4), value, np.uint8)), kind[0]))
    for place, byte in flips:
        content[round(place * (len(content) - 1))] = byte
    damaged = bytes(content[: None if cut is None else round(cut * len(content))])
    whole = saved(made("RGB", np.full((*shape, 4), value, np.uint8)), "PNG")
    images = attempt(read, [cell(whole), cell(damaged, "b.x")], size)
    if is_rejected(images):
        assert isinstance(images, DataError)
        assert "row 1 of split 'train'" in str(images)
        return False
    assert images.shape == (2, 3, *(size or shape))
    assert (images[0] == value).all()
    return True


@bulk(
    300,
    width=st.integers(0, 2**32 - 1) | st.sampled_from([1, 8, 10_000, 2**31 - 1]),
    height=st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 8, 10_000]),
    depth=st.sampled_from([1, 2, 4, 8, 16, 3]),
    colour=st.integers(0, 7),
    content=st.binary(max_size=40) | st.just(bytes(10**6)),
    alone=st.booleans(),
)
def test_headers(width: int, height: int, depth: int, colour: int, content: bytes, alone: bool) -> bool:
    """The header announces a size that the file has no pixels for, or that fits no memory."""
    image = cell(png(width, height, depth, colour, content))
    images = attempt(read, [image] if alone else [BLACK, image])
    if is_rejected(images):
        assert f"row {0 if alone else 1} of split 'train'" in str(images)
        return False
    assert images.shape[2:] == ((height, width) if alone else (8, 8))
    return True


NO_IMAGES = [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4\n", b"<svg/>", b"BM" + bytes(60)]
NO_IMAGES += [b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF-3.0\n"]


@bulk(
    400,
    content=st.sampled_from(NO_IMAGES) | st.binary(max_size=100),
    path=st.sampled_from([None, "", "no/where.png", "/", "a.eps"]),
    first=st.booleans(),
)
def test_no_images(content: bytes | None, path: str | None, first: bool) -> bool:
    bad = cell(content, path)
    images = attempt(read, [bad, BLACK] if first else [BLACK, bad])
    assert is_rejected(images)
    assert f"row {0 if first else 1} of split 'train'" in str(images)
    return False

"""Read image columns, decoded once into one uint8 tensor."""

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_DARK = 65536 // 8
"""Images of 16 bits without a brighter pixel hold 12 bits or so."""


@dataclass
class ImageColumn:
    """Reads the images of a column in one shape: in colour if any image has colour, in the size of the first one.

    Transparent pixels become white. The pixels of 16 bits are divided by 256.

    Args:
        split: has the column.
        column: its name.
        size: height and width to resize images to; None: all images must already have one size.
        given_shape: (C, H, W) that the images must have, except that ``size`` replaces height and width; None: that
            of the images of ``split``.
    """

    split: Split
    column: str
    size: tuple[int, int] | None = None
    given_shape: tuple[int, ...] | None = None
    _changed: Counter[str] = field(default_factory=Counter, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return (C, H, W): one channel for grey images, else three."""
        if self.given_shape is not None:
            return (self.given_shape[0], *(self.size or self.given_shape[1:]))
        table = self.split.tables[0]
        image = self._open(table, 0, self._cells(table, [0])[0])
        channels = 3 if image.mode not in _GREY_MODES or self._any_in_colour() else 1
        return (channels, *(self.size or (image.height, image.width)))

    def _any_in_colour(self) -> bool:
        """Return whether any image of the split has colour; decodes no pixels."""
        for table, rows in self.split.chunks(torch.arange(len(self.split))):
            mode = table.rows.features[self.column].mode
            modes = [mode] if mode else map(_stored_mode, self._cells(table, rows))
            if any(mode not in _GREY_MODES for mode in modes):
                return True
        return False

    def read(self, rows: Tensor) -> Tensor:
        """Decode ``rows``, a ``LongTensor[N]`` of ascending row numbers, to ``uint8[N, C, H, W]``.

        Raises:
            DataError: an image is missing or corrupt, or has another size; names source, split and row.
        """
        images = torch.empty(len(rows), *self.shape, dtype=torch.uint8)
        done = 0
        with ThreadPoolExecutor() as pool:
            for block in pool.map(self._read_chunk, *zip(*self.split.chunks(rows), strict=True)):
                images[done : done + len(block)] = block
                done += len(block)
        self._warn_of_changes(len(rows))
        return images

    def _warn_of_changes(self, n: int) -> None:
        """Warn of images whose colour or depth was lost since the last warning."""
        where = f"{self.split.where()}, column {self.column!r}"
        if colours := self._changed.pop("colour", 0):
            rank_zero_warn(f"{where}: {colours} of {n} images have colour, but become grey like the training images")
        if deep := self._changed.pop("16 bits", 0):
            brightest = self._changed.pop("brightest", 0)
            if 0 < brightest < _DARK:
                rank_zero_warn(
                    f"{where}: {deep} of {n} images have 16 bits, but no value above {brightest}: they become nearly "
                    f"black, as 65535 is white. Multiply them by {2 ** (16 - brightest.bit_length())}, or store 8 bits"
                )

    def _cells(self, table: Table, rows: list[int]) -> list[Any]:
        cells = table.rows.with_format("arrow", columns=[self.column])[rows]
        return cells[self.column].to_pylist()  # type: ignore[no-any-return]

    def _read_chunk(self, table: Table, rows: list[int]) -> Tensor:
        pixels = [
            self._pixels(table, row, self._open(table, row, cell))
            for row, cell in zip(rows, self._cells(table, rows), strict=True)
        ]
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)

    def _open(self, table: Table, row: int, cell: Any) -> "Image":
        import datasets

        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise DataError(f"{table.where([row])}: column {self.column!r} has no image. Drop the row")
        try:
            image = _on_white(datasets.Image().decode_example(cell))
            mode = table.rows.features[self.column].mode
            return image.convert(mode) if mode else image
        except Exception as error:  # each image format raises its own exceptions
            name = f" {cell['path']}" if cell["path"] else ""
            raise DataError(
                f"{table.where([row])}: the image{name} in column {self.column!r} cannot be decoded "
                f"({type(error).__name__}: {error}). Replace the image or drop the row"
            ) from error

    def _pixels(self, table: Table, row: int, image: "Image") -> np.ndarray:
        """Return ``uint8[H, W, C]``."""
        from PIL import Image

        channels, height, width = self.shape
        if image.mode in ("I", "F"):
            raise DataError(
                f"{table.where([row])}: the image has {image.mode!r} pixels (32 bits), whose range is not "
                "known. Convert it to 8 or 16 bits, or store it as an array of numbers"
            )
        if image.mode.startswith("I;16"):
            values = np.asarray(image).astype(np.uint16)
            with self._lock:
                self._changed["16 bits"] += 1
                self._changed["brightest"] = max(self._changed["brightest"], int(values.max()))
            image = Image.fromarray((values >> 8).astype(np.uint8))
        if channels == 1 and image.mode not in _GREY_MODES:
            with self._lock:
                self._changed["colour"] += 1
        image = image.convert("L" if channels == 1 else "RGB")
        if self.size is not None and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        if (image.height, image.width) != (height, width):
            raise DataError(
                f"{table.where([row])}: the image is {image.height}x{image.width} (height x width), while the "
                f"first training image is {height}x{width}. Set data.image_size to resize them all"
            )
        return np.asarray(image).reshape(height, width, channels)


def _on_white(image: "Image") -> "Image":
    """Return an image without transparency, laid over white; grey ones remain grey."""
    from PIL import Image

    if (image.mode not in _ALPHA_MODES and "transparency" not in image.info) or image.mode.startswith("I;16"):
        return image
    grey = image.mode in _GREY_MODES
    above = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    laid = Image.alpha_composite(Image.new("RGBA", image.size, "white"), above)
    return laid.convert("L" if grey else "RGB")


def _stored_mode(cell: Any) -> str:
    """Return the mode of an image from the beginning of its file; "L" if it has none."""
    from PIL import Image

    if cell is None or (cell["bytes"] is None and cell["path"] is None):
        return "L"
    try:
        with Image.open(cell["path"] if cell["bytes"] is None else io.BytesIO(cell["bytes"])) as image:
            return image.mode
    except Exception:  # reading the pixels raises an error that names the row
        return "L"

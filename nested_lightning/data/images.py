"""Read image columns, decoded once into one uint8 tensor."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")


@dataclass
class ImageColumn:
    """Reads the images of a column; the channels and the size of the first one apply to all.

    Args:
        split: has the column.
        column: its name.
        size: height and width to resize images to; None: all images must already have one size.
        given_shape: (C, H, W) that the images must have, except that ``size`` replaces height and width; None: that
            of the first image.
    """

    split: Split
    column: str
    size: tuple[int, int] | None = None
    given_shape: tuple[int, ...] | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return (C, H, W): one channel for grey images, else three."""
        if self.given_shape is not None:
            return (self.given_shape[0], *(self.size or self.given_shape[1:]))
        table = self.split.tables[0]
        image = self._open(table, 0, self._cells(table, [0])[0])
        channels = 1 if image.mode in _GREY_MODES else 3
        return (channels, *(self.size or (image.height, image.width)))

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
        return images

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
            image: Image = datasets.Image().decode_example(cell)
            return image
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
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        image = image.convert("L" if channels == 1 else "RGB")
        if self.size is not None and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        if (image.height, image.width) != (height, width):
            raise DataError(
                f"{table.where([row])}: the image is {image.height}x{image.width} (height x width), while the "
                f"first training image is {height}x{width}. Set data.image_size to resize them all"
            )
        return np.asarray(image).reshape(height, width, channels)

"""Read text columns as token ids, which are computed once and kept in the cache of ``datasets``."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.data.vocabulary import Vocabulary, padded

if TYPE_CHECKING:
    import datasets


def read_texts(split: Split, column: str, rows: Tensor) -> Iterator[str]:
    """Yield the texts of ``rows``, a ``LongTensor[N]`` of ascending row numbers; an empty cell is an empty text."""
    for table, part in split.chunks(rows, size=4096):
        cells = table.rows.with_format("arrow", columns=[column])[part][column]
        yield from (cell or "" for cell in cells.to_pylist())


@dataclass
class TextColumn:
    """Reads the texts of a column as token ids.

    Args:
        split: has the column.
        column: its name.
        vocabulary: turns texts into ids.
    """

    split: Split
    column: str
    vocabulary: Vocabulary

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (maximum number of tokens of a text,)."""
        return (self.vocabulary.length,)

    def read(self, rows: Tensor) -> Tensor:
        """Read ``rows``, a ``LongTensor[N]`` of ascending row numbers, as ``int32[N, length]`` padded with -1."""
        encoded = {table: self._encoded(table) for table in self.split.tables}
        chunks = [
            padded(encoded[table].with_format("arrow")[part]["ids"].to_pylist(), *self.shape)
            for table, part in self.split.chunks(rows, size=4096)
        ]
        return torch.cat([torch.empty(0, *self.shape, dtype=torch.int32), *chunks])

    def _encoded(self, table: Table) -> "datasets.Dataset":
        """Return a table with the column ``ids`` alone; of a source on disk it is computed once and then cached."""
        import datasets

        state = json.dumps([table.rows._fingerprint, self.column, self.vocabulary.state_dict()])
        return table.rows.with_format(None).map(
            lambda cells: {"ids": self.vocabulary.encode([cell or "" for cell in cells])},
            input_columns=self.column,
            batched=True,
            remove_columns=table.rows.column_names,
            features=datasets.Features({"ids": [datasets.Value("int32")]}),
            new_fingerprint=hashlib.blake2b(state.encode(), digest_size=16).hexdigest(),
            desc="Tokens",
        )

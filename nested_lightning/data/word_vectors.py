"""Read files of word vectors, in the format of GloVe or as a table."""

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from nested_lightning.data.numbers import NumberColumn
from nested_lightning.data.sources import open_source
from nested_lightning.errors import DataError

Vectors = Iterator[tuple[str, Tensor]]


def read_word_vectors(source: str | os.PathLike[str], words: Mapping[str, int]) -> dict[int, Tensor]:
    """Return the vectors of those ``words`` that a file has, by the number of the word.

    Args:
        source: a text file with a word and its numbers in each line (the format of GloVe), or a table with the columns
            ``word`` and ``vector``: a parquet file, or a folder or hub id that ``datasets`` reads.
        words: the numbers of the words wanted; if a word is in the file twice, the first one counts.

    Raises:
        DataError: the source cannot be read; names file and line.
    """
    path = Path(source).expanduser()
    vectors = _lines(path, words) if path.suffix in (".txt", ".vec") else _table(str(source), words)
    found: dict[int, Tensor] = {}
    for word, vector in vectors:
        found.setdefault(words[word], vector)
    return found


def _lines(path: Path, words: Mapping[str, int]) -> Vectors:
    try:
        with path.open(encoding="utf-8") as file:
            size = _size(path)
            for number, line in enumerate(file, start=1):
                # Some words contain spaces, and some files have one at the end of each line.
                word, *numbers = line.rstrip().rsplit(" ", size)
                if number == 1 and len(numbers) == 1:
                    continue  # some files begin with the number of words and of dimensions
                if word not in words:
                    continue
                try:
                    vector = torch.tensor([float(value) for value in numbers])
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: {error}. Fix the line or drop it") from error
                if len(vector) != size or not vector.isfinite().all():
                    raise DataError(
                        f"{path}, line {number}: expected a word and {size} finite numbers as in other lines, got "
                        f"{len(vector)}: {' '.join(numbers)[:40]!r}. Fix the line or drop it"
                    )
                yield word, vector
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"word vectors {path} cannot be read ({error}): give a text file in UTF-8") from error


def _size(path: Path) -> int:
    """Return how many numbers a line has; the first of two lines may be a heading."""
    with path.open(encoding="utf-8") as file:
        lines = list(islice(file, 2))
    return max((len(line.split()) - 1 for line in lines), default=0)


def _table(source: str, words: Mapping[str, int]) -> Vectors:
    for split in open_source(source).values():
        for column in ("word", "vector"):
            split.require(column, "of word vectors")
        names = [word for table in split.tables for word in table.rows["word"]]
        rows = torch.tensor([row for row, word in enumerate(names) if word in words], dtype=torch.long)
        yield from zip((names[row] for row in rows.tolist()), NumberColumn(split, "vector").read(rows), strict=True)

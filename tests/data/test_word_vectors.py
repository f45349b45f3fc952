"""Files of word vectors in both formats, and the errors of broken ones."""

from pathlib import Path

import datasets
import pytest

from nested_lightning.data.word_vectors import read_word_vectors
from nested_lightning.errors import DataError

WORDS = {"owl": 3, "night": 0, ". . .": 5, "夜": 1, "not there": 2}
LINES = "the 9 9 9\nowl 1 2.5 -3e-1\nsee 7 7 7\n. . . 4 5 6\n夜 0 0 1\nowl 8 8 8\n"
EXPECTED = {3: [1.0, 2.5, pytest.approx(-0.3)], 5: [4.0, 5.0, 6.0], 1: [0.0, 0.0, 1.0]}


def read(source: Path) -> dict[int, list[float]]:
    return {number: vector.tolist() for number, vector in read_word_vectors(source, WORDS).items()}


@pytest.mark.parametrize("name", ["glove.txt", "fasttext.vec"])
@pytest.mark.parametrize("heading", ["", "6 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_text_files(name: str, heading: str, end: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((heading + LINES).replace("\n", end).encode())
    assert read(tmp_path / name) == EXPECTED


def test_lines_of_words_that_are_not_wanted_may_be_broken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the 9 9 9\nsee x 7\n\nowl 1 2 3", encoding="utf-8")
    assert read(tmp_path / "a.txt") == {3: [1.0, 2.0, 3.0]}
    (tmp_path / "b.txt").write_text("")
    assert read(tmp_path / "b.txt") == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("owl 1 2", "expected a word and 3 finite numbers.*got 2"),
        ("owl", "got 0"),
        ("owl 1 x 3", "could not convert.*'x'"),
        ("owl 1 nan 3", "got 3: '1 nan 3'"),
        ("owl 1 inf 3", "got 3: '1 inf 3'"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"the 9 9 9\nsee 7 7 7\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.txt, line 3: .*{message}.*Fix the line or drop it"):
        read(tmp_path / "a.txt")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9 1 2 3\nowl 1 2 3\n".encode("latin-1"))
    for name in ("latin.txt", "none.txt"):
        with pytest.raises(DataError, match=rf"{name} cannot be read.*UTF-8"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="is not a file or folder here"):
        read(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read"):
        read(tmp_path / "broken.parquet")


def test_tables(tmp_path: Path) -> None:
    vectors = {"word": ["the", "owl", None, "night", "owl"], "vector": [[float(i), 0.5] for i in range(5)]}
    table = datasets.Dataset.from_dict(vectors)
    table.to_parquet(tmp_path / "vectors.parquet")
    for source in (tmp_path, tmp_path / "vectors.parquet"):
        assert read(source) == {3: [1.0, 0.5], 0: [3.0, 0.5]}
    for column in ("word", "vector"):
        table.remove_columns(column).to_parquet(tmp_path / "part.parquet")
        with pytest.raises(DataError, match=rf"has no column '{column}' \(of word vectors\)"):
            read(tmp_path / "part.parquet")
    odd = datasets.Dataset.from_dict({"word": ["a", "owl"], "vector": [[1.0], [1.0, 2.0]]})
    odd.to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(DataError, match=r"row 1 .*odd\.parquet.*'vector'.*\(2,\).*\(1,\)"):
        read(tmp_path / "odd.parquet")

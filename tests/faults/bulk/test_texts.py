"""Texts give the tokens that a slow loop finds; bad vocabularies and word vectors an error that names the file."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from faults.bulk.outcomes import attempt, bulk, is_rejected
from faults.bulk.trees import ODD_TEXTS, is_text, mostly
from hypothesis import strategies as st

from nested_lightning.data.sources import open_source
from nested_lightning.data.texts import TextColumn
from nested_lightning.data.vocabulary import TextOptions, Vocabulary
from nested_lightning.data.word_vectors import read_word_vectors
from nested_lightning.errors import CheckpointError, ConfigurationError, DataError

WORDS = ["owl", "Owl", "cod", "42", "a", "the", "perch's", "e-mail", "x_y"]
MODEL_VALUES: list[Any] = [None, 3, "BPE", "WordLevel", "Unigram", {}, {"a": 0}, {"a": 5, "[UNK]": 9}, {"a": -1}]
MODEL_VALUES += [{"a": 2**40}, [["a", 0.5]], "[UNK]", "", []]
NO_NUMBERS = ["nan", "inf", "x", "", "1_0", "1e999", "0x1", "١"]
plain = st.lists(
    st.sampled_from(WORDS) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9), max_size=12
).map(" ".join)
long = st.tuples(plain, st.sampled_from([1, 1000, 100_000])).map(lambda drawn: f"{drawn[0]} " * drawn[1])
strange = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [text for text in ODD_TEXTS if is_text(text)]
)
texts = mostly(plain, mostly(strange | st.none() | st.just(""), long))
options = st.builds(
    TextOptions,
    length=st.integers(1, 30),
    vocabulary_size=st.integers(2, 60),
    min_count=st.integers(1, 3),
    language=mostly(st.none(), st.sampled_from(["en", "de"])),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


def column(cells: list[Any], vocabulary: Vocabulary) -> TextColumn:
    rows = datasets.Dataset.from_dict({"text": cells}, features=datasets.Features({"text": datasets.Value("string")}))
    return TextColumn(open_source(rows)["train"], "text", vocabulary)


def words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


@bulk(600, training=st.lists(plain, max_size=12), asked=st.lists(plain, max_size=4), options=options)
def test_plain_texts(training: list[str], asked: list[str], options: TextOptions) -> bool:
    vocabulary = Vocabulary.train(training, options)
    if options.language is not None:
        assert all(1 <= len(ids) <= options.length for ids in vocabulary.encode(asked))
        return True
    counts = Counter(word for text in training for word in words(text))
    frequent = sorted((n for n in counts.values() if n >= options.min_count), reverse=True)
    kept = frequent[: options.vocabulary_size - 1]
    assert vocabulary.words[0] == "[UNK]"
    assert [counts[word] for word in vocabulary.words[1:]] == kept
    numbers = {word: number for number, word in enumerate(vocabulary.words)}
    expected = [[numbers.get(word, 0) for word in words(text)][: options.length] or [0] for text in asked]
    assert vocabulary.encode(asked) == expected
    return True


@bulk(500, cells=st.lists(texts, min_size=1, max_size=5), options=options)
def test_any_texts(cells: list[Any], options: TextOptions) -> bool:
    vocabulary = Vocabulary.train([cell or "" for cell in cells], options)
    again = Vocabulary.from_state(json.loads(json.dumps(vocabulary.state_dict())))
    assert again == vocabulary
    ids = column(cells, vocabulary).read(torch.arange(len(cells)))
    assert ids.shape == (len(cells), options.length)
    assert ids.max() < len(vocabulary)
    for row, cell in enumerate(cells):
        alone = again.encode([cell or ""])[0]
        assert ids[row].tolist() == alone + [-1] * (options.length - len(alone))
        assert min(alone) >= 0
    return True


@bulk(
    500,
    drop=st.sampled_from([None, "model", "pre_tokenizer", "normalizer", "added_tokens", "version"]),
    model=st.dictionaries(
        st.sampled_from(["type", "vocab", "unk_token", "merges"]), st.sampled_from(MODEL_VALUES), max_size=3
    ),
    post=st.sampled_from([None, 3, {"type": "ByteLevel"}]),
    cut=mostly(st.none(), st.floats(0, 1)),
    asked=st.lists(plain | strange, min_size=1, max_size=3),
)
def test_tokenizer_files(folder: Path, drop: Any, model: Any, post: Any, cut: Any, asked: list[str]) -> bool:
    """Load untrusted vocabularies from a file and from a checkpoint."""
    content = json.loads(Vocabulary.train(["an owl and a cod"], TextOptions(min_count=1)).state_dict()["tokenizer"])
    content["model"] |= model
    content["post_processor"] = post
    content.pop(drop, None)
    text = json.dumps(content)
    text = text if cut is None else text[: round(cut * len(text))]
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    vocabulary = attempt(Vocabulary.from_file, folder, 7)
    state = attempt(Vocabulary.from_state, {"tokenizer": text, "length": 7, "language": None})
    assert is_rejected(state) == is_rejected(vocabulary)
    if is_rejected(vocabulary):
        assert isinstance(vocabulary, ConfigurationError)
        assert isinstance(state, CheckpointError)
        assert "tokenizer.json" in str(vocabulary)
        return False
    for ids in vocabulary.encode(asked):
        assert 1 <= len(ids) <= 7
        assert all(0 <= number < len(vocabulary) for number in ids)
    return True


lines = st.tuples(
    st.sampled_from(["owl", "cod", "New York", "", "é", "\x85", "\u2028"]),
    st.lists(mostly(st.floats(-9, 9, width=32).map(str), st.sampled_from(NO_NUMBERS)), min_size=0, max_size=4),
)


@bulk(
    700,
    content=st.lists(lines.map(lambda line: " ".join([line[0], *line[1]])), max_size=6),
    heading=st.booleans(),
    size=st.integers(0, 4),
    noise=mostly(st.just(b""), st.binary(max_size=5)),
)
def test_word_vectors(folder: Path, content: list[str], heading: bool, size: int, noise: bytes) -> bool:
    """Read files whose first two lines tell how many numbers a line has."""
    file = folder / "vectors.txt"
    first = [f"{len(content)} {size}"] * heading + [" ".join(["first", *["1.5"] * size])]
    file.write_bytes("\n".join([*first, *content]).encode() + noise)
    found = attempt(read_word_vectors, file, {"owl": 0, "cod": 1, "New York": 2})
    if is_rejected(found):
        assert isinstance(found, DataError)
        assert str(file) in str(found)
        return False
    for number, vector in found.items():
        word = ["owl", "cod", "New York"][number]
        assert any(line.startswith(f"{word} ") or line == word for line in content)
        assert vector.isfinite().all()
        assert len({len(other) for other in found.values()}) == 1
    return True

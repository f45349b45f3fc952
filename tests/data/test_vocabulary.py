"""The vocabulary: its words, the ids of any text, and that a checkpoint keeps it."""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nested_lightning.data.vocabulary import TextOptions, Vocabulary, padded
from nested_lightning.errors import CheckpointError, ConfigurationError

TEXTS = [
    "The owl sees the night. The OWL!",
    "Owls (not 12 owls, but 3) see; é and e\u0301 are one letter.",
    "夜の ふくろう 夜",
    "ＦＵＬＬ width, ﬁne",
    "بومة الليل، بومة",
    "उल्लू रात में उल्लू",
    "🦉 owl🦉owl",
    "แมวกินปลา cat",
    "ខ្មែរ",
    "",
    "  \t\n",
]


def options(**values: Any) -> TextOptions:
    return TextOptions(**{"length": 8, "min_count": 1, **values})


UNSPACED = {"THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "HIRAGANA", "HENTAIGANA", "KATAKANA"}


def words_of(text: str) -> list[str]:
    """Return the runs of letters, marks and digits, in lower case; in scripts without blanks, each character."""
    result, is_alone = [""], False
    for character in unicodedata.normalize("NFKC", text).lower():
        kind, script = unicodedata.category(character)[0], unicodedata.name(character, "").partition(" ")[0]
        if is_alone and kind == "M":
            result[-1] += character
            continue
        if is_alone:
            result.append("")
        is_alone = script in UNSPACED and kind in "LMN"
        if is_alone:
            result.append(character)
        elif "\u4e00" <= character <= "\u9fff":
            result += [character, ""]
        elif kind in "LMN":
            result[-1] += character
        else:
            result.append("")
    return [word for word in result if word]


def word_ids(vocabulary: Vocabulary, text: str) -> list[int]:
    number = {word: i for i, word in enumerate(vocabulary.words)}
    return [number.get(word, 0) for word in words_of(text)][: vocabulary.length] or [0]


@pytest.mark.parametrize("min_count", [1, 2, 3])
def test_words_and_ids_by_brute_force(min_count: int) -> None:
    count = Counter(word for text in TEXTS for word in words_of(text))
    vocabulary = Vocabulary.train(TEXTS, options(min_count=min_count))
    unknown, *words = vocabulary.words
    assert unknown == "[UNK]"
    assert sorted(words) == sorted(word for word, n in count.items() if n >= min_count)
    assert [count[word] for word in words] == sorted((count[word] for word in words), reverse=True)
    assert len(vocabulary) == len(words) + 1
    assert vocabulary.encode(TEXTS) == [word_ids(vocabulary, text) for text in TEXTS]


def test_the_most_frequent_words_are_kept() -> None:
    vocabulary = Vocabulary.train(["a b c", "a b", "a", "d"], options(vocabulary_size=3))
    assert vocabulary.words == ["[UNK]", "a", "b"]
    assert vocabulary.encode(["d a b"]) == [[0, 1, 2]]


def test_the_same_texts_give_the_same_vocabulary_also_after_a_checkpoint() -> None:
    first, second = (Vocabulary.train(iter(TEXTS), options(language="en")) for _ in range(2))
    again = Vocabulary.from_state(first.state_dict())
    assert first == second == again
    assert again.encode(TEXTS) == first.encode(TEXTS)
    assert first not in (Vocabulary.train(TEXTS[1:], options(language="en")), Vocabulary.train(TEXTS, options()))
    assert Vocabulary.train(TEXTS, options()) != Vocabulary.train(TEXTS, options(length=9))


def test_long_texts_are_cut() -> None:
    vocabulary = Vocabulary.train(["owl night"], options(length=200))
    (ids,) = vocabulary.encode(["owl night " * 50_000])
    assert ids == vocabulary.encode(["owl night"])[0] * 100


@pytest.mark.parametrize("language", [None, "en"])
@settings(deadline=None, max_examples=150)
@given(texts=st.lists(st.text(max_size=30), max_size=4), length=st.integers(1, 5))
def test_any_text_has_ids(language: str | None, texts: list[str], length: int) -> None:
    vocabulary = Vocabulary.train(["the owls see", "夜 a 1", *texts[:2]], options(length=length, language=language))
    encoded = vocabulary.encode(texts)
    assert len(encoded) == len(texts)
    assert all(1 <= len(ids) <= length for ids in encoded)
    assert all(0 <= i < len(vocabulary) for ids in encoded for i in ids)
    assert [vocabulary.encode([text])[0] for text in texts] == encoded


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5))
def test_padding(ids: list[list[int]]) -> None:
    assert padded(ids, 4).tolist() == [row + [-1] * (4 - len(row)) for row in ids]


def test_lemmas() -> None:
    vocabulary = Vocabulary.train(["Engines of an engine", "ENGINE"], options(language="en"))
    assert "engines" not in vocabulary.words
    assert vocabulary.words[1] == "engine"
    one, other = vocabulary.encode(["engines", "engine"])
    assert one == other == [1]


def bert_like(path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "<unk>": 1, "[CLS]": 2, "[SEP]": 3, "owl": 4}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=20)
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_from_a_file_or_its_folder(tmp_path: Path) -> None:
    file = bert_like(tmp_path / "tokenizer.json")
    for path in (file, tmp_path, str(tmp_path)):
        vocabulary = Vocabulary.from_file(path, length=4)
        assert vocabulary.encode(["owl", "", "a owl owl owl"]) == [[2, 4, 3], [2, 3], [2, 1, 4, 3]]
        assert Vocabulary.from_state(vocabulary.state_dict()).encode(["owl"]) == [[2, 4, 3]]
    assert vocabulary.words[4] == "owl"


def test_files_that_are_not_tokenizers(tmp_path: Path) -> None:
    (tmp_path / "garbage.json").write_bytes(b"\xff\x00{")
    (tmp_path / "other.json").write_text('{"a": 1}')
    for path, words in (("none.json", "cannot be read"), (".", "tokenizer.json cannot be read")):
        with pytest.raises(ConfigurationError, match=rf"data\.text\.tokenizer.*{words}.*give a tokenizer\.json"):
            Vocabulary.from_file(tmp_path / path, 4)
    for path in ("garbage.json", "other.json"):
        with pytest.raises(ConfigurationError, match=rf"{path} cannot be used"):
            Vocabulary.from_file(tmp_path / path, 4)


@pytest.mark.parametrize(("words", "unknown", "message"), [
    ({"owl": 0}, "[UNK]", r"Missing \[UNK\] token"),
    ({}, "[UNK]", "no tokens"),
    ({"owl": 2**31}, "owl", "too large numbers"),
])  # fmt: skip
def test_tokenizers_without_ids_for_every_text(tmp_path: Path, words: Any, unknown: str, message: str) -> None:
    file = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({}, unknown)).save(str(file))
    saved = json.loads(file.read_text())
    saved["model"]["vocab"] = words  # written by the library, this would take as long as the largest number is large
    file.write_text(json.dumps(saved))
    with pytest.raises(ConfigurationError, match=message):
        Vocabulary.from_file(tmp_path, 4)


def test_numbers_left_out(tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"owl": 5, "<unk>": 9}, "<unk>")).save(str(tmp_path / "tokenizer.json"))
    vocabulary = Vocabulary.from_file(tmp_path, 4)
    assert vocabulary.encode(["owl", "cod", ""]) == [[5], [9], [9]]
    assert len(vocabulary) == 10
    assert vocabulary.words == ["owl", "<unk>"]


def test_a_length_without_room_for_a_word_is_refused(tmp_path: Path) -> None:
    bert_like(tmp_path / "tokenizer.json")
    for length in (1, 2):
        with pytest.raises(ConfigurationError, match=r"data\.text\.length must be at least 3.*got " + str(length)):
            Vocabulary.from_file(tmp_path, length)
    assert Vocabulary.from_file(tmp_path, 3).encode(["owl owl"]) == [[2, 4, 3]]


@pytest.mark.parametrize("change", [{"tokenizer": "{"}, {"length": "x"}, {"length": None}, {"language": "xx"}])
def test_a_changed_checkpoint_is_refused(change: dict[str, Any]) -> None:
    state = Vocabulary.train(TEXTS, options()).state_dict()
    with pytest.raises(CheckpointError, match="cannot read the vocabulary in the checkpoint"):
        Vocabulary.from_state({**state, **change})
    with pytest.raises(CheckpointError):
        Vocabulary.from_state({})


def test_options_that_are_refused() -> None:
    for name, value in (("length", 0), ("vocabulary_size", 1), ("min_count", 0)):
        with pytest.raises(ConfigurationError, match=rf"data\.text\.{name} must be at least.*got {value}"):
            TextOptions(**{name: value})
    with pytest.raises(ConfigurationError, match=r"language.*tokenizer.*leave one of the two out"):
        TextOptions(language="en", tokenizer="folder")
    with pytest.raises(ConfigurationError, match=r"'eng'.*Did you mean 'en'.*de, .*leave it out"):
        Vocabulary.train(TEXTS, options(language="eng"))

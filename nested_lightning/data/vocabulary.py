"""Turn texts into token ids: cleaning, lemmas and a vocabulary that a checkpoint can keep."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nested_lightning.errors import CheckpointError, ConfigurationError, suggestion

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"
PADDING = -1
"""Pads texts that are shorter than others of their batch, with any vocabulary."""


@dataclass(frozen=True)
class TextOptions:
    """How texts become token ids; ignored if the input is not text.

    Args:
        length: maximum number of tokens of a text; the rest is cut off (200 in the paper, C.1).
        vocabulary_size: maximum number of words of a trained vocabulary, including the unknown word.
        min_count: how often a word must occur in the training rows to be in the vocabulary.
        language: code such as ``"en"`` to replace words by their lemmas (``simplemma`` has about 50 languages).
            None: words stay as they are.
        tokenizer: a ``tokenizer.json`` of the library ``tokenizers``, or the folder of a pretrained model that has
            one; replaces cleaning, lemmas and a trained vocabulary.

    Raises:
        ConfigurationError: a number is too small, or both ``language`` and ``tokenizer`` are given.
    """

    length: int = 200
    vocabulary_size: int = 30000
    min_count: int = 2
    language: str | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("vocabulary_size", 2), ("min_count", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"data.text.{name} must be at least {least}, got {getattr(self, name)}")
        if self.language is not None and self.tokenizer is not None:
            raise ConfigurationError(
                "data.text.language has no effect on a data.text.tokenizer, which splits texts in its own way: leave "
                "one of the two out"
            )


@dataclass(frozen=True)
class Vocabulary:
    """Turn texts into ids: a tokenizer, the language of its lemmas, and the length of texts.

    Ids are 0 to ``len(vocabulary) - 1``. A text without a known token, such as an empty one, is one unknown token.

    Args:
        tokenizer: in the JSON of the library ``tokenizers``.
        length: maximum number of tokens of a text.
        language: of the lemmas, or None.

    Example:
        >>> vocabulary = Vocabulary.train(["An owl sees.", "The owl, seen!"], TextOptions(length=3, min_count=1))
        >>> vocabulary.words[:2], vocabulary.encode(["the OWL", ""])
        (['[UNK]', 'owl'], [[5, 1], [0]])
    """

    tokenizer: str
    length: int
    language: str | None = None

    @classmethod
    def train(cls, texts: Iterable[str], options: TextOptions) -> "Vocabulary":
        """Return the vocabulary of the most frequent words of ``texts``, the same for the same texts.

        Raises:
            ConfigurationError: there are no lemmas for the language, or the package ``simplemma`` is missing.
        """
        from tokenizers import trainers

        untrained = cls(_words().to_str(), options.length, options.language)
        untrained._prepared("")  # raises if there are no lemmas
        trainer = trainers.WordLevelTrainer(
            vocab_size=options.vocabulary_size,
            min_frequency=options.min_count,
            special_tokens=[UNKNOWN],
            show_progress=False,
        )
        # A second one: a tokenizer in training is locked, and preparing texts with it would wait forever.
        tokenizer = _words()
        tokenizer.train_from_iterator(map(untrained._prepared, texts), trainer)
        return cls(tokenizer.to_str(), options.length, options.language)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], length: int) -> "Vocabulary":
        """Return the vocabulary of a ``tokenizer.json``, or of a folder that has one.

        Raises:
            ConfigurationError: the file is missing or cannot be read, or ``length`` leaves no room for a word.
        """
        file = Path(path).expanduser()
        file = file / "tokenizer.json" if file.is_dir() else file
        try:
            vocabulary = cls(file.read_text(encoding="utf-8"), length)
            vocabulary._refuse_useless()
        except OSError as error:
            raise ConfigurationError(
                f"data.text.tokenizer: {file} cannot be read ({error.strerror}): give a tokenizer.json, or the folder "
                "of a pretrained model that has one"
            ) from error
        except Exception as error:  # the library raises plain Exceptions
            raise ConfigurationError(
                f"data.text.tokenizer: {file} cannot be used ({error}): give a tokenizer.json of the package tokenizers"
            ) from error
        least = vocabulary._tokenizer.num_special_tokens_to_add(False) + 1
        if length < least:
            raise ConfigurationError(
                f"data.text.length must be at least {least} for {file}, which adds its own tokens to each text; "
                f"got {length}"
            )
        return vocabulary

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Vocabulary":
        """Return the vocabulary that :meth:`state_dict` was called on.

        Raises:
            CheckpointError: the state cannot be read.
        """
        try:
            vocabulary = cls(state["tokenizer"], int(state["length"]), state["language"])
            vocabulary._refuse_useless()
        except Exception as error:  # the library raises plain Exceptions
            raise CheckpointError(
                f"cannot read the vocabulary in the checkpoint ({type(error).__name__}: {error}): the file was "
                "changed, or saved with a newer version of the package tokenizers: update it, or use another checkpoint"
            ) from error
        return vocabulary

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which :meth:`from_state` makes an equal vocabulary."""
        return asdict(self)

    def __len__(self) -> int:
        return 1 + max(self.numbers.values())  # pretrained vocabularies may skip ids

    @property
    def words(self) -> list[str]:
        """The tokens in the order of their ids."""
        return sorted(self.numbers, key=self.numbers.__getitem__)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The id of each token."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text: at least one, at most ``length``."""
        prepared = [self._prepared(text) for text in texts]
        return [encoding.ids or [self._unknown] for encoding in self._tokenizer.encode_batch_fast(prepared)]

    def _refuse_useless(self) -> None:
        """Raise the library's exception, or a ValueError, if some texts would have no ids or ids out of range."""
        numbers = self.numbers.values()
        if not numbers or max(numbers) > torch.iinfo(torch.int32).max:
            raise ValueError("it has no tokens, or too large numbers for them")
        self.encode(["", "qxzjv"])  # an empty text, and a word that is probably unknown

    def _prepared(self, text: str) -> str:
        """Return the text with its words, as the tokenizer splits them, replaced by lemmas."""
        if self.language is None:
            return text
        lemma, tokenizer = _lemmatiser(self.language), self._tokenizer
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        return " ".join(lemma(word) for word, _ in pieces)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.length)
        return tokenizer

    @cached_property
    def _unknown(self) -> int:
        known = self.numbers
        return next((known[name] for name in (UNKNOWN, "<unk>") if name in known), min(known.values()))


@cache
def _lemmatiser(language: str) -> Callable[[str], str]:
    """Return a function that replaces a word by its lemma."""
    try:
        import simplemma
        from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES
    except ImportError as error:
        raise ConfigurationError(
            "data.text.language needs the package simplemma: pip install 'nested-lightning[text]', or leave it out"
        ) from error
    if language not in SUPPORTED_LANGUAGES:
        raise ConfigurationError(
            f"unknown data.text.language={language!r}.{suggestion(language, SUPPORTED_LANGUAGES)} "
            f"Choose from {', '.join(sorted(SUPPORTED_LANGUAGES))}; or leave it out"
        )
    # Few words make up most of a corpus, and a dictionary look-up takes a hundred times as long as a cache hit.
    return lru_cache(maxsize=1 << 18)(lambda word: simplemma.lemmatize(word, lang=language).lower())


def _words() -> "Tokenizer":
    """Return an untrained tokenizer of lower-case words and numbers.

    Scripts without blanks between words, such as Chinese, Thai and Khmer: each character is a word.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    # Accents distinguish words in many languages, and are vowels in some.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(strip_accents=False, lowercase=True)]
    )
    # A letter with the vowels and tones written around it. The normaliser has set CJK characters apart.
    scripts = ("Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Hiragana", "Katakana")
    unspaced = Regex("[" + "".join(rf"\p{{{script}}}" for script in scripts) + r"]\p{M}*")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\p{L}\p{M}\p{N}]+"), behavior="removed"),
            pre_tokenizers.Split(unspaced, behavior="isolated"),
        ]
    )
    return tokenizer


def padded(ids: Sequence[Sequence[int]], length: int) -> Tensor:
    """Return ids as ``int32[N, length]``, padded with -1.

    Example:
        >>> padded([[4, 1], [0]], 3)
        tensor([[ 4,  1, -1],
                [ 0, -1, -1]], dtype=torch.int32)
    """
    table = torch.full((len(ids), length), PADDING, dtype=torch.int32)
    lengths = torch.tensor([len(row) for row in ids], dtype=torch.long)
    inside = torch.arange(length) < lengths[:, None]
    table[inside] = torch.tensor([token for row in ids for token in row], dtype=torch.int32)
    return table

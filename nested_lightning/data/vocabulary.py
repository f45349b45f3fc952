"""From texts to token ids: cleaning, lemmas, a vocabulary; everything that a checkpoint has to keep of it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nested_lightning.data.lemmas import lemmatiser
from nested_lightning.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"
PADDING = -1
"""Stands behind the end of a text that is shorter than others of its batch, whatever the vocabulary."""


@dataclass(frozen=True)
class TextOptions:
    """How texts become token ids; only data whose input is text looks at it.

    Args:
        length: tokens of a text at most; the rest is cut off (200 in the paper, C.1).
        vocabulary_size: words of a vocabulary that is trained, the unknown word among them.
        min_count: how often a word must occur in the training rows to be in it.
        language: code such as ``"en"`` to bring words to their lemma (``simplemma`` has about 50 languages).
            None: words stay as they are.
        tokenizer: a ``tokenizer.json`` of the library ``tokenizers``, or the folder of a pretrained model that has
            one; takes the place of cleaning, lemmas and a trained vocabulary.

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
                "data.text.language has no effect on a data.text.tokenizer, which cuts texts in its own way: leave "
                "one of the two out"
            )


class Vocabulary:
    """A tokenizer, the language of the lemmas in it, and the length of texts: what turns texts into ids.

    Ids are 0 to ``len(vocabulary) - 1``; behind the end of a text stands -1. A text without a known token (an
    empty one, too) is one unknown token.

    Args:
        tokenizer: in the JSON of the library ``tokenizers``.
        length: tokens of a text at most.
        language: of the lemmas, or None.

    Example:
        >>> vocabulary = Vocabulary.train(["An owl sees.", "The owl, seen!"], TextOptions(length=3, min_count=1))
        >>> vocabulary.words[:2], vocabulary.encode(["the OWL", ""])
        (['[UNK]', 'owl'], [[5, 1], [0]])
    """

    def __init__(self, tokenizer: str, length: int, language: str | None = None) -> None:
        self._json, self.length, self.language = tokenizer, length, language
        self._lemma = lemmatiser(language)

    @classmethod
    def train(cls, texts: Iterable[str], options: TextOptions) -> "Vocabulary":
        """Return the vocabulary of the most frequent words of ``texts``, the same for the same texts.

        Raises:
            ConfigurationError: there are no lemmas for the language, or the package that has them is missing.
        """
        from tokenizers import trainers

        untrained = cls(_words().to_str(), options.length, options.language)
        trainer = trainers.WordLevelTrainer(
            vocab_size=options.vocabulary_size,
            min_frequency=options.min_count,
            special_tokens=[UNKNOWN],
            show_progress=False,
        )
        # A second one: a tokenizer in training is locked, and would wait for itself here.
        tokenizer = _words()
        tokenizer.train_from_iterator(map(untrained._prepared, texts), trainer)
        return cls(tokenizer.to_str(), options.length, options.language)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], length: int) -> "Vocabulary":
        """Return the tokenizer of a ``tokenizer.json``, or of a folder that has one.

        Raises:
            ConfigurationError: there is none, it cannot be read, or ``length`` leaves no room for a word.
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
                f"data.text.tokenizer: {file} is no file of the library tokenizers ({error}): give a tokenizer.json"
            ) from error
        least = vocabulary._tokenizer.num_special_tokens_to_add(False) + 1
        if length < least:
            raise ConfigurationError(
                f"data.text.length must be at least {least} for {file}, which adds tokens of its own to each text; "
                f"got {length}"
            )
        return vocabulary

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Vocabulary":
        """Return what :meth:`state_dict` was called on; a CheckpointError if it is something else."""
        try:
            vocabulary = cls(state["tokenizer"], int(state["length"]), state["language"])
            vocabulary._refuse_useless()
        except Exception as error:  # the library raises plain Exceptions
            raise CheckpointError(
                f"the vocabulary in the checkpoint cannot be read ({error}): it was changed, or written by a newer "
                "version of the library tokenizers"
            ) from error
        return vocabulary

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which :meth:`from_state` makes an equal vocabulary."""
        return {"tokenizer": self._json, "length": self.length, "language": self.language}

    def __len__(self) -> int:
        return 1 + max(self.numbers.values())  # pretrained ones may leave numbers out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.state_dict() == other.state_dict()

    __hash__ = None  # type: ignore[assignment]

    @property
    def words(self) -> list[str]:
        """The tokens in the order of their ids."""
        numbers = self.numbers
        return sorted(numbers, key=numbers.__getitem__)

    @property
    def numbers(self) -> dict[str, int]:
        """The id of each token."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text: at least one, at most ``length``."""
        prepared = [self._prepared(text) for text in texts]
        return [encoding.ids or [self._unknown] for encoding in self._tokenizer.encode_batch_fast(prepared)]

    def _refuse_useless(self) -> None:
        """Raise what the library raises, or a ValueError, where some texts would have no ids or ids out of range."""
        numbers = self.numbers.values()
        if not numbers or max(numbers) > torch.iinfo(torch.int32).max:
            raise ValueError("it has no tokens, or too large numbers for them")
        self.encode(["", "qxzjv"])  # no text, and a word that it may not know

    def _prepared(self, text: str) -> str:
        """Return the text with its words, as the tokenizer cuts them, as lemmas."""
        if self.language is None:
            return text
        tokenizer = self._tokenizer
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        return " ".join(self._lemma(word) for word, _ in pieces)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._json)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.length)
        return tokenizer

    @cached_property
    def _unknown(self) -> int:
        known = self.numbers
        return next((known[name] for name in (UNKNOWN, "<unk>") if name in known), min(known.values()))


def _words() -> "Tokenizer":
    """Return an untrained tokenizer of lower-case words and numbers, each CJK character being a word."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    # Accents tell words apart in many languages, and are vowels in some.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(strip_accents=False, lowercase=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\p{L}\p{M}\p{N}]+"), behavior="removed")
    return tokenizer


def padded(ids: Sequence[Sequence[int]], length: int) -> Tensor:
    """Return ids as ``int32[N, length]``, -1 behind the end of each text.

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

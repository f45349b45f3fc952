"""Words to their lemmas, by the library simplemma."""

from collections.abc import Callable
from functools import lru_cache

from nested_lightning.errors import ConfigurationError, suggestion


def lemmatiser(language: str | None) -> Callable[[str], str]:
    """Return what brings a word to its lemma; words of no language stay as they are.

    Raises:
        ConfigurationError: the package is missing, or does not know the language.

    Example:
        >>> lemmatiser("en")("engines"), lemmatiser(None)("engines")
        ('engine', 'engines')
    """
    if language is None:
        return str
    try:
        import simplemma
        from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES
    except ImportError as error:
        raise ConfigurationError(
            "data.text.language needs the package simplemma: pip install 'nested-lightning[text]', or leave it out"
        ) from error
    if language not in SUPPORTED_LANGUAGES:
        raise ConfigurationError(
            f"data.text.language={language!r}: there are no lemmas for it.{suggestion(language, SUPPORTED_LANGUAGES)} "
            f"There are {', '.join(sorted(SUPPORTED_LANGUAGES))}; or leave it out"
        )

    # Most words of a corpus are a few: a look into the dictionary takes a hundred times as long as one into the cache.
    @lru_cache(maxsize=1 << 18)
    def lemma(word: str) -> str:
        return simplemma.lemmatize(word, lang=language).lower()

    return lemma

"""Compare names that look the same: blanks around them, case, invisible characters, two Unicode forms."""

import unicodedata
from collections.abc import Iterable

_MISSING = {"nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil"}


def clean(text: str) -> str:
    r"""Return a name without blanks around it, in the Unicode form NFC; both are not seen when it is read.

    Example:
        >>> clean(" Cafe\u0301\xa0") == "Caf\xe9"
        True
    """
    return unicodedata.normalize("NFC", text).strip()


def folded(text: str) -> str:
    r"""Return what names that differ only in case, blanks or invisible characters have in common.

    Example:
        >>> folded("Snowy\xa0\u200bOwl") == folded("snowy  owl")
        True
    """
    if text.isascii():
        return " ".join(text.lower().split())
    visible = (c for c in unicodedata.normalize("NFKC", text.casefold()) if unicodedata.category(c) != "Cf")
    return " ".join("".join(visible).split())


def lookalikes(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of different names that differ only in case, blanks or invisible characters.

    Example:
        >>> lookalikes(["owl", "cod", "OWL"])
        [['owl', 'OWL']]
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(folded(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def means_missing(text: str) -> bool:
    """Return whether programs write a text for a missing value, such as ``nan`` or ``NA``."""
    return text.casefold() in _MISSING

"""Options for how files and labels are read, and one spelling for labels that look the same."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.errors import DataError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.names import folded, lookalikes, means_missing

Labels = list[str | None]


@dataclass(frozen=True)
class ReadOptions:
    """How files of text are read, and which texts are labels.

    Args:
        separator: the character between two cells of a CSV or TSV file. None: a tab in ``.tsv`` files, else a comma.
        encoding: of the characters in CSV, TSV and JSON files, such as ``utf-8``, ``latin-1`` or ``utf-16``.
        quotes: whether cells of CSV and TSV files may be in quotation marks. None: yes, except in a file with a cell
            that begins with a mark and does not end with one, if all its lines have the same number of cells.
        missing: texts that mean an unknown label, such as ``NA``, besides the empty cell.
        normalize: whether labels that differ only in case, blanks or invisible characters are one class, spelled as
            in the taxonomy, or else as in most rows.
        path_separator: what stands between the names of a label that is a path, such as ``>`` in ``Food > Tea``;
            blanks around it do not count. None: a slash.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    quotes: bool | None = None
    missing: tuple[str, ...] = ()
    normalize: bool = False
    path_separator: str | None = None


READING = ReadOptions()
"""The default."""


def spellings(taxonomy: Taxonomy | None, labels: Iterable[str | None]) -> dict[str, str]:
    """Return the spelling of each label by its folded form: that of the taxonomy, else of the most rows.

    Example:
        >>> spellings(None, ["owl", "Owl", None, "owl"])
        {'owl': 'owl'}
    """
    if taxonomy is not None:
        nodes = [path for level in range(taxonomy.n_levels) for path in taxonomy.nodes(level)]
        known = [path[-1] for path in nodes] + ["/".join(path) for path in nodes]
    else:
        counts = Counter(label for label in labels if label is not None)
        known = sorted(counts, key=lambda label: (-counts[label], not label.isprintable()))
    return {folded(label): label for label in reversed(known)}


def normalized(labels: Labels, spelling: dict[str, str], place: str) -> Labels:
    """Return the labels in these spellings; a warning counts the changes."""
    changes = {label: spelling.get(folded(label), label) for label in set(labels) if label is not None}
    changed = Counter(label for label in labels if label is not None and changes[label] != label)
    if changed:
        shown = ", ".join(f"{label!r} as {changes[label]!r} ({n})" for label, n in changed.most_common(3))
        rank_zero_warn(f"{place}: {changed.total()} labels are read in another spelling: {shown}")
    return [None if label is None else changes[label] for label in labels]


def interpret(labels: Labels, reading: ReadOptions, place: str) -> Labels:
    """Return the labels with None for ``missing`` texts, which a warning counts, and with slashes between names.

    Raises:
        DataError: there is a ``path_separator``, and a name has a slash itself.
    """
    if emptied := Counter(label for label in labels if label in reading.missing):
        counts = ", ".join(f"{label!r} ({n})" for label, n in emptied.most_common(3))
        rank_zero_warn(f"{place}: {emptied.total()} labels are read as unknown: {counts}")
    known = [None if label in emptied else label for label in labels]
    if (separator := reading.path_separator) is None:
        return known
    if odd := next((label for label in known if label and "/" in label), None):
        raise DataError(
            f"{place}: {odd!r} has a slash, which would separate two names like {separator!r} "
            "(reading.path_separator): write another character instead of the slash"
        )
    return [label and "/".join(name.strip() for name in label.split(separator)) for label in known]


def warn_of_odd_labels(labels: Labels, column: str, where: Callable[[Iterable[int]], str]) -> None:
    """Warn of labels that look the same, and of those that may mean a missing one; ``where`` names their rows."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            rows.setdefault(label, []).append(row)
    warn_of_lookalikes(rows, f"column {column!r}", lambda label: f" ({where(rows[label])})")
    if odd := [label for label in rows if means_missing(label)]:
        places = ", ".join(f"{label!r} ({where(rows[label])})" for label in odd[:3])
        rank_zero_warn(
            f"column {column!r}: the text {places} is a class. If it means that the label is unknown, add it to "
            "reading.missing"
        )


def warn_of_lookalikes(names: Iterable[str], place: str, where: Callable[[str], str] = lambda name: "") -> None:
    """Warn of different names that look the same; ``where`` returns what to add to each."""
    if groups := lookalikes(names):
        shown = "; ".join(" and ".join(f"{name!r}{where(name)}" for name in group) for group in groups[:3])
        more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
        rank_zero_warn(
            f"{place}: {shown}{more} differ only in case, blanks or invisible characters, but are different classes. "
            "Correct them, or set reading.normalize for the labels of data"
        )

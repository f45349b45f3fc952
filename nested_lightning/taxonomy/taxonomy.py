"""The taxonomy of labels, read from files and tables, as targets and index tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import build
from nested_lightning.taxonomy import yaml as files
from nested_lightning.taxonomy.tree import Path, Tree

__all__ = ["Path", "Taxonomy"]


@dataclass(frozen=True, init=False, repr=False)
class Taxonomy(Tree):
    """An immutable, hashable tree of labels with named levels, coarse to fine.

    A class is a node of the tree, identified by its path from the root: one name may occur under several parents.
    Within a level the classes are numbered in the order in which they first appear in ``leaves``. This index need
    not be the label id of the data: labels are matched by name, not by number.

    **Ragged trees.** A leaf may be at any level. A leaf above the last level is carried down: at each finer level it
    occurs under its own name, as its own only child. A row with this label therefore counts as known at every
    level. The carried path written out, ``("b", "b")``, means the same as ``("b",)``.

    A ``level`` argument is an index, 0 = coarsest; a negative one counts from the finest, as in a list.

    Args:
        levels: at least two different level names, coarse to fine.
        leaves: path of every leaf, 1 to ``n_levels`` names each; inner nodes follow from them.

    Attributes:
        levels: level names, coarse to fine.
        leaves: path of every class of the finest level in index order, carried leaves written out.

    Raises:
        TaxonomyError: if levels and leaves do not form such a tree.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [["animal", "cat"], ["animal", "dog"], ["stone"]])
        >>> print(taxonomy)
        Taxonomy(kind 2 > species 3)
        ├── animal
        │   ├── cat
        │   └── dog
        └── stone
        >>> taxonomy.names(1), taxonomy.parents(1)
        (('cat', 'dog', 'stone'), tensor([0, 0, 1]))
        >>> taxonomy.target(["animal"]), taxonomy.target(["stone"])
        ([0, -1], [1, 2])
    """

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Taxonomy:
        """Read a file with the keys ``levels`` and ``tree`` (or ``leaves``: a list of paths).

        Every name is the text as written, also ``no``, ``1`` and ``2024-01-01``. Below ``tree`` a key with
        something below it is an inner node; list items and keys with nothing below them are leaves.

        Raises:
            TaxonomyError: naming file and line, if the file cannot be read or is not a taxonomy.
        """
        levels, leaves = files.read_yaml(path)
        try:
            return cls(levels, leaves)
        except TaxonomyError as error:
            raise TaxonomyError(f"{os.fspath(path)}: {error}") from None

    def to_yaml(self, path: str | os.PathLike[str]) -> None:
        """Write a file from which :meth:`from_yaml` makes an equal taxonomy, indices included."""
        files.write_yaml(path, self.levels, self.short_leaves)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Taxonomy:
        """Rebuild the taxonomy of which :meth:`to_dict` returned ``state``."""
        if not isinstance(state, Mapping) or not {"levels", "leaves"} <= set(state):
            raise TaxonomyError(f"expected a dict with the keys 'levels' and 'leaves', got {state!r:.200}")
        return cls(state["levels"], state["leaves"])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return plain dicts, lists and strings, which ``torch.load(weights_only=True)`` can read back."""
        return {"levels": list(self.levels), "leaves": [list(path) for path in self.short_leaves]}

    @classmethod
    def from_paths(cls, paths: Iterable[str], levels: Sequence[str] | None = None, separator: str = "/") -> Taxonomy:
        """Build from leaf paths written as text.

        Args:
            paths: one text per leaf, its names joined by ``separator`` (which no name may contain).
            levels: level names; ``l1, l2, ...`` when not given.
            separator: the text between two names.

        Example:
            >>> Taxonomy.from_paths(["animal/cat", "animal/dog", "stone"])
            Taxonomy(l1 2 > l2 3)
        """
        if isinstance(paths, str):
            raise TaxonomyError(f"expected a list of paths, got the text {paths!r}")
        if not isinstance(separator, str) or not separator:
            raise TaxonomyError(f"expected as separator the text between two names, such as '/', got {separator!r}")
        leaves = []
        for path in paths:
            if not isinstance(path, str):
                raise TaxonomyError(f"expected a path such as 'animal{separator}cat', got {path!r:.60}")
            leaves.append(path.split(separator))
        return cls(build.numbered_levels(leaves) if levels is None else levels, leaves)

    @classmethod
    def from_parents(cls, edges: Iterable[tuple[str, str | None]], levels: Sequence[str] | None = None) -> Taxonomy:
        """Build from pairs (child, parent) in any order; each name is one node.

        Args:
            edges: the pairs; a root is a parent that is the child of no pair, or has the parent ``None``.
            levels: level names; ``l1, l2, ...`` when not given.

        Raises:
            TaxonomyError: a child has two parents, or the parents form a circle.

        Example:
            >>> Taxonomy.from_parents([("cat", "animal"), ("dog", "animal"), ("stone", None)])
            Taxonomy(l1 2 > l2 3)
        """
        leaves = build.leaves_from_parents(edges)
        return cls(build.numbered_levels(leaves) if levels is None else levels, leaves)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Iterable[str | None]], allow_repeated_names: bool = False) -> Taxonomy:
        """Build from the label columns of a table, one column per level, coarse to fine.

        An empty cell (``None``, NaN, blank text) is an unknown label. A label that occurs in no row together
        with a finer one becomes a leaf, carried down. A row may lack coarser labels if its finest one occurs
        in a row without a gap.

        Args:
            columns: level name -> cells; all columns equally long.
            allow_repeated_names: whether a name under two parents is two different classes, or an error.

        Raises:
            TaxonomyError: a name has two parents or a gap cannot be filled; names the rows (from 0) of the first
                contradiction, and the number of contradictions.

        Example:
            >>> Taxonomy.from_columns({"l1": ["a", "a", None, "b"], "l2": ["x", "y", "x", None]}).to_dict()
            {'levels': ['l1', 'l2'], 'leaves': [['a', 'x'], ['a', 'y'], ['b']]}
        """
        leaves, contradictions = build.leaves_from_columns(build.checked_columns(columns), allow_repeated_names)
        build.raise_first(contradictions)
        return cls(list(columns), leaves)

    def targets_from_columns(self, columns: Mapping[str, Iterable[str | None]]) -> Tensor:
        """Targets of a table with a label column for each level, or for some of the levels.

        The finest label of a row decides. Missing coarser ones are filled in, present ones must agree. An
        empty cell (``None``, NaN, blank text) is an unknown label.

        Args:
            columns: level name -> cells; all columns equally long.

        Returns:
            LongTensor[N, n_levels], -1 = unknown.

        Raises:
            TaxonomyError: naming rows (from 0) and column of the first contradiction, and their number.

        Example:
            >>> taxonomy = Taxonomy.from_paths(["animal/cat", "animal/dog", "stone"])
            >>> taxonomy.targets_from_columns({"l1": ["animal", None], "l2": [None, "dog"]})
            tensor([[ 0, -1],
                    [ 0,  1]])
        """
        targets, contradictions = build.targets_from_columns(self, build.checked_columns(columns))
        build.raise_first(contradictions)
        return targets

    def parents(self, level: int, device: torch.device | str = "cpu") -> Tensor:
        """Parents of the classes of ``level >= 1``: LongTensor[sizes[level]] of indices at ``level - 1``."""
        level = self.level_index(level)
        if level == 0:
            raise TaxonomyError(f"the classes of the coarsest level '{self.levels[0]}' have no parents")
        return self.ancestors(level, level - 1, device)

    def ancestors(self, level: int, at: int, device: torch.device | str = "cpu") -> Tensor:
        """Ancestors of the classes of ``level`` at a coarser level.

        Args:
            level: level of the classes.
            at: level of the ancestors, not finer; ``at == level`` gives ``0, 1, 2, ...``.
            device: device of the result.

        Returns:
            LongTensor[sizes[level]] of indices at ``at``; a copy.
        """
        return self._ancestors(level, at, torch.device(device)).clone()

    def lift(self, labels: Tensor, level: int) -> Tensor:
        """Targets of class indices at one level.

        Args:
            labels: integers [B] (or any shape), -1 where the label is unknown.
            level: level of the labels.

        Returns:
            LongTensor[B, n_levels]: coarser levels filled in, finer ones -1 (known for carried leaves); -1
            throughout where the label is -1.

        Raises:
            TaxonomyError: the labels are not integers, or one of them is not a class of the level.
        """
        level = self.level_index(level)
        if labels.dtype == torch.bool or labels.is_floating_point():
            raise TaxonomyError(f"expected class indices (integers), got a tensor of {labels.dtype}")
        labels = labels.long()
        wrong = labels[(labels < -1) | (labels >= self.sizes[level])]
        if wrong.numel():
            raise TaxonomyError(
                f"class index {int(wrong[0])} does not exist at level '{self.levels[level]}': expected 0 to "
                f"{self.sizes[level] - 1}, or -1 for unknown"
            )
        unknown = [-1] * self.n_levels  # the last row, so that the index -1 picks it
        rows = self._cached(("lift", level), labels.device, lambda: [*map(self.target, self.nodes(level)), unknown])
        return rows[labels]

    def sum_up(self, probabilities: Tensor, level: int, to: int) -> Tensor:
        """Sum the probabilities of the classes of ``level`` over each class of a coarser level.

        Args:
            probabilities: Tensor[B, sizes[level]].
            level: level of ``probabilities``.
            to: level of the result, not finer than ``level``.

        Returns:
            Tensor[B, sizes[to]] of the same dtype and device; differentiable.

        Example:
            >>> taxonomy = Taxonomy.from_paths(["animal/cat", "animal/dog", "stone"])
            >>> taxonomy.sum_up(torch.tensor([[0.25, 0.5, 0.25]]), level=1, to=0)
            tensor([[0.7500, 0.2500]])
        """
        ancestors = self._ancestors(level, to, probabilities.device)
        if probabilities.ndim == 0 or probabilities.shape[-1] != len(ancestors):
            raise TaxonomyError(
                f"expected one column per class of level '{self.levels[level]}' ({len(ancestors)}), got a "
                f"tensor of shape {tuple(probabilities.shape)}"
            )
        sums = probabilities.new_zeros(*probabilities.shape[:-1], self.sizes[to])
        return sums.index_add(-1, ancestors, probabilities)

    def show(self) -> str:
        """The whole tree as text, one line per class; a carried leaf is shown once."""
        return "\n".join([repr(self), *files.drawn(self.short_leaves)])

    __str__ = show

    def __repr__(self) -> str:
        pairs = zip(self.levels, self.sizes, strict=True)
        return f"Taxonomy({' > '.join(f'{level} {size}' for level, size in pairs)})"

    def __reduce__(self) -> tuple[type[Taxonomy], tuple[tuple[str, ...], tuple[Path, ...]]]:
        # Copies and other processes rebuild the caches, which may contain tensors on this process's device.
        return type(self), (self.levels, self.leaves)

    @cached_property
    def _tables(self) -> dict[tuple[Hashable, ...], Tensor]:
        return {}

    def _cached(self, key: tuple[Hashable, ...], device: torch.device, rows: Callable[[], list[Any]]) -> Tensor:
        if (*key, device) not in self._tables:
            with torch.inference_mode(False):  # a table made during validation must also serve in training
                table = torch.tensor(rows(), dtype=torch.long, device=device)
            if type(table) is not Tensor or torch.compiler.is_compiling():
                return table  # made while tracing (torch.export, torch.compile): it may hold no values
            self._tables[(*key, device)] = table
        return self._tables[(*key, device)]

    def _ancestors(self, level: int, at: int, device: torch.device) -> Tensor:
        level, at = self.level_index(level), self.level_index(at)
        if at > level:
            raise TaxonomyError(
                f"level '{self.levels[at]}' is finer than level '{self.levels[level]}', but a class has "
                "ancestors at coarser levels only. Swap the two levels"
            )
        return self._cached(
            ("ancestors", level, at),
            device,
            lambda: [self.index(path[: at + 1]) for path in self.nodes(level)],
        )

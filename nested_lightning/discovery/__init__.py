"""Find a taxonomy in the confusions of a shallow classifier (Sec. D)."""

from nested_lightning.discovery.affinity import off_diagonal_masses
from nested_lightning.discovery.confusion import confusion, labelled_rows
from nested_lightning.discovery.discover import Discovery, discover, level_names

__all__ = ["Discovery", "confusion", "discover", "labelled_rows", "level_names", "off_diagonal_masses"]

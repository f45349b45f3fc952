"""Nested learning in PyTorch Lightning: coarse-to-fine classifiers that are only as deep as they can be sure."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nested_lightning.errors import NestedLightningError
from nested_lightning.taxonomy import Taxonomy

if TYPE_CHECKING:
    from nested_lightning.data import HierarchicalDataModule
    from nested_lightning.metrics.predictions import Prediction
    from nested_lightning.module import NestedLightningModule

__all__ = [
    "HierarchicalDataModule",
    "NestedLightningError",
    "NestedLightningModule",
    "Prediction",
    "Taxonomy",
]

# Lightning takes seconds to import: only what needs it pays.
_LAZY = {
    "HierarchicalDataModule": "nested_lightning.data",
    "NestedLightningModule": "nested_lightning.module",
    "Prediction": "nested_lightning.metrics.predictions",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Nested learning in PyTorch Lightning: coarse-to-fine classifiers that are only as deep as they can be confident."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nested_lightning.errors import NestedLightningError

if TYPE_CHECKING:
    from nested_lightning.data import HierarchicalDataModule
    from nested_lightning.metrics.predictions import Prediction
    from nested_lightning.module import NestedLightningModule
    from nested_lightning.taxonomy import Taxonomy

__all__ = [
    "HierarchicalDataModule",
    "NestedLightningError",
    "NestedLightningModule",
    "Prediction",
    "Taxonomy",
]

# Imported at their first use, as torch and Lightning take seconds.
_LAZY = {
    "HierarchicalDataModule": "nested_lightning.data",
    "NestedLightningModule": "nested_lightning.module",
    "Prediction": "nested_lightning.metrics.predictions",
    "Taxonomy": "nested_lightning.taxonomy",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

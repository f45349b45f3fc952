"""Keep and restore the weights of a stage's best epoch."""

from torch import Tensor

from nested_lightning.module import NestedLightningModule


def copy_of_changing(module: NestedLightningModule, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy of ``state`` what a stage changes: trained parameters, and buffers except those of ``fit_inputs``.

    ``state`` is the module's, or that of an average of it. A pruned parameter gets its name from before pruning, and
    masks are left out: restoring the copy does not undo pruning.
    """
    fixed = module.network.fitted_buffers("network.")
    buffers = {name for name, _ in module.named_buffers()}
    masks = {name for name in buffers if name.endswith("_mask") and _original(name) in state}
    pruned = {_original(mask): mask.removesuffix("_mask") for mask in masks}
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    changing = (buffers - fixed - masks) | trained
    return {pruned.get(name, name): value.detach().clone() for name, value in state.items() if name in changing}


def restore(module: NestedLightningModule, best: dict[str, Tensor]) -> None:
    """Load a copy by :func:`copy_of_changing` into the module."""
    names = module.state_dict().keys()
    renamed = {name if name in names else f"{name}_orig": value for name, value in best.items()}
    module.load_state_dict(renamed, strict=False)


def _original(mask: str) -> str:
    """Return the name that pruning gives to the parameter of ``mask``."""
    return f"{mask.removesuffix('_mask')}_orig"

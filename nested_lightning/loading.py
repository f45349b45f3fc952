"""Load a run of the command line in Python: its model and data from a checkpoint."""

from collections.abc import Collection
from os import PathLike
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from nested_lightning.checkpoints.allowlist import refuse_foreign
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.data import HierarchicalDataModule
from nested_lightning.errors import CheckpointError, ConfigurationError, NestedLightningError, mistake_behind
from nested_lightning.module import NestedLightningModule


def load_run(
    path: str | PathLike[str],
    model_class: type[NestedLightningModule] = NestedLightningModule,
    data_class: type[HierarchicalDataModule] = HierarchicalDataModule,
    trusted: Collection[str] = (),
    **data: Any,
) -> tuple[NestedLightningModule, HierarchicalDataModule]:
    """Return the model of a checkpoint that the command line has written, ready to predict, and its data.

    Args:
        path: such as ``RUN/checkpoints/final.ckpt``.
        model_class: the subclass that the run used.
        data_class: the subclass that the run used.
        trusted: import paths of your classes in the run's options, such as ``"my_project.Encoder"``. Apart from these,
            only classes of nested_lightning, torch and torchvision are imported.
        **data: data options that differ from the run's, such as ``source``.

    Returns:
        The module in evaluation mode on the CPU, and the data module, which reads its data on first use.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, not written by the command line, or names classes that
            are not trusted.
        ConfigurationError: ``data`` has an unknown option.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path, map_location="cpu")
    config = checkpoint.get("config")
    if not (isinstance(config, dict) and all(isinstance(config.get(key), dict) for key in ("model", "data"))):
        raise CheckpointError(
            f"{path} does not contain the options of its model and data, as it was not written by the command line: "
            "build both in Python and load its weights into the model (load_state_dict)"
        )
    options = {key: config[key] for key in ("model", "data")}
    options["data"]["taxonomy"] = options["model"]["taxonomy"] = checkpoint.get("taxonomy")
    refuse_foreign(options, trusted, path)
    options["data"] |= data
    built = _build(options, model_class, data_class)
    try:
        built.model.load_state_dict(checkpoint["state_dict"])
        if (state := checkpoint.get(type(built.data).__qualname__)) is not None:
            built.data.load_state_dict(state)
    except NestedLightningError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} was changed after it was written: its parts do not match ({error})") from error
    return built.model.eval(), built.data


def _build(
    options: dict[str, Any], model_class: type[NestedLightningModule], data_class: type[HierarchicalDataModule]
) -> Namespace:
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    parser = ArgumentParser(parser_mode="omegaconf+", exit_on_error=False)
    parser.add_class_arguments(data_class, "data")
    parser.add_class_arguments(model_class, "model")
    try:
        parsed = parser.parse_object(options)
    except ArgumentError as error:
        raise ConfigurationError(
            f"the options of the run, combined with those given, cannot be used: {error}"
        ) from error
    try:
        built: Namespace = parser.instantiate_classes(parsed)
    except Exception as error:
        raise mistake_behind(error) or error from error
    return built

"""The command line: LightningCLI with the cascade, calibration and errors in one line."""

import os
import sys
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from omegaconf.errors import OmegaConfBaseException

from nested_lightning.callbacks import (
    CascadeTraining,
    PredictionWriter,
    RejectionFineTuning,
    Report,
    RunCheckpoint,
    StageProgress,
    TemperatureScaling,
)
from nested_lightning.callbacks.checkpoint import AtomicCheckpointIO
from nested_lightning.data import HierarchicalDataModule
from nested_lightning.errors import CheckpointError, ConfigurationError, NestedLightningError
from nested_lightning.loggers import RunCSVLogger
from nested_lightning.module import NestedLightningModule
from nested_lightning.usage import explain

_SUBCOMMANDS = ("fit", "validate", "test", "predict")


class SaveRunConfig(SaveConfigCallback):
    """Write ``config.yaml`` into the folder of the run, and model and data options into every checkpoint."""

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            os.makedirs(trainer.default_root_dir, exist_ok=True)
            path = os.path.join(trainer.default_root_dir, "config.yaml")
            self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        options = yaml.safe_load(self.parser.dump(self.config, format="yaml"))
        checkpoint["config"] = {
            key: options[key] for key in ("seed_everything", "model", "data") if key in options
        }


class NestedCLI(LightningCLI):
    """LightningCLI for one module class and one data module class; each callback's options are a group."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(CascadeTraining, "cascade")
        parser.add_lightning_class_args(RejectionFineTuning, "rejection")
        parser.add_lightning_class_args(TemperatureScaling, "temperature")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.link_arguments(
            "data", "model.taxonomy", compute_fn=lambda data: data.taxonomy.to_dict(), apply_on="instantiate"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
        except (ArgumentError, OmegaConfBaseException, yaml.YAMLError) as error:
            known = self._subcommand_parsers.get(args[0] if args else "", parser)
            raise ConfigurationError(explain(str(error), [known])) from error

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        options = self._get(self.config_init, "trainer", default={})
        if options.get("logger") in (None, True):
            root = options.get("default_root_dir") or os.getcwd()
            kwargs["logger"] = RunCSVLogger(root) if self.subcommand == "fit" else False
        kwargs["plugins"] = [*(options.get("plugins") or []), AtomicCheckpointIO()]
        return super().instantiate_trainer(**kwargs)


def main(
    args: list[str] | None = None,
    model_class: type[NestedLightningModule] = NestedLightningModule,
    data_class: type[HierarchicalDataModule] = HierarchicalDataModule,
) -> None:
    """Run ``lightning fit|validate|test|predict``; ``args`` defaults to the process's own.

    A subclass of one's own is run by a script of one line that passes it as ``model_class`` or ``data_class``.
    A user's mistake is told in one message, with exit code 2.
    """
    arguments = sys.argv[1:] if args is None else args
    try:
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        parser: dict[str, Any] = {"parser_mode": "omegaconf+", "exit_on_error": False}
        NestedCLI(
            model_class,
            data_class,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"callbacks": [Report(), PredictionWriter(), StageProgress()]},
            parser_kwargs={**parser, **{name: parser for name in _SUBCOMMANDS}},
            seed_everything_default=0,
            args=_with_checkpoint_config(arguments),
        )
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)


def _mistake(error: BaseException | None) -> NestedLightningError | None:
    """Return the user's mistake behind an exception: jsonargparse wraps what fails in building a class."""
    while error is not None and not isinstance(error, NestedLightningError):
        error = error.__cause__
    return error


def _with_checkpoint_config(args: list[str]) -> list[str]:
    """Put a checkpoint's own options before the others, so that it can be used without its recipe."""
    if not args or args[0] not in _SUBCOMMANDS[1:]:
        return args
    for i, argument in enumerate(args):
        name, _, value = argument.partition("=")
        if name == "--ckpt_path":
            path = value or (args[i + 1] if i + 1 < len(args) else "")
            return [args[0], f"--config={_checkpoint_config(path)}", *args[1:]]
    return args


def _checkpoint_config(path: str) -> str:
    if not os.path.isfile(path):
        raise CheckpointError(f"there is no checkpoint {path!r}: --ckpt_path takes the path of a .ckpt file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error})"
        ) from error
    config = dict(checkpoint.get("config", {}))
    if "taxonomy" in checkpoint and "data" in config:
        config["data"] = {**config["data"], "taxonomy": checkpoint["taxonomy"]}
    return str(yaml.safe_dump(config))

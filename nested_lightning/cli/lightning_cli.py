"""LightningCLI with the cascade, calibration and errors in one line."""

import os
import sys
import traceback
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from omegaconf.errors import OmegaConfBaseException

from nested_lightning.callbacks import (
    CascadeTraining,
    Figures,
    PredictionWriter,
    RejectionFineTuning,
    Report,
    RunCheckpoint,
    StageProgress,
    TemperatureScaling,
    WandbRun,
)
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.cli.checkpoint_options import SaveRunConfig, with_checkpoint_options
from nested_lightning.cli.config import open_configs
from nested_lightning.cli.messages import ShortHelp, explain
from nested_lightning.cli.program import resuming_command
from nested_lightning.errors import ConfigurationError, mistake_behind
from nested_lightning.loggers import RunCSVLogger
from nested_lightning.loggers.wandb import keep_wandb_offline

_SUBCOMMANDS = ("fit", "validate", "test", "predict")
_DESCRIPTION = """Classifiers of nested labels, from coarse to fine.
Recipes that come with the package: 'recipes list', and 'recipes copy DEST' to change them.
Trees of labels: 'taxonomy discover', 'taxonomy build', 'taxonomy show' and 'taxonomy check', each with --help.
Runs side by side on one page: 'report RUN [RUN ...]'.
A workspace of Weights & Biases: 'dashboard', with --help."""


class NestedCLI(LightningCLI):
    """LightningCLI for one module class and one data module class; each callback's options are a group."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(CascadeTraining, "cascade")
        parser.add_lightning_class_args(RejectionFineTuning, "rejection")
        parser.add_lightning_class_args(TemperatureScaling, "temperature")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.add_lightning_class_args(Figures, "figures")
        parser.add_lightning_class_args(WandbRun, "wandb")
        parser.link_arguments(
            "data", "model.taxonomy", compute_fn=lambda data: data.taxonomy.to_dict(), apply_on="instantiate"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        if not args:
            parser.print_help()
            sys.exit(2)
        self.resuming = resuming_command(args)
        configs = open_configs(args)
        try:
            self.config = parser.parse_args(with_checkpoint_options(configs))
        except (ArgumentError, OmegaConfBaseException, yaml.YAMLError) as error:
            known = self._subcommand_parsers.get(args[0], parser)
            raise ConfigurationError(explain(str(error), known, configs)) from error
        seed = self.config[self.config.subcommand].seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise ConfigurationError(
                f"{configs.locate('seed_everything')}seed_everything must be at least 0 and below 2**32, got {seed}"
            )

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser: LightningArgumentParser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "test":
            parser.set_defaults({"verbose": False})  # the report prints tables of its own
        return parser

    def _parse_ckpt_path(self) -> None:
        """Keep the options as parsed: Lightning would put a checkpoint's over those that the user has given."""

    def before_instantiate_classes(self) -> None:
        path = self.config[self.subcommand].get("ckpt_path")
        if path is None and self.subcommand != "fit":
            raise ConfigurationError(
                f"{self.subcommand} needs a trained model: add --ckpt_path RUN/checkpoints/final.ckpt"
            )
        if self.subcommand == "fit" and path not in (None, "last"):
            AtomicCheckpointIO().load_checkpoint(path)  # the others have read it for its options
        self._place_loggers(self.config[self.subcommand].trainer)

    @staticmethod
    def _place_loggers(options: Any) -> None:
        """Put this package's loggers into the folder of the run, also with a ``config.yaml`` of another folder.

        ``${trainer.default_root_dir}`` in a recipe would not do: with any ``${...}`` jsonargparse 4.53 writes all
        options out and reads them again, which turns a checkpoint's label "3" into a number.
        """
        loggers = options.logger if isinstance(options.logger, list) else [options.logger]
        for logger in loggers:
            if str(getattr(logger, "class_path", "")).startswith("nested_lightning.loggers."):
                logger.init_args.save_dir = options.default_root_dir or os.getcwd()

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            # Its wrong options are told now, not in the first stage.
            self.model.optimizer([torch.nn.Parameter(torch.zeros(1))])
        except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
            if mistake_behind(error, MisconfigurationException):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigurationError(
                f"a class cannot be built with its options: {error or type(error).__name__} (raised in "
                f"{place.filename}, line {place.lineno}). Correct the options of model and data that it is about"
            ) from error

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        options = self._get(self.config_init, "trainer", default={})
        logger = options.get("logger")
        keep_wandb_offline(logger if isinstance(logger, list) else [logger])
        if logger in (None, True):
            root = options.get("default_root_dir") or os.getcwd()
            kwargs["logger"] = RunCSVLogger(root) if self.subcommand == "fit" else False
        own_bar = any(isinstance(callback, ProgressBar) for callback in options.get("callbacks") or [])
        if own_bar or options.get("enable_progress_bar") is False:
            defaults = self.trainer_defaults["callbacks"]
            self.trainer_defaults["callbacks"] = [c for c in defaults if not isinstance(c, StageProgress)]
        if self.subcommand == "predict" and options.get("devices") == "auto":
            kwargs["devices"] = 1  # rows are answered in input order
        kwargs["plugins"] = [*(options.get("plugins") or []), AtomicCheckpointIO()]
        try:
            return super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise ConfigurationError(f"an option of the group 'trainer' cannot be used: {error}") from error

    def before_fit(self) -> None:
        last = os.path.join(self.trainer.default_root_dir, "checkpoints", "last.ckpt")
        if self.config_init[self.subcommand].ckpt_path == "last" and not os.path.exists(last):
            rank_zero_info(f"There is no {last} to go on with: a new run starts")
        self._get(self.config_init, "checkpoint").how_to_resume = self.resuming


def run_cli(args: list[str], model_class: type[L.LightningModule], data_class: type[L.LightningDataModule]) -> None:
    """Parse the arguments, build what they name, and run the subcommand."""
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    parser: dict[str, Any] = {"parser_mode": "omegaconf+", "exit_on_error": False, "formatter_class": ShortHelp}
    NestedCLI(
        model_class,
        data_class,
        save_config_callback=SaveRunConfig,
        save_config_kwargs={"save_to_log_dir": False},
        trainer_defaults={
            "callbacks": [StageProgress(), Report(), PredictionWriter()],
            "max_epochs": -1,  # the cascade ends itself
            "enable_model_summary": False,
        },
        # Abbreviated options would become other ones when options are added.
        parser_kwargs={
            **parser,
            "allow_abbrev": False,
            "description": _DESCRIPTION,
            **{name: parser for name in _SUBCOMMANDS},
        },
        seed_everything_default=0,
        # The cascade needs the module's own configure_optimizers.
        auto_configure_optimizers=False,
        args=args,
    )

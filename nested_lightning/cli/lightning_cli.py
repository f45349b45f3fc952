"""LightningCLI with the options of the cascade and of calibration, and every mistake in one line."""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
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
from nested_lightning.cli import OTHER_COMMANDS
from nested_lightning.cli.checkpoint_options import SaveRunConfig, with_checkpoint_options
from nested_lightning.cli.config import open_configs
from nested_lightning.cli.messages import ShortHelp, explain
from nested_lightning.data import HierarchicalDataModule
from nested_lightning.errors import ConfigurationError, mistake_behind
from nested_lightning.loggers import RunCSVLogger
from nested_lightning.loggers.wandb import keep_wandb_offline
from nested_lightning.module import NestedLightningModule

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
        parser.add_lightning_class_args(PredictionWriter, "predictions")
        parser.link_arguments(
            "data", "model.taxonomy", compute_fn=lambda data: data.taxonomy.to_dict(), apply_on="instantiate"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        if not args:
            parser.print_help()
            sys.exit(2)
        self.resume_command = resume_command(args)
        configs = open_configs(args)
        try:
            self.config = parser.parse_args(with_checkpoint_options(configs))
        except (ArgumentError, OmegaConfBaseException, yaml.YAMLError) as error:
            known = self._subcommand_parsers.get(args[0], parser)
            raise ConfigurationError(explain(str(error), known, configs, OTHER_COMMANDS)) from error
        seed = self.config[self.config.subcommand].seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise ConfigurationError(
                f"{configs.locate('seed_everything')}seed_everything must be at least 0 and below 2**32, got {seed}"
            )

    def _parse_ckpt_path(self) -> None:
        """Keep the options as parsed: Lightning would put a checkpoint's over those that the user has given."""

    def before_instantiate_classes(self) -> None:
        options = self.config[self.subcommand]
        path = options.get("ckpt_path")
        if path is None and self.subcommand != "fit":
            raise ConfigurationError(
                f"{self.subcommand} needs a trained model: add --ckpt_path RUN/checkpoints/final.ckpt"
            )
        if self.subcommand == "fit" and path not in (None, "last"):
            AtomicCheckpointIO().load_checkpoint(path)  # the others have read it for its options
        # Loggers of this package write into the folder of the run, also with a config.yaml of another folder.
        # ${trainer.default_root_dir} in a recipe would not do: with any ${...} jsonargparse 4.53 writes all options
        # out and reads them again, which turns a checkpoint's label "3" into a number.
        for logger in _as_list(options.trainer.logger):
            if str(getattr(logger, "class_path", "")).startswith("nested_lightning.loggers."):
                logger.init_args.save_dir = options.trainer.default_root_dir or os.getcwd()

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            # Fails now if its options are wrong, not in the first stage.
            self.model.optimizer([torch.nn.Parameter(torch.zeros(1))])
        except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
            if mistake_behind(error, MisconfigurationException):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigurationError(
                f"a class cannot be built with its options: {error or type(error).__name__} (raised in "
                f"{place.filename}, line {place.lineno}). Correct the options that it is about"
            ) from error

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        options = self.config_init[self.subcommand].trainer
        keep_wandb_offline(_as_list(options.logger))
        if options.logger in (None, True):
            root = options.default_root_dir or os.getcwd()
            kwargs["logger"] = RunCSVLogger(root) if self.subcommand == "fit" else False
        has_bar = any(isinstance(callback, ProgressBar) for callback in _as_list(options.callbacks))
        if has_bar or options.enable_progress_bar is False:
            defaults = self.trainer_defaults["callbacks"]
            self.trainer_defaults["callbacks"] = [c for c in defaults if not isinstance(c, StageProgress)]
        if self.subcommand == "predict" and options.devices == "auto":
            kwargs["devices"] = 1  # keeps the predictions in input order
        return super().instantiate_trainer(**kwargs, plugins=[*_as_list(options.plugins), AtomicCheckpointIO()])

    def before_fit(self) -> None:
        options = self.config_init[self.subcommand]
        last = os.path.join(self.trainer.default_root_dir, "checkpoints", "last.ckpt")
        if options.ckpt_path == "last" and not os.path.exists(last):
            rank_zero_info(f"There is no {last} to resume from: a new run starts")
        options.checkpoint.how_to_resume = self.resume_command


def run_cli(
    args: list[str],
    model_class: type[L.LightningModule] | None = None,
    data_class: type[L.LightningDataModule] | None = None,
) -> None:
    """Parse the arguments, build the classes that they name, and run the subcommand.

    Raises:
        SystemExit: with 143 if the run was asked to end by SIGTERM.
    """
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    parser: dict[str, Any] = {"parser_mode": "omegaconf+", "exit_on_error": False, "formatter_class": ShortHelp}
    # Abbreviated options would change their meaning when options are added.
    whole = {**parser, "allow_abbrev": False, "description": _DESCRIPTION}
    try:
        NestedCLI(
            model_class or NestedLightningModule,
            data_class or HierarchicalDataModule,
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={
                "callbacks": [StageProgress(), Report()],
                "max_epochs": -1,  # the cascade ends the run
                "enable_model_summary": False,
            },
            parser_kwargs={**whole, **dict.fromkeys(NestedCLI.subcommands(), parser)},
            seed_everything_default=0,
            auto_configure_optimizers=False,  # the cascade needs the module's own configure_optimizers
            # The report prints the metrics of a test; a later --verbose has the last word.
            args=[args[0], "--verbose=false", *args[1:]] if args[:1] == ["test"] else args,
        )
    except SIGTERMException:
        # Lightning kills the run's first process as soon as it sees that another has failed.
        sys.exit(143 if rank_zero_only.rank == 0 else 0)  # type: ignore[attr-defined]


def resume_command(args: Sequence[str]) -> str:
    """Return the command that resumes the run of these arguments.

    Example:
        >>> resume_command(["fit", "--config", "my recipe.yaml"]).split(" ", 1)[1]
        "fit --config 'my recipe.yaml' --ckpt_path last"
    """
    started = PurePath(sys.argv[0])
    program = "nested-lightning" if started.suffix != ".py" or started.stem == "__main__" else f"python {started}"
    is_given = any(argument.split("=")[0] == "--ckpt_path" for argument in args)
    return f"{program} {shlex.join([*args, *([] if is_given else ['--ckpt_path', 'last'])])}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]

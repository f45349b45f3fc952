"""The command line: LightningCLI with the cascade, calibration and errors in one line."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import Any

import lightning as L
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
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
from nested_lightning.callbacks.checkpoint import AtomicCheckpointIO
from nested_lightning.callbacks.wandb_run import log_options, wandb_run
from nested_lightning.config_files import open_configs
from nested_lightning.dashboard_command import dashboard_command
from nested_lightning.data import HierarchicalDataModule
from nested_lightning.errors import ConfigurationError, NestedLightningError
from nested_lightning.loggers import RunCSVLogger, keep_wandb_offline
from nested_lightning.module import NestedLightningModule, as_nested
from nested_lightning.quiet import quietly
from nested_lightning.report_command import report_command
from nested_lightning.resources import recipes_command
from nested_lightning.taxonomy_command import taxonomy_command
from nested_lightning.usage import ShortHelp, explain

_SUBCOMMANDS = ("fit", "validate", "test", "predict")
_DESCRIPTION = """Classifiers of nested labels, from coarse to fine.
Recipes that come with the package: 'recipes list', and 'recipes copy DEST' to change them.
Trees of labels: 'taxonomy discover', 'taxonomy build', 'taxonomy show' and 'taxonomy check', each with --help.
Runs side by side on one page: 'report RUN [RUN ...]'.
A workspace of Weights & Biases: 'dashboard', with --help."""
_OTHER_COMMANDS = {
    "dashboard": dashboard_command,
    "recipes": recipes_command,
    "report": report_command,
    "taxonomy": taxonomy_command,
}

_INTERRUPTED = 128 + signal.SIGINT


class SaveRunConfig(SaveConfigCallback):
    """Write ``config.yaml`` into the folder of the run, and model and data options into every checkpoint."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Do nothing yet: a run that cannot start must leave nothing behind."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")
            parameters = sum(parameter.numel() for parameter in pl_module.parameters())
            rank_zero_info(f"{as_nested(pl_module).taxonomy!r}, {parameters:,} parameters, on {pl_module.device}")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        path = os.path.join(trainer.default_root_dir, "config.yaml")
        try:
            os.makedirs(trainer.default_root_dir, exist_ok=True)
            self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be written ({error.strerror}): choose another --trainer.default_root_dir"
            ) from error
        if run := wandb_run(trainer):
            log_options(run, path)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self._options

    @cached_property
    def _options(self) -> dict[str, Any]:
        """The options that a checkpoint holds; dumping them at every save would take 90 ms each time."""
        options = yaml.safe_load(self.parser.dump(self.config, format="yaml"))
        return {key: options[key] for key in ("seed_everything", "model", "data") if key in options}


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
            self.config = parser.parse_args(_with_checkpoint_config(configs.args))
        except (ArgumentError, OmegaConfBaseException, yaml.YAMLError) as error:
            known = self._subcommand_parsers.get(args[0], parser)
            raise ConfigurationError(explain(str(error), known, configs)) from error

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
        if path not in (None, "last"):
            AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
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
        self._get(self.config_init, "checkpoint").how_to_go_on = self.resuming


def main(
    args: Sequence[str] | None = None,
    model_class: type[NestedLightningModule] = NestedLightningModule,
    data_class: type[HierarchicalDataModule] = HierarchicalDataModule,
) -> None:
    """Run ``lightning fit|validate|test|predict``, or another command; ``args`` defaults to the process's own.

    A subclass of one's own is run by a script of one line that passes it as ``model_class`` or ``data_class``.
    A user's mistake is told in one message, with exit code 2.
    """
    if args is None:
        warn_of_other_command()
    arguments = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # classes of one's own beside the recipe are found, as with python -m
    try:
        if other := _OTHER_COMMANDS.get("".join(arguments[:1])):
            other(arguments[1:])
            return
        with quietly():
            _run(arguments, model_class, data_class)
    except SystemExit as end:
        # Lightning makes a failure (1) of Ctrl-C; scripts tell it from one by this code.
        sys.exit(_INTERRUPTED if isinstance(end.__context__, KeyboardInterrupt) else end.code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {' '.join(str(mistake).split())}", file=sys.stderr)
        sys.exit(2)


def _run(args: list[str], model_class: type[L.LightningModule], data_class: type[L.LightningDataModule]) -> None:
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


def resuming_command(args: Sequence[str]) -> str:
    """Return the command that goes on with the run of these arguments.

    Example:
        >>> resuming_command(["fit", "--config", "my recipe.yaml"]).split(" ", 1)[1]
        "fit --config 'my recipe.yaml' --ckpt_path last"
    """
    started = PurePath(sys.argv[0])
    program = "nested-lightning" if started.suffix != ".py" or started.stem == "__main__" else f"python {started}"
    there = any(argument.split("=")[0] == "--ckpt_path" for argument in args)
    return f"{program} {shlex.join([*args, *([] if there else ['--ckpt_path', 'last'])])}"


def warn_of_other_command() -> None:
    """Warn when this process was started as ``lightning`` while another package installs that name, too."""
    if PurePath(sys.argv[0]).stem != "lightning":
        return
    others = [
        entry.dist.name
        for entry in entry_points(group="console_scripts", name="lightning")
        if entry.dist is not None and not entry.value.startswith("nested_lightning.")
    ]
    if others:
        print(
            f"warning: the package {others[0]} installs a command 'lightning', too, and may replace this one when "
            "it is updated: use 'nested-lightning' instead",
            file=sys.stderr,
        )


def _mistake(error: BaseException | None) -> BaseException | None:
    """Return the user's mistake behind an exception: jsonargparse wraps what fails in building a class."""
    while error is not None and not isinstance(error, (NestedLightningError, MisconfigurationException)):
        error = error.__cause__
    return error


def _with_checkpoint_config(args: list[str]) -> list[str]:
    """Put a checkpoint's own options before the others, so that it can be used without its recipe."""
    if args[0] not in _SUBCOMMANDS[1:]:
        return args
    for i, argument in enumerate(args):
        name, _, value = argument.partition("=")
        if name == "--ckpt_path" and (path := value or "".join(args[i + 1 : i + 2])):
            return [args[0], f"--config={_checkpoint_config(path)}", *args[1:]]
    return args


def _checkpoint_config(path: str) -> str:
    checkpoint = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    config = dict(checkpoint.get("config", {}))
    if "taxonomy" in checkpoint and "data" in config:
        config["data"] = {**config["data"], "taxonomy": checkpoint["taxonomy"]}
    return yaml.safe_dump(config)

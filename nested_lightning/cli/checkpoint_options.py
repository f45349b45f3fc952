"""Save the options of a run in its folder and its checkpoints, and read them back."""

import os
from collections.abc import Collection
from functools import cached_property
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from nested_lightning.callbacks.wandb import log_options, wandb_run
from nested_lightning.checkpoints.allowlist import refuse_foreign
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.cli.config import Configs
from nested_lightning.errors import CheckpointError
from nested_lightning.module import as_nested
from nested_lightning.utils.files import replacing

_SAVED = ("seed_everything", "model", "data")


class SaveRunConfig(SaveConfigCallback):
    """Write ``config.yaml`` into the folder of the run, and the options of model and data into every checkpoint."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Do nothing yet: a run that fails to start must not leave files behind."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")
            parameters = sum(parameter.numel() for parameter in pl_module.parameters())
            rank_zero_info(f"{as_nested(pl_module).taxonomy!r}, {parameters:,} parameters, on {pl_module.device}")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        path = os.path.join(trainer.default_root_dir, "config.yaml")
        with replacing(path) as beside:
            self.parser.save(self.config, beside, skip_unset=False, overwrite=True, multifile=False)
        if run := wandb_run(trainer):
            log_options(run, path)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self._options

    @cached_property
    def _options(self) -> dict[str, Any]:
        """The options of seed, model and data saved in checkpoints; cached, because the YAML dump takes 90 ms."""
        options = yaml.safe_load(self.parser.dump(self.config, format="yaml"))
        return {key: options[key] for key in _SAVED if key in options}


def with_checkpoint_options(configs: Configs) -> list[str]:
    """Return the arguments with the checkpoint's options before the others, so that no recipe is needed."""
    args = configs.args
    if args[0] == "fit":
        return args
    for i, argument in enumerate(args):
        name, _, value = argument.partition("=")
        if name == "--ckpt_path" and (path := value or "".join(args[i + 1 : i + 2])):
            return [args[0], f"--config={_checkpoint_options(path, configs.words())}", *args[1:]]
    return args


def _checkpoint_options(path: str, trusted: Collection[str]) -> str:
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    saved = checkpoint.get("config", {})
    if not isinstance(saved, dict):
        raise CheckpointError(
            f"{path} was changed after it was written: expected a dict of options, got {type(saved).__name__}"
        )
    config = {key: value for key, value in saved.items() if key in _SAVED}
    refuse_foreign(config, trusted, path)
    if "taxonomy" in checkpoint and "data" in config:
        config["data"] = {**config["data"], "taxonomy": checkpoint["taxonomy"]}
    return yaml.safe_dump(config)

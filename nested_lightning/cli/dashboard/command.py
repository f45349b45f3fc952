"""Options of ``lightning dashboard``, and what becomes of the workspace: it is saved, or printed."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nested_lightning.cli.dashboard.levels import distortions_of, levels_of_recipe, levels_of_run
from nested_lightning.cli.parser import CommandParser
from nested_lightning.errors import ConfigurationError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

_DESCRIPTION = (
    "Save a workspace of Weights & Biases for runs of this package: their levels, stages, calibration and distortions, "
    "and nested, traditional and end-to-end training side by side. It shows what runs the project has, or will have."
)


def dashboard_command(args: list[str]) -> None:
    """Run ``dashboard --entity E --project P (--config RECIPE | --run RUN) [--dry-run]``.

    Raises:
        ConfigurationError: a mistake in the options; the extra ``dashboards`` is not installed; W&B has no account
            here, or refuses the workspace.
        SystemExit: after ``--help``.
    """
    parser = CommandParser("nested-lightning dashboard", description=_DESCRIPTION)
    parser.add_argument("--entity", required=True, metavar="E", help="user or team of W&B")
    parser.add_argument("--project", required=True, metavar="P", help="its project with the runs (nested-lightning)")
    levels = parser.add_mutually_exclusive_group(required=True)
    levels.add_argument("--config", metavar="RECIPE", help="the recipe of the runs, or their taxonomy: has the levels")
    levels.add_argument("--run", type=Path, metavar="RUN", help="the folder of one of the runs: has the levels")
    parser.add_argument(
        "--distortions",
        default="recipes/evaluation/distortions.yaml",
        metavar="FILE",
        help="the overlay that the runs were tested with (%(default)s)",
    )
    parser.add_argument("--name", default="nested learning", metavar="NAME", help="of the workspace (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the specification as JSON; needs no account")
    options = parser.parse_args(args or ["--help"])
    names = levels_of_run(options.run) if options.run else levels_of_recipe(options.config)
    if find_spec("wandb_workspaces") is None:
        raise ConfigurationError(
            "the dashboard is built by the package wandb-workspaces, which is not installed: "
            "pip install 'nested-lightning[dashboards]'"
        )
    from nested_lightning.cli.dashboard.workspace import build_workspace, specification

    workspace = build_workspace(
        options.entity, options.project, names, distortions_of(options.distortions), options.name
    )
    if options.dry_run:
        print(json.dumps(specification(workspace), indent=2))
    else:
        _save(workspace)


def _save(workspace: "Workspace") -> None:
    from nested_lightning.loggers.wandb import wandb_account

    if not wandb_account():
        raise ConfigurationError(
            "W&B does not know you here: run 'wandb login' once, or set WANDB_API_KEY. --dry-run prints the workspace "
            "without an account"
        )
    try:
        saved: Any = workspace.save()
        print(f"Workspace: {saved.url}")
    except Exception as error:  # whatever its client makes of an answer, or of none
        raise ConfigurationError(
            f"W&B did not save the workspace ({type(error).__name__}: {error}): check --entity {workspace.entity}, "
            f"--project {workspace.project} and the network"
        ) from error

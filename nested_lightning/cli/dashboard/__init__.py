"""The command ``dashboard``: save or print a workspace of Weights & Biases."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nested_lightning.cli.parser import run_command
from nested_lightning.errors import ConfigurationError


def dashboard_command(args: list[str]) -> None:
    """Run ``dashboard --entity E --project P (--config RECIPE | --run RUN) [--dry-run]``."""
    run_command(dashboard, args or ["--help"], "nested-lightning dashboard")


def dashboard(
    *,
    entity: str,
    project: str,
    config: str | None = None,
    run: Path | None = None,
    distortions: str = "recipes/evaluation/distortions.yaml",
    name: str = "nested learning",
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Save a workspace of Weights & Biases for the runs of a project, finished or yet to come.

    It shows their levels, stages, calibration and distortions, and compares nested, traditional and end-to-end
    training. One of --config and --run gives the levels.

    Args:
        entity: user or team of W&B
        project: its project with the runs (nested-lightning)
        config: the recipe of the runs, or their taxonomy
        run: the folder of one of the runs
        distortions: the overlay that the runs were tested with
        name: of the workspace
        dry_run: print the names of the panels instead of saving; needs no account
        as_json: print the whole specification, as JSON, instead of saving; needs no account
    """
    if (config is None) == (run is None):
        raise ConfigurationError("nested-lightning dashboard: give the levels by one of --config RECIPE and --run RUN")
    levels = _levels_of_run(run) if run is not None else _levels_of_recipe(config or "")
    if find_spec("wandb_workspaces") is None:
        raise ConfigurationError(
            "the dashboard needs the package wandb-workspaces, which is not installed: "
            "pip install 'nested-lightning[dashboards]'"
        )
    from nested_lightning.cli.dashboard.workspace import build_workspace, specification
    from nested_lightning.loggers.wandb import wandb_account

    tested = list((_options(distortions).get("data") or {}).get("distortions") or {})
    if not tested:
        raise ConfigurationError(
            f"{distortions} has no data.distortions: give an overlay such as evaluation/distortions.yaml"
        )
    workspace = build_workspace(entity, project, levels, tested, name)
    if as_json or dry_run:
        print(json.dumps(specification(workspace), indent=2) if as_json else _sections(workspace))
        return
    if not wandb_account():
        raise ConfigurationError(
            "W&B has no account on this machine: run 'wandb login' once, or set WANDB_API_KEY. --dry-run prints the "
            "workspace without an account"
        )
    try:
        saved: Any = workspace.save()
    except Exception as error:  # W&B's client documents none
        raise ConfigurationError(
            f"W&B did not save the workspace ({type(error).__name__}: {error}): check --entity {entity}, "
            f"--project {project} and the network"
        ) from error
    print(f"Workspace: {saved.url}")


def _sections(workspace: Any) -> str:
    lines = [f"Workspace {workspace.name!r} in {workspace.entity}/{workspace.project}, not saved:"]
    for section in workspace.sections:
        titles = [getattr(panel, "title", None) or type(panel).__name__ for panel in section.panels]
        lines.append(f"  {section.name}: {', '.join(titles)}")
    return "\n".join(lines)


def _levels_of_recipe(file: str) -> list[str]:
    """Return the level names of a recipe or a taxonomy file, coarse to fine."""
    from nested_lightning.data.labels import load_taxonomy

    content = _options(file)
    data = content.get("data") or {}
    if "levels" not in content and data.get("taxonomy") is not None:
        return list(load_taxonomy(data["taxonomy"]).levels)
    for names in (content.get("levels"), data.get("levels"), data.get("label_columns")):
        if isinstance(names, list):
            return list(map(str, names))
    raise ConfigurationError(
        f"{file} does not give the levels: choose a recipe with data.taxonomy or a list of data.label_columns, a "
        "taxonomy file, or the folder of a run with --run"
    )


def _levels_of_run(folder: Path) -> list[str]:
    """Return the level names in a run's checkpoint, coarse to fine."""
    from nested_lightning.checkpoints.io import AtomicCheckpointIO
    from nested_lightning.taxonomy import Taxonomy

    files = [folder / "checkpoints" / f"{name}.ckpt" for name in ("final", "last")]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        raise ConfigurationError(f"{folder} is not the folder of a run: it has neither {files[0]} nor {files[1]}")
    checkpoint = AtomicCheckpointIO().load_checkpoint(file, map_location="cpu", weights_only=True)
    if "taxonomy" not in checkpoint:
        raise ConfigurationError(f"{file} has no taxonomy: it was not written by this package")
    return list(Taxonomy.from_dict(checkpoint["taxonomy"]).levels)


def _options(file: str) -> dict[str, Any]:
    from nested_lightning.cli.config import open_configs

    return open_configs(["--config", file]).files[0].options

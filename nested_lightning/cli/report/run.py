"""What a finished run has left, read for the report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nested_lightning.errors import ConfigurationError


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: how the page calls it, different for all runs.
        folder: where it is.
        summary: what ``summary.json`` holds.
        settings: by dotted name what ``config.yaml`` holds; empty for runs made in Python.
        figures: files by name, such as ``uncalibrated/reliability``.
        tests: what was measured under distortions; empty if nothing was.
    """

    name: str
    folder: Path
    summary: dict[str, Any]
    settings: dict[str, str]
    figures: dict[str, Path]
    tests: list[dict[str, Any]]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs in the folders.

    Raises:
        ConfigurationError: a folder is given twice, is no run or is not finished, or a file of it cannot be read.
    """
    absolute = [folder.resolve() for folder in folders]
    if twice := [folder for folder, path in zip(folders, absolute, strict=True) if absolute.count(path) > 1]:
        raise ConfigurationError(f"{twice[0]} is given twice: name each run once")
    return [_read(folder, name) for folder, name in zip(folders, _names(absolute), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return as few of the last parts of each path as make all names different."""
    for parts in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return list(map(str, paths))


def _read(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: give the folders of runs (--trainer.default_root_dir)")
    checkpoints = folder / "checkpoints"
    if not (folder / "summary.json").is_file():
        if (checkpoints / "last.ckpt").exists() and not (checkpoints / "final.ckpt").exists():
            raise ConfigurationError(f"the run in {folder} is not finished: go on with it by fit --ckpt_path last")
        raise ConfigurationError(
            f"{folder} is no finished run: it has no summary.json, which fit writes at its end, and in Python the "
            "callback Figures"
        )
    summary = _loaded(folder / "summary.json")
    if not isinstance(summary, dict) or not {"levels", "after", "epochs"} <= summary.keys():
        raise ConfigurationError(f"{folder / 'summary.json'} is not what fit writes: finish the run anew")
    config, distortions = folder / "config.yaml", folder / "figures" / "distortions.json"
    pictures = {path.relative_to(folder / "figures"): path for path in sorted((folder / "figures").rglob("*.png"))}
    return Run(
        name,
        folder,
        summary,
        flattened(_loaded(config) or {}) if config.exists() else {},
        {path.with_suffix("").as_posix(): file for path, file in pictures.items()},
        _loaded(distortions)["tests"] if distortions.exists() else [],
    )


def _loaded(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"{file} cannot be read ({reason}): it is damaged, or something else") from error


def flattened(settings: Any, above: str = "") -> dict[str, str]:
    """Return nested settings by dotted name, values as text.

    Example:
        >>> flattened({"data": {"source": "digits", "budgets": [1, 2]}, "seed": None})
        {'data.source': 'digits', 'data.budgets': '[1, 2]', 'seed': 'null'}
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= flattened(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat

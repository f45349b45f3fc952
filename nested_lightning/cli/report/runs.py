"""Read the files of finished runs for the report."""

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
        name: its name on the page, different for all runs.
        folder: where it is.
        summary: the content of ``summary.json``.
        settings: the content of ``config.yaml`` by dotted name; empty for runs made in Python.
        figures: files by name, such as ``uncalibrated/reliability``.
        tests: the metrics under each distortion; empty if none were measured.
    """

    name: str
    folder: Path
    summary: dict[str, Any]
    settings: dict[str, str]
    figures: dict[str, Path]
    tests: list[dict[str, Any]]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs in the folders, named by as few of the last parts of their paths as tell them apart.

    Raises:
        ConfigurationError: a folder is given twice or is not a finished run, or a file in it cannot be read.
    """
    paths = [folder.resolve() for folder in folders]
    if repeated := [folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]:
        raise ConfigurationError(f"{repeated[0]} is given twice: name each run once")
    parts, names = 0, [""]
    while len(set(names)) < len(paths) or not all(names):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in paths]
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def _read(folder: Path, name: str) -> Run:
    summary_file, checkpoints = folder / "summary.json", folder / "checkpoints"
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: give the folders of runs (--trainer.default_root_dir)")
    if not summary_file.is_file():
        if (checkpoints / "last.ckpt").exists() and not (checkpoints / "final.ckpt").exists():
            raise ConfigurationError(f"the run in {folder} is not finished: resume it with fit --ckpt_path last")
        raise ConfigurationError(
            f"{folder} is not a finished run: it has no summary.json, which fit writes at its end, and in Python the "
            "callback Figures"
        )
    summary = _content(summary_file)
    if not isinstance(summary, dict) or not {"levels", "after", "epochs"} <= summary.keys():
        raise ConfigurationError(f"{summary_file} was not written by fit: train the run again")
    config, figures = folder / "config.yaml", folder / "figures"
    tests = figures / "distortions.json"
    return Run(
        name,
        folder,
        summary,
        settings=flattened(_content(config) or {}) if config.exists() else {},
        figures={p.relative_to(figures).with_suffix("").as_posix(): p for p in sorted(figures.rglob("*.png"))},
        tests=_content(tests)["tests"] if tests.exists() else [],
    )


def _content(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"{file} cannot be read ({reason}): it is damaged, or another kind of file") from error


def flattened(settings: dict[str, Any], above: str = "") -> dict[str, str]:
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

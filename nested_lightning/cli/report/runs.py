"""Read the files of finished runs for the report."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from nested_lightning.errors import ConfigurationError
from nested_lightning.utils.yaml import compose

_SUMMARY: dict[str, Any] = {
    **dict.fromkeys(("levels", "classes", "epochs"), list),
    **dict.fromkeys(("before", "after", "versions"), dict),
    **dict.fromkeys(("rows", "parameters", "seed"), int),
    **{"split": str, "seconds": (int, float)},
}
_MOST_BYTES = 50_000_000
_MOST_PIXELS = 50_000_000  # a browser needs four bytes for each


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
    if not summary_file.exists():
        if (checkpoints / "last.ckpt").exists() and not (checkpoints / "final.ckpt").exists():
            raise ConfigurationError(f"the run in {folder} is not finished: resume it with fit --ckpt_path last")
        raise ConfigurationError(
            f"{folder} is not a finished run: it has no summary.json, which fit writes at its end, and in Python the "
            "callback Figures"
        )
    summary = _content(folder, summary_file)
    if not (
        isinstance(summary, dict)
        and all(isinstance(summary.get(key), kind) for key, kind in _SUMMARY.items())
        and len(summary["levels"]) == len(summary["classes"])
        and all(isinstance(epoch, dict) and isinstance(epoch.get("stage"), str) for epoch in summary["epochs"])
        and _are_metrics(summary["before"], summary["after"])
    ):
        raise ConfigurationError(f"{summary_file} was not written by fit: train the run again")
    config, tests_file = folder / "config.yaml", folder / "figures" / "distortions.json"
    settings = (_content(folder, config) or {}) if config.exists() else {}
    if not isinstance(settings, dict):
        raise ConfigurationError(f"{config} holds no options: it is not the file that fit writes")
    tests = _content(folder, tests_file) if tests_file.exists() else {"tests": []}
    try:
        is_written_by_fit = _are_metrics(*(test["metrics"] for test in tests["tests"]), *(
            {"strength": test["strength"]} for test in tests["tests"] if isinstance(test["name"], str)
        ))  # fmt: skip
    except (KeyError, TypeError):
        is_written_by_fit = False
    if not is_written_by_fit:
        raise ConfigurationError(f"{tests_file} was not written by test: measure the distortions again")
    return Run(name, folder, summary, flattened(settings), _figures(folder), tests["tests"])


def _figures(folder: Path) -> dict[str, Path]:
    """Return the figures of a run by name, and warn of those that cannot be shown."""
    root = folder / "figures"
    problems = {file: _problem(folder, file) for file in sorted(root.rglob("*.png"))}
    if bad := [f"{file.relative_to(folder)} {problem}" for file, problem in problems.items() if problem]:
        more = f", and {len(bad) - 3} more" if len(bad) > 3 else ""
        warnings.warn(
            f"{len(bad)} of {len(problems)} figures of {folder} are left out: {', '.join(bad[:3])}{more}", stacklevel=2
        )
    return {f.relative_to(root).with_suffix("").as_posix(): f for f, problem in problems.items() if not problem}


def _problem(folder: Path, file: Path) -> str:
    if not _is_in(folder, file):
        return "is a link out of the folder, or not a file"
    if file.stat().st_size > _MOST_BYTES:
        return f"has more than {_MOST_BYTES // 1_000_000} MB"
    try:
        with warnings.catch_warnings(), Image.open(file, formats=["PNG"]) as picture:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            pixels = picture.width * picture.height
    except Image.DecompressionBombError:
        pixels = _MOST_PIXELS + 1
    except (OSError, ValueError, SyntaxError):
        return "is not a PNG file"
    return f"has more than {_MOST_PIXELS // 1_000_000} million pixels" if pixels > _MOST_PIXELS else ""


def _is_in(folder: Path, file: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(folder.resolve())


def _are_metrics(*metrics: Any) -> bool:
    """Return whether these are dicts of numbers, or of None for what is unknown."""
    return all(
        isinstance(of, dict) and all(value is None or isinstance(value, int | float) for value in of.values())
        for of in metrics
    )


def _content(folder: Path, file: Path) -> Any:
    if not _is_in(folder, file):
        raise ConfigurationError(f"{file} is a link out of the run's folder, or not a file: copy the file in its place")
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            return json.loads(text)
        compose(text, yaml.SafeLoader)  # refuses aliases that would not fit into memory
        return yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or type(error).__name__
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
            text = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)
            )
            flat[f"{above}{key}"] = text
    return flat

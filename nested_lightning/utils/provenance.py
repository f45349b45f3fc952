"""Record where a run comes from: its seed, the versions of its packages and the revision of its code."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nested_lightning.utils.random import run_seed

_PACKAGES = ("nested-lightning", "torch", "lightning", "torchmetrics", "datasets")


def provenance() -> dict[str, Any]:
    """Return what is needed, besides options and data, to reproduce the run.

    Returns:
        ``seed`` of the run; ``versions`` of Python and packages, by name; ``git_revision`` of the working directory,
        followed by ``-dirty`` if tracked files were changed, or None if it is not a git checkout.
    """
    return {"seed": run_seed(), "versions": _versions(), "git_revision": _git_revision()}


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that is not installed
            found[package] = "not installed"
    return found


@cache
def _git_revision() -> str | None:
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None

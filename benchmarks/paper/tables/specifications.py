"""The tables that are described in YAML beside this file."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def specifications(file: str) -> dict[str, Any]:
    """Return the tables of ``distortions.yaml`` or ``levels.yaml``, by name."""
    return dict(yaml.safe_load(Path(__file__).with_name(file).read_text(encoding="utf-8")))

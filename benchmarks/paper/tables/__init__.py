"""One module per kind of table or figure; each registers its commands with ``@table`` or ``@figure``."""

import importlib
import pkgutil
import re

from benchmarks.paper.commands import REGISTERED

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

_GROUPS = ("budgets", "comparison", "table", "neighbours", "figure", "reliability", "tuning")


def _position(name: str) -> tuple[int, str]:
    group, number = re.findall("^([a-z]*)([^_]*)", name)[0]
    return (*_GROUPS, group).index(group), number


COMMANDS = {name: REGISTERED[name] for name in sorted(REGISTERED, key=_position)}
"""By name, in the order of docs/results.md; those of one number stay in the order in which they are registered."""

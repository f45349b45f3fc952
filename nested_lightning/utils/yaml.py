"""Parse YAML from other people: refuse what would fill the memory."""

from typing import Any

import yaml

_DEEPEST = 100
_MOST_FROM_ALIASES = 100_000


def compose(text: str, loader: Any) -> yaml.Node | None:
    """Return the root node of a text like ``yaml.compose``, None if it is empty, but refuse YAML bombs.

    Raises:
        yaml.YAMLError: it is not YAML, is nested more than 100 deep, or its aliases, written out, would be more than
            100,000 values or contain themselves.
    """
    sizes: dict[str | None, int] = {}  # values below each anchor, aliases in it written out
    above: list[tuple[str | None, int]] = []  # of each open list or mapping: its anchor, and the values before it
    total = from_aliases = 0
    for event in yaml.parse(text, Loader=loader):  # events come one by one however deep they are nested
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = above.pop()
            sizes |= {anchor: total - before} if anchor else {}
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes and any(anchor == event.anchor for anchor, _ in above):
                raise _refused(f"the alias *{event.anchor} contains itself", event)
            total += sizes.get(event.anchor, 0)
            from_aliases += sizes.get(event.anchor, 0)
        if len(above) > _DEEPEST:
            raise _refused(f"it is nested more than {_DEEPEST} deep", event)
        if from_aliases > _MOST_FROM_ALIASES:
            raise _refused(f"its aliases stand for more than {_MOST_FROM_ALIASES:,} values", event)
    root: yaml.Node | None = yaml.compose(text, Loader=loader)
    return root


def _refused(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

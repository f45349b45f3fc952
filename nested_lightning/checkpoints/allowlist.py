"""Check the names in a checkpoint's options: a file from somebody else must not choose which code runs here."""

import re
from collections.abc import Collection, Iterator, Mapping
from os import PathLike
from pkgutil import resolve_name
from typing import Any

from nested_lightning.errors import CheckpointError

_TORCHVISION = ("torchvision.models.", "torchvision.ops.", "torchvision.transforms.")
_KNOWN = ("nested_lightning.", "torch.nn.", "torch.optim.", *_TORCHVISION)
# A name to import, or a file of options.
_CODE = re.compile(r"[^\W\d]\w*(\.\w+)+|.*\.(ya?ml|json)", re.DOTALL)
_TEXTS = ("data.source", "data.taxonomy", "data.input_column", "data.label_columns", "data.levels",
          "data.reading", "model.taxonomy")  # fmt: skip
_CLASSES = ("model.backbone", "model.bottleneck", "model.optimizer", "model.criterion",
            "data.transform", "data.augmentation")  # fmt: skip


def refuse_foreign(options: Mapping[str, Any], trusted: Collection[str], path: str | PathLike[str]) -> None:
    """Refuse options of a checkpoint that name anything but classes of this package, torch and torchvision.

    Also refuse every ``${``: OmegaConf can put a resolver's name together from several options, and so read the
    environment with options that each look harmless. Saved options have none, as they are written resolved.

    Args:
        options: the groups ``model`` and ``data``, with the checkpoint's taxonomy.
        trusted: names that the user gave as well.
        path: the checkpoint, for the message.

    Raises:
        CheckpointError: an option names another class.
    """
    for group in ("model", "data"):
        if not isinstance(below := options.get(group, {}), dict):
            raise CheckpointError(
                f"{path} was changed after it was written: expected a dict of options as {group}, got {below!r}"
            )
    for key, text in _texts(options, ""):
        if "${" in key or "${" in text:
            raise CheckpointError(
                f"{path} has {text!r} as {key}: '${{' in the options of a checkpoint could read environment variables. "
                "If you trust it, train again with the value itself in place of '${...}'"
            )
        is_class = key in _CLASSES or key.startswith("data.distortions.") or key.endswith(".class_path")
        if text in trusted or key.startswith(_TEXTS) or not (is_class or _CODE.fullmatch(text)) or _is_known(text):
            continue
        raise CheckpointError(
            f"{path} names {text!r} as {key}, which is not a class of nested_lightning, torch.nn, torch.optim or "
            "torchvision's models, ops and transforms: importing it could run any code on this machine. If you trust "
            f"the checkpoint, name the class yourself in the recipe, as {key.removesuffix('.class_path')}; in Python "
            f"load_run(..., trusted=[{text!r}])"
        )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every value in options, those that are no text as an empty one, with its dotted key."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item, key)
    else:
        yield key, value if isinstance(value, str) else ""


def _is_known(name: str) -> bool:
    """Return whether a name refers to something defined, not only imported, in one of the known packages."""
    try:
        found = resolve_name(name) if name.startswith(_KNOWN) and _CODE.fullmatch(name) else None
    except (ImportError, AttributeError, ValueError):
        return True  # nothing has that name: the parser reports it
    return f"{getattr(found, '__module__', '')}.".startswith(_KNOWN)

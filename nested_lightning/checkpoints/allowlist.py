"""Check the names in a checkpoint's options: a file from somebody else must not choose which code runs here."""

import re
from collections.abc import Collection, Iterator, Mapping
from os import PathLike
from pkgutil import resolve_name
from typing import Any

from nested_lightning.errors import CheckpointError

_TORCHVISION = ("torchvision.models.", "torchvision.ops.", "torchvision.transforms.")
_KNOWN = ("nested_lightning.", "torch.nn.", "torch.optim.", *_TORCHVISION)
# A name to import, a file of options, or an OmegaConf resolver, which reads something outside the options.
_CODE = re.compile(r"[^\W\d]\w*(\.\w+)+|.*\.(ya?ml|json)|.*\$\{[^}]*:.*", re.DOTALL)
_TEXTS = ("data.source", "data.taxonomy", "data.input_column", "data.label_columns", "data.levels",
          "data.reading", "model.taxonomy")  # fmt: skip
_CLASSES = ("model.backbone", "model.bottleneck", "model.optimizer", "model.criterion",
            "data.transform", "data.augmentation")  # fmt: skip


def refuse_foreign(options: Mapping[str, Any], trusted: Collection[str], path: str | PathLike[str]) -> None:
    """Refuse options of a checkpoint that name anything but classes of this package, torch and torchvision.

    Args:
        options: the groups ``model`` and ``data``.
        trusted: names that the user gave as well.
        path: the checkpoint, for the message.

    Raises:
        CheckpointError: an option names another class.
    """
    for key, text in _texts(options, ""):
        is_class = key in _CLASSES or key.startswith("data.distortions.") or key.endswith(".class_path")
        is_text = key.startswith(_TEXTS) and "${" not in text
        if text in trusted or is_text or not (is_class or _CODE.fullmatch(text)) or _is_known(text):
            continue
        raise CheckpointError(
            f"{path} names {text!r} as {key}, which is not a class of nested_lightning, torch.nn, torch.optim or "
            "torchvision's models, ops and transforms: importing it could run any code on this machine. If you trust "
            f"the checkpoint, name the class yourself in the recipe, as {key.removesuffix('.class_path')}; in Python "
            f"load_run(..., trusted=[{text!r}])"
        )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text in options with its dotted key."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, str):
        yield key, value


def _is_known(name: str) -> bool:
    """Return whether a name refers to something defined, not only imported, in one of the known packages."""
    try:
        found = resolve_name(name) if name.startswith(_KNOWN) and _CODE.fullmatch(name) else None
    except (ImportError, AttributeError, ValueError):
        return True  # nothing has that name: the parser reports it
    return f"{getattr(found, '__module__', '')}.".startswith(_KNOWN)

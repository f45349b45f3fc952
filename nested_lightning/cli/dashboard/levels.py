"""What a dashboard is about, read from what there is: the levels of a recipe or a run, the names of distortions."""

from pathlib import Path
from typing import Any

import yaml

from nested_lightning.cli.config import open_configs
from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy import Taxonomy


def levels_of_recipe(file: str) -> list[str]:
    """Return the level names of a recipe or a taxonomy file, coarse to fine.

    Raises:
        ConfigurationError: there is no such file, or it does not tell its levels.
        TaxonomyError: the recipe's taxonomy is none.

    Example:
        >>> levels_of_recipe("recipes/dbpedia.yaml")
        ['l1', 'l2', 'l3']
    """
    from nested_lightning.data.labels import load_taxonomy

    content = _read(file)
    data = content.get("data") or {}
    if isinstance(content.get("levels"), list):
        return list(map(str, content["levels"]))
    if data.get("taxonomy") is not None:
        return list(load_taxonomy(data["taxonomy"]).levels)
    for key in ("levels", "label_columns"):
        if isinstance(data.get(key), list):
            return list(map(str, data[key]))
    raise ConfigurationError(
        f"{file} does not tell the levels: give a recipe with data.taxonomy or a list of data.label_columns, a file of "
        "a taxonomy, or the folder of a run with --run"
    )


def levels_of_run(folder: Path) -> list[str]:
    """Return the level names of a run, coarse to fine, from its checkpoint.

    Raises:
        ConfigurationError: the folder has no checkpoint.
        CheckpointError: the checkpoint cannot be read, or is not of this package.
    """
    from nested_lightning.checkpoints.io import AtomicCheckpointIO

    files = [folder / "checkpoints" / f"{name}.ckpt" for name in ("final", "last")]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        raise ConfigurationError(f"{folder} is no folder of a run: there is neither {files[0]} nor {files[1].name}")
    checkpoint = AtomicCheckpointIO().load_checkpoint(file, map_location="cpu", weights_only=True)
    if "taxonomy" not in checkpoint:
        raise ConfigurationError(f"{file} has no taxonomy: it was not written by this package")
    return list(Taxonomy.from_dict(checkpoint["taxonomy"]).levels)


def distortions_of(file: str) -> list[str]:
    """Return the names of an overlay's distortions, in its order.

    Raises:
        ConfigurationError: there is no such file, or no distortion in it.

    Example:
        >>> distortions_of("recipes/evaluation/distortions.yaml")[0]
        'distortion_1'
    """
    names = list((_read(file).get("data") or {}).get("distortions") or {})
    if not names:
        raise ConfigurationError(f"{file} has no data.distortions: give an overlay such as evaluation/distortions.yaml")
    return names


def _read(file: str) -> dict[str, Any]:
    found = open_configs(["--config", file]).args[1]
    content: dict[str, Any] = yaml.safe_load(Path(found).read_text(encoding="utf-8"))
    return content

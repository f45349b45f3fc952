"""YAML files that are small and would fill the memory, or that end no parser."""

from pathlib import Path

import pytest
import yaml

from nested_lightning.cli.config import open_configs
from nested_lightning.errors import ConfigurationError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.yaml import compose

LAUGHS = "\n".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else 'x'] * 9)}]" for i in range(9))
BOMBS = {
    LAUGHS: r"line 6: .*aliases stand for more than 100,000 values",
    "a: &a\n  - *a\n": r"line 2: .*the alias \*a contains itself",
    "a: &a\n  b: &b [*a]\n": r"line 2: .*the alias \*a contains itself",
    "a: " + "[" * 300 + "]" * 300: r"line 1: .*nested more than 100 deep",
    "".join(f"{' ' * i}a:\n" for i in range(5000)): r"line 101: .*nested more than 100 deep",
}


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_are_named_where_files_are_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=BOMBS[text]):
        open_configs(["fit", f"--config={file}"])
    with pytest.raises(TaxonomyError, match=BOMBS[text]):
        Taxonomy.from_yaml(file)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CBaseLoader", yaml.BaseLoader)])
def test_anything_else_is_read_as_ever(loader: type) -> None:
    below = "{k: " * 98 + "v" + "}" * 98
    text = f"a: &a [1, &b two, *b]\nc: [*a, *a]\nd: &d {below}\ne: *d\n"
    assert yaml.serialize(compose(text, loader)) == yaml.serialize(yaml.compose(text, Loader=loader))
    assert compose("# nothing\n", loader) is None
    with pytest.raises(yaml.YAMLError, match="undefined alias"):
        compose("a: *b\n", loader)

"""resource(): one's own files first, then those of the package."""

from pathlib import Path

import pytest

from nested_lightning import resources
from nested_lightning.errors import ConfigurationError
from nested_lightning.resources import resource


def test_own_file_wins_over_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = resource("taxonomies/digits.yaml")
    assert shipped.is_absolute()
    assert shipped.is_file()
    (tmp_path / "taxonomies").mkdir()
    (tmp_path / "taxonomies" / "digits.yaml").write_text("levels: []")
    assert resource("taxonomies/digits.yaml").resolve() == tmp_path / "taxonomies" / "digits.yaml"


def test_a_wheel_keeps_the_folders_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "pkg" / "resources" / "recipes" / "a.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("")
    monkeypatch.setattr(resources, "_ROOTS", (tmp_path, tmp_path / "pkg" / "resources"))
    assert resource("recipes/a.yaml") == inside


@pytest.mark.parametrize("path", ["taxonomies/digit.yaml", "", "/nowhere/digits.yaml", "."])
def test_missing_file(path: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist") as caught:
        resource(path)
    assert repr(path) in str(caught.value)
    if path.startswith("taxonomies"):
        assert "Did you mean 'taxonomies/digits.yaml'" in str(caught.value)

"""The files that come with the package, found by name; the user's own come first."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nested_lightning.errors import ConfigurationError
from nested_lightning.utils import resources
from nested_lightning.utils.resources import resource, shipped


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_file_wins_over_the_shipped_one(folder: Path) -> None:
    found = resource("taxonomies/digits.yaml")
    assert found.is_absolute()
    assert found.is_file()
    (folder / "taxonomies").mkdir()
    (folder / "taxonomies" / "digits.yaml").write_text("levels: []")
    assert resource("taxonomies/digits.yaml").resolve() == folder / "taxonomies" / "digits.yaml"


def test_a_wheel_keeps_the_folders_inside_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = folder / "site" / "pkg" / "resources" / "recipes" / "a.yaml"
    beside = folder / "site" / "recipes" / "of_another_package.yaml"
    for path in (inside, beside):
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.setattr(resources, "_ROOTS", (folder / "site" / "pkg" / "resources", folder / "site"))
    assert shipped() == {"recipes/a.yaml": inside}
    assert resource("recipes/a.yaml") == inside
    with pytest.raises(ConfigurationError):
        resource("recipes/of_another_package.yaml")


@pytest.mark.parametrize("path", ["taxonomies/digit.yaml", "", "/nowhere/digits.yaml", ".", "taxonomies"])
def test_missing_file(path: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist") as caught:
        resource(path)
    assert repr(path) in str(caught.value)
    if path.endswith("digit.yaml"):
        assert "Did you mean 'taxonomies/digits.yaml'" in str(caught.value)


@pytest.mark.slow
def test_a_wheel_has_them(folder: Path) -> None:
    pytest.importorskip("hatchling")
    checkout = Path(__file__).parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    code = "import nested_lightning.cli.main as m; print(m.__file__); m.main(['recipes', 'list'])"
    environment = {"PYTHONPATH": str(folder / "site")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    place, *listed = done.stdout.splitlines()
    assert Path(place).is_relative_to(folder / "site")
    assert [line.split()[0] for line in listed] == list(shipped())

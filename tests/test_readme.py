"""README and docs: their examples run, and the files, links and options they name exist."""

import inspect
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from helpers.commands import SHORT, options_of, run, write_image
from helpers.once import made_once

from nested_lightning import HierarchicalDataModule, Taxonomy, callbacks
from nested_lightning.data.reading import ReadOptions
from nested_lightning.data.vocabulary import TextOptions
from nested_lightning.models import PretrainedEncoder

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "tests").rglob("*.md"))]
SHORT_TRAINING = {
    "CascadeTraining()": "CascadeTraining(max_epochs=1)",
    "RejectionFineTuning()": "RejectionFineTuning(steps=3)",
}


def blocks(language: str) -> Iterator[Any]:
    """Yield the code blocks of one language with a name such as ``README.md:42``."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            yield pytest.param(match[1], id=f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}")


def commands(*programs: str) -> Iterator[Any]:
    for block in blocks("bash"):
        for line in block.values[0].replace("\\\n", " ").replace("$seed", "1").splitlines():
            words = shlex.split(line)
            if words[0] in programs:
                yield pytest.param(words, id=f"{block.id} {' '.join(words[1:3])}")


def block(language: str, containing: str) -> str:
    found = [param.values[0] for param in blocks(language) if containing in param.values[0]]
    assert found, f"no {language} block with {containing!r}"
    return found[0]


@pytest.fixture(scope="module")
def project(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the pages mention and the runs that their commands write."""
    made = made_once(tmp_path_factory, "project", lambda root: make_project(root, trained))
    return shutil.copytree(made, tmp_path_factory.mktemp("project") / "copy")


def make_project(root: Path, trained: Path) -> None:
    photo = partial(write_image, size=(8, 9), mode="RGB")
    for name in ("animal", "bird", "eagle", "owl", "cod", "perch", "stone"):
        for i in range(6):
            photo(root / "photos" / "train" / name / f"{i}.png", i)
        photo(root / "photos" / "test" / name / "0.png")
    for i in range(3):
        photo(root / "new_photos" / f"{i}.png", i)
    for path in ("train/animal/bird/owl", "train/animal/fish/cod", "test/animal/fish/cod", "train/stone"):
        photo(root / "nested_photos" / path / "0.png")
    (root / "pairs.csv").write_text("child,parent\nowl,bird\nbird,animal\nanimal,\nstone,\n")
    (root / "classes.txt").write_text("animal/bird/owl\nanimal/bird\nstone\n")
    (root / "classes.json").write_text('{"animal": {"bird": ["owl", "eagle"]}, "stone": null}')
    (root / "leaves.csv").write_text("label\nApple___Apple_scab\nApple___healthy\nGrape___healthy\n")
    (root / "animals.yaml").write_text(block("yaml", "levels:"))
    (root / "table.yaml").write_text(block("yaml", "source: table.parquet"))
    leaves = [["animal", "bird", "owl"], ["animal", "fish", "cod"], ["stone", None, None]]
    labels = [leaf[: 1 + i % 3] + [None] * (2 - i % 3) for i in range(60) for leaf in leaves]
    columns = dict(zip(("kind", "family", "species"), zip(*labels, strict=True), strict=True))
    table = datasets.Dataset.from_dict({"pixels": np.random.default_rng(0).random((180, 64)), **columns})
    for name in ("table.parquet", "families.parquet", "species.parquet"):
        table.to_parquet(root / name)
    (root / "articles.yaml").write_text(block("yaml", "source: articles.parquet"))
    texts = [" ".join(str(label) for label in leaf) + f" number {i}" for i, leaf in enumerate(labels)]
    datasets.Dataset.from_dict({"text": texts, **columns}).to_parquet(root / "articles.parquet")
    leaf = dict(zip(("l1", "l2", "l3"), ("Place", "Building", "Castle"), strict=True))
    for name, known in (("dbpedia_l3", 3), ("dbpedia_l2", 2)):
        (root / name).mkdir()
        cells = {level: [label] * 40 for level, label in list(leaf.items())[:known]}
        datasets.Dataset.from_dict({"text": texts[:40], **cells}).to_parquet(root / name / "train.parquet")
    shutil.copytree(trained, root / "runs" / "digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run(*next(words for words in fits() if "photos" in words), *SHORT)


def fits() -> list[list[str]]:
    words = [tuple(param.values[0][1:]) for param in commands("lightning") if param.values[0][1] == "fit"]
    return list(map(list, dict.fromkeys(words)))


@pytest.fixture(autouse=True)
def _in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # At the end of every epoch of a stream `datasets` waits 5 seconds for threads to end, in case Python ends.
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)
    for long, short in SHORT_TRAINING.items():
        code = code.replace(long, short)
    code = code.replace(
        "L.Trainer(", "L.Trainer(accelerator='cpu', enable_progress_bar=False, enable_model_summary=False, "
    )
    left: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example", "exec"), left)
    assert "trainer" not in left or left["trainer"].state.finished
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # as at the end of a script: its run is over


def test_the_first_example_is_short() -> None:
    lines = block("python", "CascadeTraining").splitlines()
    assert len([line for line in lines if line and not line.startswith(("import", "from"))]) <= 20


@pytest.mark.parametrize("words", commands("lightning", "nested-lightning"))
def test_commands(words: list[str]) -> None:
    (options_of if words[1] == "fit" else run)(*words[1:])


@pytest.mark.parametrize("words", fits(), ids=" ".join)
def test_the_data_of_commands_fit(words: list[str], project: Path) -> None:
    options = options_of(*words)["data"]
    options |= {"text": TextOptions(**options["text"]), "reading": ReadOptions(**options["reading"])}
    if options["source"] in ("ylecun/mnist", "MNIST_FOLDER"):
        pytest.skip("MNIST does not come with the package")
    assert min(HierarchicalDataModule(**options).level_counts) > 0


def test_what_is_predicted(project: Path) -> None:
    run(*next(param.values[0][1:] for param in commands("lightning") if "predict" in param.values[0]))
    file = project / "predicted" / "predictions.parquet"
    predictions = datasets.Dataset.from_parquet(str(file), keep_in_memory=True)
    assert len(predictions) == 3
    table = (ROOT / "docs" / "own_data.md").read_text().partition("| column | meaning |")[2]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^(\|[^|]*\|)", table, re.MULTILINE)))
    assert set(named) <= set(predictions.column_names)
    assert {re.sub("^(family|species)", "kind", name) for name in predictions.column_names} <= set(named)


def test_what_a_run_leaves(project: Path) -> None:
    table = (ROOT / "README.md").read_text().partition("## What a run leaves")[2].partition("\n## ")[0]
    files = {path.relative_to(project / "runs" / "digits") for path in (project / "runs" / "digits").rglob("*.*")}
    named = set(map(Path, re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)))
    assert named == {Path("figures") if file.parts[0] == "figures" else file for file in files}


def test_what_a_run_draws(project: Path) -> None:
    table = (ROOT / "docs" / "figures.md").read_text().partition("| file | what it shows |")[2].partition("\n\n")[0]
    drawn = {path.name for path in (project / "runs" / "digits" / "figures").glob("*.png")}
    confusions = {name for name in drawn if name.startswith("confusion-")}
    named = set(re.findall(r"^\| `([\w-]+\.png)`", table, re.MULTILINE))
    assert len(confusions) == 3 and "confusion-1-LEVEL.png" in named
    assert named - {"confusion-1-LEVEL.png", "distortions.png"} == drawn - confusions - {"distortions.png"}


def test_the_taxonomy_is_what_the_text_says(project: Path) -> None:
    for text in (param.values[0] for param in blocks("yaml") if "levels:" in param.values[0]):
        (project / "shown.yaml").write_text(text)
        taxonomy = Taxonomy.from_yaml(project / "shown.yaml")
        assert -1 not in taxonomy.target(("stone",))
        assert taxonomy.target(("animal", "bird"))[2] == -1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:nested_lightning|recipes|taxonomies|docs|tests|benchmarks)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)(?=`|$)", text, re.MULTILINE)) <= targets


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_places_are_in_the_order_of_imports() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = " ".join(settings["tool"]["importlinter"]["contracts"][0]["layers"]).replace("|", " ").split()
    cells = re.findall(r"^\|([^|]*)\|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    places = [place for cell in cells for place in re.findall(r"`nested_lightning/(\w+)", cell)]
    assert places == [layer for layer in layers if layer != "__main__"]


def test_walks_pass_at_most_five_files() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walks = page.partition("\n## Five walks\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert len(walks) == 5
    assert all(1 < len(re.findall(r"^\d\. `", walk, re.MULTILINE)) <= 5 for walk in walks)
    files = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", "".join(walks))
    assert [name for name in files if not (ROOT / "nested_lightning" / name).exists()] == []


def test_every_option_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"config", "help", *keys(options_of("fit", "--config", "recipes/digits.yaml"))}
    encoder = inspect.signature(PretrainedEncoder).parameters  # of a backbone that the digits do not have
    known |= {f"model.backbone.init_args.{name}" for name in encoder}
    taxonomy = ("discover", "build columns", "build paths", "show", "check")
    for command in ("report", "dashboard", *(f"taxonomy {name}" for name in taxonomy)):
        with pytest.raises(SystemExit):
            run(*command.split(), "--help")
        known |= set(re.findall(r"--(\w[\w.]*)", capsys.readouterr().out))
    for benchmark in ("peers/__main__.py", "paper/__main__.py", "speed/figures.py"):
        known |= set(re.findall(r'"--(\w+)"', (ROOT / "benchmarks" / benchmark).read_text()))
    known |= {"nnodes", "node", "nproc", "master", "signal", "requeue", "kill", "nodes", "ntasks", "gpus", "open"}
    named = {name for page in PAGES for name in re.findall(r"(?<![\w-])--([a-z][a-z_.]*[a-z_])", page.read_text())}
    assert named - known == set()


def keys(options: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in options.items():
        yield above + name
        if isinstance(value, dict):
            yield from keys(value, f"{above}{name}.")


def test_the_tables_of_callbacks_are_complete() -> None:
    text = (ROOT / "docs" / "callbacks.md").read_text()
    rows = [re.findall(r"`(\w+)`", cell) for cell in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)]
    named = {name for row in rows for name in row}
    assert set(callbacks.__all__) - {"Calibrator"} <= named
    assert set(inspect.signature(callbacks.CascadeTraining).parameters) <= named

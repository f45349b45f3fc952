"""Texts through the command line: trained on labels of uneven depth, answered in a fresh process."""

import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from helpers.commands import SHORT, refused, run
from helpers.killed_run import Server
from helpers.once import made_once

from nested_lightning.data.labels import load_taxonomy

TAXONOMY = load_taxonomy("taxonomies/dbpedia.yaml")
LEAVES = TAXONOMY.leaves[::28]
SMALL = {"n_grams": 200, "channels": 8}
TEXTS = {
    "long": "ordinary words of l1 " * 25_000,
    "none": "",
    "one": "word",
    "null": None,
    "blank": " \n\t",
    "strange": "☃ \x00 \u200d ﷽ e\u0301",
    "Chinese": "这是一篇关于猫头鹰的文章",
    "Arabic": "البومة طائر ليلي",
    "Hindi": "उल्लू एक पक्षी है",
    "emoji": "🦉🐟🦉",
    **{leaf[-1]: f"about {' and '.join(leaf)} thing" for leaf in LEAVES},
}


def write(folder: Path, name: str = "train", depth: int = 3, n: int = 40) -> None:
    """Write short texts labelled to ``depth``, a few of each leaf; their words name the labels."""
    leaves = [LEAVES[i % len(LEAVES)] for i in range(n)]
    columns = {level: [leaf[i] for leaf in leaves] for i, level in enumerate(TAXONOMY.levels[:depth])}
    texts = [f"about {' and '.join(leaf)} number {i}" for i, leaf in enumerate(leaves)]
    folder.mkdir(exist_ok=True)
    datasets.Dataset.from_dict({"text": texts, **columns}).to_parquet(folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the final checkpoint of a short run, whose training samples are gone."""
    return made_once(tmp_path_factory, "text", train) / "run" / "checkpoints" / "final.ckpt"


def train(root: Path) -> None:
    write(root / "full")
    write(root / "partly", depth=2)
    small = [item for name, n in SMALL.items() for item in (f"--model.backbone.init_args.{name}", n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run("fit", "--config", "recipes/dbpedia.yaml", *SHORT, *small, "--data.source", "[full,partly]",
            "--data.budgets", "null", "--data.validation", "16", "--data.text.min_count", "1",
            "--trainer.default_root_dir", "run", "--trainer.accelerator", "cpu")  # fmt: skip
    shutil.rmtree(root / "full")
    shutil.rmtree(root / "partly")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answers(folder: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pq.read_table(Path(folder) / "predictions.parquet").to_pydict()
    return columns


def save(name: str, texts: list[str | None]) -> None:
    features = datasets.Features({"text": datasets.Value("string")})
    datasets.Dataset.from_dict({"text": texts}, features=features).to_parquet(name)


def test_texts_of_any_kind_are_answered_by_the_checkpoint_alone(
    checkpoint: Path, server: Server, tmp_path: Path
) -> None:
    save("new.parquet", list(TEXTS.values()))
    args = ["--ckpt_path", str(checkpoint), "--data.source", "new.parquet", "--trainer.default_root_dir", "answers"]
    code = server.run(["predict", *args], tmp_path / "log", folder=str(tmp_path))
    assert code == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
    together = answers("answers")
    for name, column in together.items():
        assert len(column) == len(TEXTS), name
        assert all(value is not None and value == value for value in column)
    names = [set(TAXONOMY.names(level)) for level in range(3)]
    for level, known in zip(TAXONOMY.levels, names, strict=True):
        assert set(together[level]) <= known
        assert all(0 < value <= 1 for value in together[f"{level}_confidence"])
    keys = list(TEXTS)
    none, null = (together["l1_confidence"][keys.index(key)] for key in ("none", "null"))
    assert none == pytest.approx(null, abs=1e-6)
    right = [together["l1_own"][keys.index(leaf[-1])] == leaf[0] for leaf in LEAVES]
    assert sum(right) > len(LEAVES) / 2
    for key in ("long", "Hindi"):
        save("alone.parquet", [TEXTS[key]])
        run("predict", "--ckpt_path", checkpoint, "--data.source", "alone.parquet", "--trainer.default_root_dir", "one")
        for name, (value,) in answers("one").items():
            if name in ("source", "row"):
                continue
            expected = together[name][keys.index(key)]
            assert value == (pytest.approx(expected, abs=1e-6) if isinstance(value, float) else expected)


def test_without_the_hub_both_ways_out_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--config", "recipes/dbpedia.yaml")
    for part in ("DeveloperOats/DBPedia_Classes", "network", "local folder"):
        assert part in message


def test_a_misspelt_option(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "fit", "--config", "recipes/dbpedia.yaml", "--data.text.lenght", "9")
    assert "data.text.lenght" in message
    assert "length" in message.replace("lenght", "")


def test_predict_without_a_checkpoint_or_with_numbers(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("new.parquet", ["a text"])
    message = refused(capsys, "predict", "--config", "recipes/dbpedia.yaml", "--data.source", "new.parquet")
    assert "ckpt_path" in message
    datasets.Dataset.from_dict({"text": [1.0]}).to_parquet("numbers.parquet")
    message = refused(capsys, "predict", "--ckpt_path", checkpoint, "--data.source", "numbers.parquet")
    assert "'text'" in message

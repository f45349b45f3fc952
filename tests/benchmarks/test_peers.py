"""The comparison with other methods: on 60 sentences, against figures made in other ways."""

import importlib
import itertools
import json
import random
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from helpers.commands import SHORT, run
from hiclass import LocalClassifierPerParentNode
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from nested_lightning import Taxonomy
from nested_lightning.metrics import InconsistencyRate, PathAccuracy

LEVELS = ["kind", "family", "species"]
TREE = Taxonomy.from_paths([f"{k}/{k}{f}/{k}{f}{s}" for k, f, s in itertools.product("ab", "cd", "ef")], levels=LEVELS)
FITTED = {"svm_flat", "svm_per_level", "svm_parent_score"} | {
    f"hiclass_{kind}{rows}" for kind in ("lcpn", "lcpl") for rows in ("", "_all_rows")
}


def sentences(n: int, depth: int, seed: int) -> datasets.Dataset:
    """Return sentences that tell their labels mostly, with labels to ``depth`` and the counts of their words."""
    rng = random.Random(seed)
    vocabulary = [name for level in range(3) for name in TREE.names(level)]
    rows = []
    for i in range(n):
        path = TREE.leaves[i % 8]
        words = [name if rng.random() < 0.6 else rng.choice(vocabulary) for name in path]
        text = " ".join(f"{word * 3} {rng.choice(['was', 'there', 'once'])}" for word in words)
        counts = [float(words.count(name)) for name in vocabulary]
        rows.append({"text": text, "counts": counts, **dict(zip(LEVELS[:depth], path, strict=False))})
    return datasets.Dataset.from_list(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two sources, ``fine`` and ``coarse``, with a finished run."""
    root = tmp_path_factory.mktemp("peers")
    for name, depth, sizes in (("fine", 3, (16, 16, 8)), ("coarse", 2, (12, 4, 4))):
        (root / name).mkdir()
        for seed, (split, n) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
            sentences(n, depth, seed + 10 * depth).to_parquet(root / name / f"{split}.parquet")
    network = ["--model.backbone", "torchvision.ops.MLP", "--model.backbone.in_channels", "14"]
    network += ["--model.backbone.hidden_channels", "[8]", "--model.feature_channels", "8"]
    data = ["--data.input_column", "counts", "--data.label_columns", "[kind, family, species]"]
    options = ["--data.source", f"[{root}/fine,{root}/coarse]", "--trainer.default_root_dir", root / "run", *SHORT]
    run("fit", *network, *data, *options, "--trainer.accelerator", "cpu")
    return root


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # benchmarks/ is not installed
    return importlib.import_module("benchmarks.peers.__main__").main


def compare(main: Any, folder: Path, *options: str) -> Any:
    columns = ["--label_columns", "[kind,family,species]"]
    main(["--source", f"[{folder}/fine,{folder}/coarse]", *columns, "--out", str(folder / "out"), *options])
    return json.loads((folder / "out" / "peers.json").read_text())


def labels(rows: datasets.Dataset) -> np.ndarray[Any, Any]:
    return np.array([rows[level] for level in LEVELS]).T


def percent(found: np.ndarray[Any, Any], rows: datasets.Dataset) -> list[float]:
    """Return the accuracies of the levels and of whole paths, computed with names."""
    right = found == labels(rows)
    return [*(100 * right.mean(axis=0)), 100 * right.all(axis=1).mean()]


def test_every_method_is_in_the_table(main: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = compare(main, folder, "--runs", f"nested={folder}/run")
    assert set(result["tables"]) == {f"{folder}/fine", f"{folder}/coarse"}
    printed, notes = capsys.readouterr()
    assert "predictions.parquet" not in notes, "the file is gone when one reads this"
    assert (folder / "out" / "peers.md").read_text() in printed
    for source, n in (("fine", 8), ("coarse", 4)):
        table = result["tables"][f"{folder}/{source}"]
        assert table["rows"] == n
        assert set(table["methods"]) == FITTED | {"nested"}
    assert printed.count("| nested |") == 2
    assert table["methods"]["svm_flat"]["path"]["mean"] is None, "no test row of this source is labelled in full"

    table = result["tables"][f"{folder}/fine"]["methods"]
    rows, test = (datasets.Dataset.from_parquet(f"{folder}/fine/{name}.parquet") for name in ("train", "test"))
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    inputs, asked = words.fit_transform(rows["text"]), words.transform(test["text"])
    flat = LinearSVC(C=result["settings"]["svm_flat"]["C"], random_state=0).fit(inputs, rows["species"])
    paths = np.array([TREE.find(name) for name in flat.predict(asked)])
    check(table["svm_flat"], percent(paths, test))
    assert table["svm_flat"]["inconsistent"]["mean"] == 0

    local = LinearSVC(C=result["settings"]["hiclass_lcpn"]["C"], random_state=0)
    paths = LocalClassifierPerParentNode(local).fit(inputs, labels(rows)).predict(asked)
    check(table["hiclass_lcpn"], percent(paths, test))

    run("predict", "--ckpt_path", folder / "run/checkpoints/final.ckpt", "--data.source", folder / "fine",
        "--trainer.default_root_dir", folder / "answers")  # fmt: skip
    answers = datasets.Dataset.from_parquet(str(folder / "answers" / "predictions.parquet"))
    check(table["nested"], percent(labels(answers), test))


def check(figures: Any, expected: list[float]) -> None:
    assert [figures[name]["mean"] for name in (*LEVELS, "path")] == pytest.approx(expected)


def scores_by_name(folder: Path, chosen: dict[str, float]) -> tuple[dict[tuple[int, str], float], datasets.Dataset]:
    """Return the score of each test row for each class, by machines of levels trained on all rows known there."""
    fine, coarse, test = (
        datasets.Dataset.from_parquet(f"{folder}/{name}.parquet")
        for name in ("fine/train", "coarse/train", "fine/test")
    )
    texts = [*fine["text"], *coarse["text"]]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(texts)
    scores: dict[tuple[int, str], float] = {}
    for name in LEVELS:
        names = [*fine[name], *(coarse[name] if name in coarse.column_names else [])]
        svm = LinearSVC(C=chosen[name], random_state=0).fit(words.transform(texts[: len(names)]), names)
        margins = svm.decision_function(words.transform(test["text"])).reshape(len(test), -1)
        margins = np.hstack([-margins, margins]) if margins.shape[1] == 1 else margins
        for row, of_row in enumerate(margins):
            scores |= {(row, label): score for label, score in zip(svm.classes_, of_row, strict=True)}
    return scores, test


def test_machines_of_levels_learn_from_all_rows_known_there(main: Any, folder: Path) -> None:
    result = compare(main, folder, "--methods", "svm_per_level", "--test_source", f"{folder}/fine")
    assert list(result["tables"]) == [f"{folder}/fine"]
    table = result["tables"][f"{folder}/fine"]["methods"]
    scores, test = scores_by_name(folder, result["settings"]["svm_per_level"]["C"])

    def answers(score: Any) -> np.ndarray[Any, Any]:
        found = [[max(TREE.names(i), key=lambda name: score(row, name)) for i in range(3)] for row in range(len(test))]
        return np.array(found)

    check(table["svm_per_level"], percent(answers(lambda row, name: scores[row, name]), test))
    with_parents = answers(lambda row, name: sum(scores[row, name[:k]] for k in range(1, len(name) + 1)))
    check(table["svm_parent_score"], percent(with_parents, test))


def test_hiclass_learns_from_coarse_rows(main: Any, folder: Path) -> None:
    result = compare(main, folder, "--methods", "hiclass_lcpn", "hiclass_lcpl")
    table, settings = result["tables"][f"{folder}/fine"]["methods"], result["settings"]
    scores, test = scores_by_name(folder, dict.fromkeys(LEVELS, settings["hiclass_lcpl_all_rows"]["C"]))
    found = []
    for row in range(len(test)):
        path = [""]
        for level in range(3):
            children = [name for name in TREE.names(level) if name.startswith(path[-1])]
            path.append(max(children, key=lambda name: scores[row, name]))
        found.append(path[1:])
    check(table["hiclass_lcpl_all_rows"], percent(np.array(found), test))

    fine, coarse = (datasets.Dataset.from_parquet(f"{folder}/{name}/train.parquet") for name in ("fine", "coarse"))
    unknown = [""] * len(coarse)
    paths = [*labels(fine).tolist(), *zip(coarse["kind"], coarse["family"], unknown, strict=True)]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    inputs = words.fit_transform([*fine["text"], *coarse["text"]])
    local = LinearSVC(C=settings["hiclass_lcpn_all_rows"]["C"], random_state=0)
    model = LocalClassifierPerParentNode(local).fit(inputs, paths)
    check(table["hiclass_lcpn_all_rows"], percent(model.predict(words.transform(test["text"])), test))


def test_figures_of_random_answers(main: Any) -> None:
    figures = importlib.import_module("benchmarks.peers.table").figures
    rng = np.random.default_rng(0)
    runs = [np.stack([rng.integers(size, size=400) for size in TREE.sizes], axis=1) for _ in range(3)]
    targets = TREE.lift(torch.tensor(rng.integers(8, size=400)), -1).numpy()
    targets[300:, 2] = -1
    found = figures(runs, targets, TREE)
    accuracies = [100 * np.mean(answers[:300, 2] == targets[:300, 2]) for answers in runs]
    assert found["species"]["mean"] == pytest.approx(np.mean(accuracies))
    assert found["species"]["over_runs"] == pytest.approx(np.std(accuracies, ddof=1))
    one = figures(runs[:1], targets, TREE)
    share = one["kind"]["mean"] / 100
    assert one["kind"]["over_rows"] == pytest.approx(100 * (share * (1 - share) / 400) ** 0.5, rel=0.1)
    assert one["kind"]["over_runs"] is None
    for metric, name in ((PathAccuracy(), "path"), (InconsistencyRate([TREE.parents(1), TREE.parents(2)]), None)):
        tensors = [torch.from_numpy(rows) for rows in (runs[0], targets)]
        metric.update(*tensors[: 2 if name else 1])
        assert one[name or "inconsistent"]["mean"] == pytest.approx(100 * float(metric.compute()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "nowhere"], "source 'nowhere' is not a file or folder here"),
        (["--source", "{fine}", "--test_source", "{fine}s"], "is not one of the sources with a split 'test'"),
        (["--source", "{fine}", "--input_column", "texts"], "Did you mean 'text'?"),
        (["--source", "{fine}/train.parquet"], "has no split 'test'"),
        (["--source", "{fine}", "--runs", "a={fine}"], "final.ckpt"),
    ],
)
def test_a_mistake_is_one_message(
    main: Any, folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*(option.format(fine=folder / "fine") for option in options), "--label_columns", "[kind,family,species]"])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize(
    "options", [["--methods"], ["--runs", "svm_flat=a"], ["--runs", "a=b", "a=c"], ["--runs", "a"]]
)
def test_options_that_cannot_be(main: Any, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--source", "nowhere", *options])
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err

"""The comparison with other methods: on 60 sentences, against metrics computed in other ways."""

import io
import itertools
import json
import random
from contextlib import redirect_stdout
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

from benchmarks.peers.__main__ import main
from benchmarks.peers.table import compute_metrics
from nested_lightning import Taxonomy
from nested_lightning.metrics import InconsistencyRate, PathAccuracy

LEVELS = ["kind", "family", "species"]
TREE = Taxonomy.from_paths([f"{k}/{k}{f}/{k}{f}{s}" for k, f, s in itertools.product("ab", "cd", "ef")], levels=LEVELS)
FITTED = {"svm_flat", "svm_per_level", "svm_parent_score"} | {
    f"hiclass_{kind}{rows}" for kind in ("lcpn", "lcpl") for rows in ("", "_all_rows")
}


def sentences(n: int, depth: int, seed: int) -> datasets.Dataset:
    """Return sentences that mostly name their labels, labelled to ``depth``, with the counts of their words."""
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


def compare(folder: Path, *options: str) -> Any:
    columns = ["--label_columns", "[kind,family,species]"]
    main(["--source", f"[{folder}/fine,{folder}/coarse]", *columns, "--out", str(folder / "out"), *options])
    return json.loads((folder / "out" / "peers.json").read_text())


@pytest.fixture(scope="module")
def compared(folder: Path) -> tuple[Any, Any, str]:
    """Return the settings, the table by source and what is printed, of all methods and the run."""
    with redirect_stdout(io.StringIO()) as printed:
        result = compare(folder, "--runs", f"nested={folder}/run")
    tables = {source: result["tables"][f"{folder}/{source}"] for source in ("fine", "coarse")}
    assert len(result["tables"]) == 2 and (folder / "out" / "peers.md").read_text() in printed.getvalue()
    return result["settings"], tables, printed.getvalue()


def read(folder: Path, name: str) -> datasets.Dataset:
    return datasets.Dataset.from_parquet(f"{folder}/{name}.parquet")


def vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)


def labels(rows: datasets.Dataset) -> np.ndarray[Any, Any]:
    return np.array([rows[level] for level in LEVELS]).T


def percent(found: np.ndarray[Any, Any], rows: datasets.Dataset) -> list[float]:
    """Return the accuracies of the levels and of whole paths, computed with names."""
    correct = found == labels(rows)
    return [*(100 * correct.mean(axis=0)), 100 * correct.all(axis=1).mean()]


def test_every_method_is_in_the_table(folder: Path, compared: Any) -> None:
    settings, tables, printed = compared
    for source, n in (("fine", 8), ("coarse", 4)):
        assert tables[source]["rows"] == n
        assert set(tables[source]["methods"]) == FITTED | {"nested"}
    assert printed.count("| nested |") == 2
    path = tables["coarse"]["methods"]["svm_flat"]["path"]
    assert path["mean"] is None, "no test sample of this source is labelled in full"

    table, rows, test = tables["fine"]["methods"], read(folder, "fine/train"), read(folder, "fine/test")
    words = vectorizer()
    inputs, asked = words.fit_transform(rows["text"]), words.transform(test["text"])
    flat = LinearSVC(C=settings["svm_flat"]["C"], random_state=0).fit(inputs, rows["species"])
    check(table["svm_flat"], percent(np.array([TREE.find(name) for name in flat.predict(asked)]), test))
    assert table["svm_flat"]["inconsistent"]["mean"] == 0

    local = LinearSVC(C=settings["hiclass_lcpn"]["C"], random_state=0)
    model = LocalClassifierPerParentNode(local).fit(inputs, labels(rows))
    check(table["hiclass_lcpn"], percent(model.predict(asked), test))

    checkpoint, out = folder / "run/checkpoints/final.ckpt", folder / "predicted"
    run("predict", "--ckpt_path", checkpoint, "--data.source", folder / "fine", "--trainer.default_root_dir", out)
    check(table["nested"], percent(labels(read(out, "predictions")), test))


def check(metrics: Any, expected: list[float]) -> None:
    assert [metrics[name]["mean"] for name in (*LEVELS, "path")] == pytest.approx(expected)


def scores_by_name(folder: Path, chosen: dict[str, float]) -> tuple[dict[tuple[int, str], float], datasets.Dataset]:
    """Return the score of each test sample for each class, by machines of levels trained on all samples known there."""
    fine, coarse, test = (read(folder, name) for name in ("fine/train", "coarse/train", "fine/test"))
    texts = [*fine["text"], *coarse["text"]]
    words = vectorizer().fit(texts)
    scores: dict[tuple[int, str], float] = {}
    for name in LEVELS:
        names = [*fine[name], *(coarse[name] if name in coarse.column_names else [])]
        svm = LinearSVC(C=chosen[name], random_state=0).fit(words.transform(texts[: len(names)]), names)
        margins = svm.decision_function(words.transform(test["text"])).reshape(len(test), -1)
        margins = np.hstack([-margins, margins]) if margins.shape[1] == 1 else margins
        for row, of_row in enumerate(margins):
            scores |= {(row, label): score for label, score in zip(svm.classes_, of_row, strict=True)}
    return scores, test


def test_machines_of_levels_learn_from_all_samples_known_there(folder: Path) -> None:
    result = compare(folder, "--methods", "svm_per_level", "--test_source", f"{folder}/fine")
    assert list(result["tables"]) == [f"{folder}/fine"]
    table = result["tables"][f"{folder}/fine"]["methods"]
    scores, test = scores_by_name(folder, result["settings"]["svm_per_level"]["C"])

    def predict(score: Any) -> np.ndarray[Any, Any]:
        found = [[max(TREE.names(i), key=lambda name: score(row, name)) for i in range(3)] for row in range(len(test))]
        return np.array(found)

    check(table["svm_per_level"], percent(predict(lambda row, name: scores[row, name]), test))
    with_parents = predict(lambda row, name: sum(scores[row, name[:k]] for k in range(1, len(name) + 1)))
    check(table["svm_parent_score"], percent(with_parents, test))


def test_hiclass_learns_from_coarse_samples(folder: Path, compared: Any) -> None:
    settings, table = compared[0], compared[1]["fine"]["methods"]
    scores, test = scores_by_name(folder, dict.fromkeys(LEVELS, settings["hiclass_lcpl_all_rows"]["C"]))
    found = []
    for row in range(len(test)):
        path = [""]
        for level in range(3):
            children = [name for name in TREE.names(level) if name.startswith(path[-1])]
            path.append(max(children, key=lambda name: scores[row, name]))
        found.append(path[1:])
    check(table["hiclass_lcpl_all_rows"], percent(np.array(found), test))

    fine, coarse, words = read(folder, "fine/train"), read(folder, "coarse/train"), vectorizer()
    paths = [*labels(fine).tolist(), *zip(coarse["kind"], coarse["family"], [""] * len(coarse), strict=True)]
    inputs = words.fit_transform([*fine["text"], *coarse["text"]])
    local = LinearSVC(C=settings["hiclass_lcpn_all_rows"]["C"], random_state=0)
    model = LocalClassifierPerParentNode(local).fit(inputs, paths)
    check(table["hiclass_lcpn_all_rows"], percent(model.predict(words.transform(test["text"])), test))


def test_metrics_of_random_predictions() -> None:
    rng = np.random.default_rng(0)
    runs = [np.stack([rng.integers(size, size=400) for size in TREE.sizes], axis=1) for _ in range(3)]
    targets = TREE.lift(torch.tensor(rng.integers(8, size=400)), -1).numpy()
    targets[300:, 2] = -1
    found = compute_metrics(runs, targets, TREE)
    accuracies = [100 * np.mean(predicted[:300, 2] == targets[:300, 2]) for predicted in runs]
    assert found["species"]["mean"] == pytest.approx(np.mean(accuracies))
    assert found["species"]["over_runs"] == pytest.approx(np.std(accuracies, ddof=1))
    one = compute_metrics(runs[:1], targets, TREE)
    share = one["kind"]["mean"] / 100
    assert one["kind"]["over_rows"] == pytest.approx(100 * (share * (1 - share) / 400) ** 0.5, rel=0.1)
    assert one["kind"]["over_runs"] is None
    for metric, name in ((PathAccuracy(), "path"), (InconsistencyRate(TREE), None)):
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
        (["--source", "nowhere", "--methods"], "give --methods or --runs"),
        (["--source", "nowhere", "--runs", "svm_flat=a"], "this name is taken"),
        (["--source", "nowhere", "--runs", "a=b", "a=c"], "this name is taken"),
        (["--source", "nowhere", "--runs", "a"], "write NAME=RUN1,RUN2"),
    ],
)
def test_a_mistake_is_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*(option.format(fine=folder / "fine") for option in options), "--label_columns", "[kind,family,species]"])
    assert end.value.code == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert message in error
    assert usage[0].startswith("usage: ") if usage else error.startswith("error: ")

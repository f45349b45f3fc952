"""The commands of the paper's evaluation: on digits instead of MNIST, and against values computed by hand."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.commands import SHORT
from helpers.killed_run import Server
from scipy.stats import ttest_rel

from benchmarks.paper import __main__ as command
from benchmarks.paper import commands, experiments, markdown, report, significance, training
from benchmarks.paper.commands import Runs, table
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.report import summarise
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.tables import COMMANDS
from benchmarks.paper.training import RunError, Workspace
from nested_lightning.cli.lightning_cli import NestedCLI

ROOT = Path(__file__).parents[2]
DIGITS: Any = {
    "mnist": {
        "test": "digits",
        "all": "--config recipes/digits.yaml " + " ".join(SHORT),
        "variants": {"nested": "", "traditional": "--config recipes/variants/traditional.yaml"},
    }
}


@pytest.fixture
def digits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(command: list[str], stdout: Any, **_: Any) -> int:
        return server.run(command[3:], Path(stdout.name), module=command[2])

    monkeypatch.setattr(experiments, "_settings", lambda: DIGITS)
    monkeypatch.setattr("benchmarks.paper.training.subprocess.call", call)


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    made = report.format_page(report.read_results(ROOT / "benchmarks" / "results"))
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == made
    for name, result in report.read_results(ROOT / "benchmarks" / "results").items():
        assert result.name == name and result.seeds == sorted(result.seeds)
        for picture in result.pictures:
            assert (ROOT / "docs" / "figures" / f"{picture}.png").stat().st_size < 150_000


def test_the_results_were_made_with_the_options_that_the_commands_have_now() -> None:
    for name, found in report.read_results(ROOT / "benchmarks" / "results").items():
        for key, run in found.runs.items():
            wanted = Experiment(*key.split("/"), seed=1).options("{data}")
            assert run["options"] == " ".join(wanted), f"{name} has {key} of other options"


@pytest.mark.usefixtures("digits")
def test_trains_once_and_evaluates_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--data", str(tmp_path), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    command.main(["tableB1", "--seeds", "1", *folders])
    printed = capsys.readouterr().out
    run = tmp_path / "runs" / "mnist" / "nested" / "seed-1"
    made = json.loads((run / "run.json").read_text())
    assert made["options"] == Experiment("mnist", "nested", 1).options("x") and made["seconds"] > 0
    measured = json.loads((run / "evaluation.json").read_text())
    parts = {"clean", *(f"distortion_{i}" for i in range(1, 5))}
    assert set(measured["calibrated"]) == set(measured["uncalibrated"]) == parts
    assert measured["calibrated"] == measured["combinations"]["nested"]
    row = (run / "metrics.csv").read_text()
    assert str(measured["calibrated"]["clean"]["fine/accuracy"])[:6] in row
    before = (run / "checkpoints" / "final.ckpt").stat().st_mtime
    (run / "evaluation.json").unlink()
    command.main(["tableB1", "--seeds", "1", *folders])
    assert (run / "checkpoints" / "final.ckpt").stat().st_mtime == before
    assert capsys.readouterr().out == printed
    result = json.loads((tmp_path / "results" / "tableB1.json").read_text())
    fine = measured["calibrated"]["clean"]["fine/accuracy"]
    assert result["rows"][0]["cells"][1]["accuracy"] == [round(100 * fine, 2)]
    assert result["seeds"] == [1] and result["versions"]["torch"]


@pytest.mark.usefixtures("digits")
def test_a_failed_run_and_other_options_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, tmp_path, jobs=1)
    other = Experiment("mnist", "traditional", 1)
    training.write(other.folder(tmp_path) / "run.json", {"options": ["--other"]})
    with pytest.raises(RunError, match=r"trained with the options --other, .* move that folder away"):
        training.complete([other], workspace)
    monkeypatch.setitem(DIGITS["mnist"]["variants"], "nested", "--data.budgets [1,2]")
    with pytest.raises(SystemExit) as stopped:
        command.main(["tableB1", "--seeds", "1", "--data", str(tmp_path), "--runs", str(tmp_path)])
    assert stopped.value.code == 2
    assert "failed (exit code 2)" in (told := capsys.readouterr().err) and "data.budgets" in told


def test_a_missing_folder_of_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["tableB1", "--data", str(tmp_path / "none")])
    assert "not a folder; give the one with mnist" in capsys.readouterr().err


def test_every_table_needs_variants_that_exist() -> None:
    for entry in COMMANDS.values():
        needed = entry.runs(Workspace(ROOT, ROOT), 2).experiments()
        assert len(set(needed)) == len(needed)
        for experiment in needed:
            options = experiment.options("DATA")
            assert options[0] == "--config" and not any("{" in option for option in options)


def test_a_stage_of_the_budgets_sees_as_many_samples_whatever_the_budget() -> None:
    options = {n: Experiment("mnist", f"end_to_end_at_{n}", 1).options("DATA") for n in (100, 1000, 6000)}
    epochs = {n: int(o[o.index("--cascade.max_epochs") + 1]) for n, o in options.items()}
    assert epochs == {100: 200, 1000: 60, 6000: 10}


def configurations() -> list[Any]:
    settings: Any = yaml.safe_load((ROOT / "benchmarks" / "paper" / "experiments.yaml").read_text())
    found: list[Any] = []
    for dataset, values in settings.items():
        curves = [f"{method}_at_100" for method in values.get("budgets", {}).get("methods", {})]
        for variant in [*values["variants"], *curves]:
            quick = variant == "nested" or (dataset == "mnist" and not variant.startswith("tuning"))
            found.append(pytest.param(dataset, variant, marks=() if quick else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("dataset", "variant"), configurations())
def test_the_command_line_takes_the_options(dataset: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[Any] = []
    monkeypatch.setattr(NestedCLI, "instantiate_classes", lambda self: sources.append(self.config.fit.data.source))
    monkeypatch.setattr(NestedCLI, "_run_subcommand", lambda self, name: None)
    from nested_lightning.cli.main import main

    main(["fit", *Experiment(dataset, variant, 1).options("DATA")])
    assert len(sources) == 1 and "DATA/" in str(sources[0])


def test_verdicts_by_hand() -> None:
    assert significance.compare([99.0], 99.4, 0.5) == "=" and significance.compare([99.0], 99.6, 0.5) == "-"
    assert significance.compare([90.0, 92.0], 88.2, 0.5) == "=" and significance.compare([90.0, 92.0], 88.1, 0.5) == "+"
    assert significance.judge(Cell([98.0, 98.1], [97.9, 98.0], [94.2, 84.1])) == "better / better"
    assert significance.judge(Cell([98.0], [80.0], [98.1, 98.0])) == "within spread / worse"
    assert significance.judge(Cell([98.0], [80.0], [98.1])) == "within spread"
    assert significance.judge(Cell([98.0], [80.0])) == ""


def test_the_paired_interval_is_that_of_the_t_test() -> None:
    rng = np.random.default_rng(0)
    ours, baseline = rng.normal(1, 1, 6), rng.normal(0, 1, 6)
    middle, half = significance.confidence_interval(significance.subtract(ours.tolist(), baseline.tolist()))
    low, high = ttest_rel(ours, baseline).confidence_interval(0.95)
    assert (middle - half, middle + half) == pytest.approx((low, high))
    assert significance.confidence_interval(significance.subtract([1.0], [3.0])) == (-2.0, math.inf)


def result(name: str = "table6", **values: Any) -> Result:
    cells: list[Cell | None] = [Cell([98.0, 99.0], [97.0, 97.5], [94.2, 84.1]), None]
    made = {"title": "A table", "columns": ["Original", "Distortion 1"], "rows": [Row("Fine", cells)]}
    return Result(name=name, **{"seeds": [1, 2], **made, **values})


def test_a_result_survives_json() -> None:
    before = result(notes=["a note"], values={"x": {"1": [2.0]}}, pictures={"p": object()})
    after = Result.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after.rows == before.rows and after.values == before.values and list(after.pictures) == ["p"]


def test_markdown_by_hand() -> None:
    spread = statistics.stdev([98.0, 99.0])
    assert markdown.format_table(result()).splitlines() == [
        "| | Original | Distortion 1 |",
        "|---|---|---|",
        f"| Fine | 98.5 ± {spread:.1f} / 97.2 ± 0.4 (paper 94.2/84.1: better / better) | - |",
    ]
    assert markdown.format_difference([1.0, 1.1, 0.9]).startswith("**+1.0 ±")
    assert markdown.format_difference([1.0, -1.1, 0.9]).startswith("+0.3 ±")
    assert markdown.format_mean([54079.0]) == "54,079"


def test_the_page_has_every_result_and_names_what_is_missing() -> None:
    page = report.format_page({"table6": result(notes=["a\n note"], pictures={"p": None})})
    assert "## A table" in page and "![A table](figures/p.png)" in page and "a note" in page
    assert "python -m benchmarks.paper table6 --seeds 2`; seeds 1, 2" in page
    assert "- `python -m benchmarks.paper tableB1`" in page and "- `python -m benchmarks.paper table6`" not in page


def curve(base: float, seeds: int = 3) -> dict[str, Any]:
    return {"100": [{"clean": {"accuracy": base + i / 1000}} for i in range(seeds)]}


def summary_of(made: Result) -> list[str]:
    return summarise({made.name: made}).splitlines()


def test_the_summary_counts_significant_differences() -> None:
    values = {"nested": curve(0.9), "end_to_end": curve(0.8), "traditional": curve(0.9)}
    assert summary_of(result("budgets_mnist", values=values))[2:] == [
        "**Few fine labels, MNIST, finest level** (2 seeds): nested is significantly better in 1 of 2 "
        "comparisons (end to end, clean: 100), significantly worse in 0.",
        "",
        "| baseline | 100 |",
        "|---|---|",
        "| end to end, clean | **+10.0 ± 0.0** |",
        "| traditional, clean | +0.0 ± 0.0 |",
    ]
    rows = [
        Row("fine: traditional", [Cell([-1.0, -1.1], [0.0, 0.0]), None]),
        Row("middle: traditional", [Cell([9.0, 9.0], [0.0, 0.0]), None]),
        Row("fine: e2e, calibrated", [Cell([1.0, 1.0], []), None]),
    ]
    lines = summary_of(result("comparison_mnist", rows=rows))
    assert ": nested is significantly better in 0 of 1 comparisons, " in lines[2]
    assert lines[2].endswith(", significantly worse in 1 (traditional: fine, original).")
    assert lines[4:] == ["| baseline | fine, original |", "|---|---|", "| traditional | **-1.1 ± 0.6** |"]


def test_the_summary_compares_each_baseline_with_nested() -> None:
    rows = [
        Row("End-to-end", [Cell([90.0, 91.0]), Cell([80.0, 81.0])]),
        Row("Nested", [Cell([92.0, 93.0]), Cell([80.0, 79.0])]),
    ]
    lines = summary_of(result("table2_dbpedia", title="Table 2: texts", columns=["l1", "l2"], rows=rows))
    start = "**Table 2: texts** (2 seeds): nested is significantly better in 1 of 2 comparisons (end-to-end: l1), "
    assert lines[2].startswith(start)
    assert lines[-1] == "| end-to-end | **+2.0 ± 0.0** | -1.0 ± 12.7 |"
    found = {"a, nested": 2.0, "a, end-to-end": 3.0, "b, nested": 9.0, "b, end-to-end": 5.0}
    rows = [Row(label, [Cell([coarse, coarse]), Cell([90.0, 100.0])]) for label, coarse in found.items()]
    assert summary_of(result("table4", columns=["coarse", "rows broken"], rows=rows))[-4:] == [
        "| baseline | coarse |",
        "|---|---|",
        "| a, end-to-end | **-1.0 ± 0.0** |",
        "| b, end-to-end | **+4.0 ± 0.0** |",
    ]


def test_with_one_seed_nothing_is_significant() -> None:
    values = {"nested": curve(0.9, 1), "end_to_end": curve(0.7, 1)}
    lines = "\n".join(summary_of(result("budgets_mnist", seeds=[1], values=values)))
    assert "(1 seed, so nothing is significant): nested is significantly better in 0 of 1 comparisons, " in lines
    assert "| end to end, clean | +20.0 |" in lines and "inf" not in lines


def test_a_table_is_a_decorated_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "REGISTERED", {})

    @table("table7", dataset="mnist", variants=["nested", "traditional"], seeds=2)
    def compare_paths(runs: Runs) -> Result:
        paths = {v: [e["calibrated"]["clean"]["path/accuracy"] for e in runs.evaluations(v)] for v in runs.variants}
        rows = [Row(variant, [Cell(percent(accuracies))]) for variant, accuracies in paths.items()]
        return Result(title="Table 7", columns=["Original"], rows=rows)

    entry = commands.REGISTERED["table7"]
    runs = entry.runs(Workspace(tmp_path, tmp_path), first=3)
    assert [(e.variant, e.seed) for e in runs.experiments()] == [
        *(("nested", 3), ("traditional", 3)),
        *(("nested", 4), ("traditional", 4)),
    ]
    for i, experiment in enumerate(runs.experiments()):
        made = {"options": ["a", "b"], "seconds": i, "device": "CPU", "versions": {"torch": f"2.{i // 2}"}}
        training.write(experiment.folder(tmp_path) / "run.json", made)
        evaluation = {"calibrated": {"clean": {"path/accuracy": i / 8}}}
        training.write(experiment.folder(tmp_path) / "evaluation.json", evaluation)
    made = entry.result(runs)
    assert [(row.label, row.cells[0].accuracy) for row in made.rows if row.cells[0]] == [
        ("nested", [0.0, 25.0]),
        ("traditional", [12.5, 37.5]),
    ]
    assert (made.name, made.seeds, made.versions) == ("table7", [3, 4], {"torch": "2.0, 2.1"})
    assert made.runs["mnist/nested"] == {"options": "a b", "seconds": [0, 2], "devices": ["CPU", "CPU"]}

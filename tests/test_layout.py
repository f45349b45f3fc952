"""Every package file has a test file of its name in the mirrored folder, and no file or function is too long."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "nested_lightning").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 300, 60  # lines

# Package files without a test file of their name: the test file that covers them, or the reason for having none.
COVERED_BY = {
    "__main__.py": "cli/test_main.py",
    "errors.py": "exceptions without behaviour, raised in the tests of what raises them",
    "prediction.py": "test_module.py",
    "stage.py": "callbacks/test_cascade.py",
    "callbacks/calibrator.py": "callbacks/test_calibrators.py",
    "callbacks/evaluation.py": "callbacks/test_figures.py",
    "callbacks/final.py": "callbacks/test_report.py",
    "callbacks/interruption.py": "callbacks/test_signals.py",
    "callbacks/pictures.py": "callbacks/test_figures.py",
    "callbacks/rejection.py": "callbacks/test_calibrators.py",
    "callbacks/run_figures.py": "callbacks/test_figures.py",
    "callbacks/samples.py": "callbacks/test_figures.py",
    "callbacks/summary.py": "callbacks/test_figures.py",
    "callbacks/temperature.py": "callbacks/test_calibrators.py",
    "callbacks/wandb_tables.py": "callbacks/test_wandb.py",
    "checkpoints/io.py": "checkpoints/test_allowlist.py",
    "cli/checkpoint_options.py": "cli/test_main.py",
    "cli/lightning_cli.py": "cli/test_main.py",
    "cli/output.py": "cli/test_main.py",
    "cli/parser.py": "cli/test_errors.py",
    "cli/program.py": "cli/test_main.py",
    "cli/dashboard/command.py": "cli/dashboard/test_dashboard.py",
    "cli/dashboard/levels.py": "cli/dashboard/test_dashboard.py",
    "cli/dashboard/workspace.py": "cli/dashboard/test_dashboard.py",
    "cli/report/command.py": "cli/report/test_report.py",
    "cli/report/page.py": "cli/report/test_report.py",
    "cli/report/run.py": "cli/report/test_report.py",
    "cli/report/tables.py": "cli/report/test_report.py",
    "cli/taxonomy/build.py": "cli/taxonomy/test_build_command.py",
    "cli/taxonomy/check.py": "cli/taxonomy/test_show_and_check.py",
    "cli/taxonomy/command.py": "cli/taxonomy/test_show_and_check.py",
    "cli/taxonomy/contradictions.py": "cli/taxonomy/test_show_and_check.py",
    "cli/taxonomy/discover.py": "cli/taxonomy/test_discover_command.py",
    "cli/taxonomy/labels.py": "cli/taxonomy/test_build_command.py",
    "cli/taxonomy/leaves.py": "cli/taxonomy/test_build_command.py",
    "cli/taxonomy/output.py": "cli/taxonomy/test_build_command.py",
    "cli/taxonomy/show.py": "cli/taxonomy/test_show_and_check.py",
    "data/checks.py": "data/test_datamodule.py",
    "data/inputs.py": "data/test_numbers.py",
    "data/labelled.py": "data/test_labels.py",
    "data/lemmas.py": "data/test_vocabulary.py",
    "data/parts.py": "data/test_partition.py",
    "data/reader.py": "data/test_sources.py",
    "discovery/affinity.py": "discovery/test_grouping.py",
    "discovery/confusion.py": "discovery/test_rows.py",
    "discovery/seriation.py": "discovery/test_grouping.py",
    "figures/confidence.py": "figures/test_figures.py",
    "figures/depth.py": "figures/test_figures.py",
    "figures/distortion.py": "figures/test_figures.py",
    "figures/level_confusion.py": "figures/test_confusion.py",
    "figures/png.py": "figures/test_figures.py",
    "figures/risk_coverage.py": "figures/test_figures.py",
    "figures/samples.py": "figures/test_figures.py",
    "figures/style.py": "figures/test_figures.py",
    "figures/timeline.py": "figures/test_figures.py",
    "functional/path.py": "metrics/test_selective.py",
    "loggers/pictures.py": "callbacks/test_figures.py",
    "loggers/wandb.py": "callbacks/test_wandb.py",
    "metrics/accuracy.py": "metrics/test_level.py",
    "metrics/calibration_error.py": "metrics/test_level.py",
    "metrics/confidence.py": "metrics/test_level.py",
    "models/checks.py": "models/test_unet.py",
    "models/dense_bottleneck.py": "models/test_densenet.py",
    "models/ngrams.py": "models/test_ngram.py",
    "models/text_cache.py": "models/test_ngram.py",
    "utils/console.py": "callbacks/test_progress.py",
    "utils/hparams.py": "test_module.py",
    "utils/reseed.py": "utils/test_random.py",
}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT / "nested_lightning").as_posix()


def test_every_file_has_a_test_file() -> None:
    without = {
        name_of(file)
        for file in FILES
        if file.name != "__init__.py" and not (ROOT / "tests" / name_of(file)).with_name(f"test_{file.name}").exists()
    }
    assert without - COVERED_BY.keys() == set(), "add a test file, or an entry in COVERED_BY"
    assert COVERED_BY.keys() - without == set(), "these entries of COVERED_BY are not needed any more"
    for name in COVERED_BY.values():
        assert (ROOT / "tests" / name).is_file() or not name.endswith(".py"), f"there is no tests/{name}"


def test_no_file_or_function_is_too_long() -> None:
    too_long = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if len(text.splitlines()) > LONGEST_FILE:
            too_long.append(name_of(file))
        for node in ast.walk(ast.parse(text)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                too_long.append(f"{name_of(file)}: {node.name}")
    assert too_long == []

"""Every package file has a test file of its name in the mirrored folder, and no file or function is too long."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "nested_lightning").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 300, 60  # lines

# Test files of other names, and the package files that they cover: in the mirrored folder, or by path from the root.
COVERED = {
    "callbacks/test_calibrators.py": "calibrator rejection temperature",
    "callbacks/test_cascade.py": "best_weights /stage",
    "callbacks/test_figures.py": "evaluation run_figures /metrics/evaluation",
    "callbacks/test_progress.py": "/utils/console",
    "callbacks/test_wandb.py": "/loggers/wandb",
    "cli/dashboard/test_dashboard.py": "workspace",
    "cli/report/test_report.py": "page runs tables",
    "cli/taxonomy/test_build_command.py": "build",
    "cli/taxonomy/test_discover_command.py": "discover",
    "cli/taxonomy/test_show_and_check.py": "check show",
    "cli/test_main.py": "/__main__ checkpoint_options lightning_cli output",
    "data/test_numbers.py": "columns",
    "data/test_sources.py": "digits",
    "discovery/test_grouping.py": "affinity",
    "figures/test_figures.py": "confidence depth distortion samples style timeline",
    "models/test_ngram.py": "text_cache",
    "taxonomy/test_yaml.py": "/utils/yaml",
    "test_module.py": "/utils/hparams",
}
UNTESTED = {"errors": "exceptions without behaviour, tested where they are raised"}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT / "nested_lightning").with_suffix("").as_posix()


def has_own_test(name: str) -> bool:
    return (ROOT / "tests" / name).with_name(f"test_{Path(name).name}.py").is_file()


def test_every_file_has_a_test_file() -> None:
    expected = {name_of(file) for file in FILES if file.name != "__init__.py"}
    expected = {name for name in expected if not has_own_test(name)}
    covered = set(UNTESTED)
    for test, names in COVERED.items():
        assert (ROOT / "tests" / test).is_file(), f"there is no tests/{test}"
        covered |= {(Path(test).parent / name).as_posix().removeprefix("/") for name in names.split()}
    missing, needless = sorted(expected - covered), sorted(covered - expected)
    assert not missing, f"add test files for {missing}, or name them in COVERED"
    assert not needless, f"remove {needless} from COVERED or UNTESTED"


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

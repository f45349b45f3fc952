"""Nested minus each baseline, seed by seed. Not in the paper."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.paper.commands import Differences, Runs, table
from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import read_settings
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.significance import subtract

Baselines = Mapping[str, tuple[str, str]]
"""By label the variant, and whether its calibrated or its uncalibrated model is compared."""
COLUMNS = {"Original": CLEAN, "Distortion 2": "distortion_2", "Distortion 4": "distortion_4"}


def _end_to_end(*numbers: int) -> Baselines:
    states = {"": "uncalibrated", ", calibrated": "calibrated"}
    return {
        f"end to end, {n:,} fine labels{suffix}": (f"end_to_end_{n}", state)
        for n in numbers
        for suffix, state in states.items()
    }


OTHERS = {
    "multi-task": ("multi_task", "calibrated"),
    "marginalised leaf loss": ("marginal", "calibrated"),
    "no skip connections": ("no_skip", "calibrated"),
}
COMPARISONS: dict[str, tuple[str, int, Baselines]] = {
    "comparison_mnist": ("mnist", 5, {**_end_to_end(6000, 9000), "traditional": ("traditional", "calibrated")}),
    "comparison_mnist_others": ("mnist", 5, OTHERS),
    "comparison_fashion": ("fashion_mnist", 3, _end_to_end(6000, 9000)),
    "comparison_cifar10": ("cifar10", 1, _end_to_end(10000, 15000)),
}
"""By command the data set, the number of seeds and the baselines."""


def compare(runs: Runs) -> Result:
    """Return the differences in points: of accuracy, and of the gap between confidence and accuracy."""
    nested = [e["calibrated"] for e in runs.evaluations("nested")]
    rows = []
    for label, (variant, state) in COMPARISONS[runs.name][-1].items():
        baseline = [e[state] for e in runs.evaluations(variant)]
        for level in ("coarse", "middle", "fine"):
            readers = [(_accuracy_at(level, part), _gap_at(level, part)) for part in COLUMNS.values()]
            cells = [Cell(*(percent(subtract(nested, baseline, read)) for read in pair)) for pair in readers]
            rows.append(Row(f"{level}: {label}", cells))
    name = read_settings(runs.dataset)["name"]
    title = f"Nested minus baseline, {name}: accuracy / gap between confidence and accuracy"
    return Result(title=title, columns=list(COLUMNS), rows=rows)


def read_differences(dataset: str, result: Result) -> tuple[str, Differences]:
    """Return the differences of accuracy to each baseline as it was trained, at the coarse and the fine level."""
    found: dict[str, dict[str, Sequence[float]]] = {}
    for row in result.rows:
        level, baseline = row.label.split(": ")
        if level != "middle" and "calibrated" not in baseline:
            for column, cell in zip(result.columns, row.cells, strict=True):
                if cell is not None:
                    found.setdefault(baseline, {})[f"{level}, {column.lower()}"] = cell.accuracy
    return f"As many samples at each level, {read_settings(dataset)['name']}", found


def _accuracy_at(level: str, part: str) -> Callable[[Mapping[str, Mapping[str, float]]], float]:
    return lambda evaluation: evaluation[part][f"{level}/accuracy"]


def _gap_at(level: str, part: str) -> Callable[[Mapping[str, Mapping[str, float]]], float]:
    return lambda evaluation: abs(evaluation[part][f"{level}/confidence"] - evaluation[part][f"{level}/accuracy"])


for _name, (_dataset, _seeds, _baselines) in COMPARISONS.items():
    _variants = ["nested", *(variant for variant, _ in _baselines.values())]
    table(_name, dataset=_dataset, variants=_variants, seeds=_seeds, differences=read_differences)(compare)

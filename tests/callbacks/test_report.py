import re

import pytest
import torch
from helpers.toy import TAXONOMY, Recorder, loader, toy_module, toy_trainer

from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, Report, TemperatureScaling
from nested_lightning.metrics import NestedMetrics

VALIDATION = loader(64, seed=3)


@pytest.fixture
def fit(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")

    def fitted(*callbacks, validation=VALIDATION, **options):
        module, logger = toy_module(), Recorder()
        trainer = toy_trainer(tmp_path, *callbacks, logger=logger, **{"max_epochs": 2, **options})
        trainer.fit(module, loader(64), validation)
        return module, logger.rows[-1] if logger.rows else {}, capsys.readouterr().out

    return fitted


def cells(printed: str, level: str) -> list[str]:
    row = next(line for line in printed.splitlines() if line.startswith(f"│ {level} "))
    return [cell.strip() for cell in row.strip("│").split("│")][1:]


@torch.no_grad()
def by_hand(module) -> dict[str, float]:
    metrics = NestedMetrics(TAXONOMY)
    module.eval()
    for x, target in VALIDATION:
        metrics.update([p.log() for p in module.predict(x).probabilities], target)
    return {name: float(value) for name, value in metrics.compute().items()}


def test_after_and_before_calibration(fit, tmp_path):
    module, logged, printed = fit(RejectionFineTuning(steps=20), TemperatureScaling(), Report())
    after, before = by_hand(module), module.evaluation.before
    assert "validation data, in %, after (before) calibration" in printed
    for level in TAXONOMY.levels:
        for name, cell in zip(("accuracy", "confidence", "ece"), cells(printed, level), strict=True):
            key = f"{level}/{name}"
            assert cell == f"{100 * after[key]:.2f} ({100 * before[key]:.2f})"
            assert logged[f"val/{key}"] == pytest.approx(after[key], abs=1e-6)
            assert logged[f"uncalibrated/val/{key}"] == before[key]
    assert f"accuracy: {100 * after['path/accuracy']:.2f} %" in printed
    assert f"Files of this run: {tmp_path}" in printed


def test_without_calibration_there_is_nothing_before(fit):
    module, logged, printed = fit(Report())
    after = by_hand(module)
    assert cells(printed, "leaf") == [
        f"{100 * after[f'leaf/{name}']:.2f}" for name in ("accuracy", "confidence", "ece")
    ]
    assert not any(key.startswith("uncalibrated") for key in logged)


def test_a_level_without_labels_shows_no_number(fit):
    _, _, printed = fit(Report(), validation=loader(64, depth=2, seed=3))
    assert not any(re.search(r"\d", cell) for cell in cells(printed, "leaf"))
    assert re.search(r"\d", cells(printed, "group")[0])


def test_nothing_to_report(fit):
    with pytest.warns(UserWarning, match="Training stopped"):
        assert fit(CascadeTraining(), Report(), max_epochs=1)[2] == ""
    assert "in %" not in fit(Report(), fast_dev_run=True)[2]
    assert fit(Report(), validation=None)[2] == ""


def test_testing_ends_with_a_table_of_every_loader(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    module, trainer = toy_module(), toy_trainer(tmp_path, Report(), max_epochs=1)
    figures = {}
    for values in trainer.test(module, [loader(64, seed=3), loader(64, seed=4)], verbose=False):
        figures |= values
    plain, other = capsys.readouterr().out.split("loader 1 data, in %")
    assert "test data, in %" in plain and "calibration" not in plain
    for printed, split in ((plain, "test"), (other, "test/loader_1")):
        for level in TAXONOMY.levels:
            names = ("accuracy", "confidence", "ece")
            assert cells(printed, level) == [f"{100 * figures[f'{split}/{level}/{name}']:.2f}" for name in names]

"""Test loaders of distorted rows: what a row gets, and the names of the logged metrics."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.commands import run
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.errors import ConfigurationError
from nested_lightning.transforms import Turbulence

DIGITS = "taxonomies/digits.yaml"


def digits(**options: Any) -> HierarchicalDataModule:
    data = HierarchicalDataModule("digits", DIGITS, test=60, **{"seed": 1, **options})
    data.setup("test")
    return data


def inputs(loader: Any) -> Tensor:
    return torch.cat([x for x, _ in loader])


def noise(image: Tensor) -> Tensor:
    return image + torch.rand_like(image)


def classifier(data: HierarchicalDataModule) -> NestedLightningModule:
    torch.manual_seed(0)
    return NestedLightningModule(nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), data.taxonomy, feature_channels=8)


def test_the_clean_rows_come_first_and_each_distortion_after_them() -> None:
    loaders = digits(distortions={"brighter": lambda x: x + 1, "darker": lambda x: x / 2}, transform=lambda x: 10 * x)
    clean, brighter, darker = (inputs(loader) for loader in loaders.test_dataloader())
    assert torch.equal(clean, inputs(digits(transform=lambda x: 10 * x).test_dataloader()))
    torch.testing.assert_close(brighter, clean + 10)  # the transform comes last
    torch.testing.assert_close(darker, clean / 2)


def test_a_row_is_distorted_alike_in_any_batch_and_whatever_was_drawn_before() -> None:
    loader = digits(distortions={"noise": noise}).test_dataloader()[1]
    first = inputs(loader)
    state = torch.get_rng_state()
    assert torch.equal(inputs(loader), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(inputs(digits(distortions={"noise": noise}, eval_batch_size=7).test_dataloader()[1]), first)
    added = first - inputs(digits().test_dataloader())
    assert len(added.flatten(1).unique(dim=0)) == 60  # each row another
    assert not torch.equal(inputs(digits(distortions={"noise": noise}, seed=2).test_dataloader()[1]), first)


def test_distortions_of_other_strength_draw_the_same_numbers() -> None:
    data = digits(distortions={"a": noise, "b": lambda x: x + 2 * torch.rand_like(x)})
    clean, a, b = (inputs(loader) for loader in data.test_dataloader())
    torch.testing.assert_close(b - clean, 2 * (a - clean))


def test_metrics_are_logged_by_name(tmp_path: Path) -> None:
    data = digits(distortions={"upside_down": lambda x: x.flip(1), "strong": Turbulence(3.0)})
    module = classifier(data)
    trainer = L.Trainer(default_root_dir=tmp_path, logger=False, enable_progress_bar=False)
    logged: dict[str, float] = {}
    for values in trainer.test(module, data, verbose=False):
        logged |= values
    for split, loader in zip(("test", "test/upside_down", "test/strong"), data.test_dataloader(), strict=True):
        target = torch.cat([y for _, y in loader])
        predicted = [p.argmax(1) for p in module.predict(inputs(loader)).probabilities]
        for i, level in enumerate(data.levels):
            accuracy = float((predicted[i] == target[:, i]).float().mean())
            assert logged[f"{split}/{level}/accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert len({logged[f"{s}/fine/confidence"] for s in ("test", "test/upside_down", "test/strong")}) == 3
    assert not any("dataloader_idx" in key for key in logged)


def test_custom_loaders_are_numbered(tmp_path: Path) -> None:
    data = digits(distortions={"a": noise})
    rows = next(iter(data.test_dataloader()[0]))
    loaders = [DataLoader([rows], batch_size=None), DataLoader([(rows[0] * 0, rows[1])], batch_size=None)]
    trainer = L.Trainer(default_root_dir=tmp_path, logger=False, enable_progress_bar=False)
    module = classifier(data)
    trainer.test(module, data, verbose=False)  # the trainer remembers this data module
    logged = {key for values in trainer.test(module, loaders, verbose=False) for key in values}
    assert {"test/fine/accuracy", "test/loader_1/fine/accuracy"} <= logged
    assert not any(key.startswith("test/a/") for key in logged)


@pytest.mark.parametrize("name", ["fine", "path", "a/b", ""])
def test_refuses_names_that_are_taken(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.distortions has the name"):
        digits(distortions={name: noise}).test_dataloader()


@pytest.mark.parametrize("overlay", ["distortions", "perturbations"])
def test_overlays_test_a_finished_run(
    overlay: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--data.test=40", "--trainer.default_root_dir", tmp_path, "--trainer.accelerator=cpu"]
    final = trained / "checkpoints" / "final.ckpt"
    run("test", f"--config=recipes/evaluation/{overlay}.yaml", "--ckpt_path", final, *few)
    out = capsys.readouterr().out
    names = {"distortions": ["distortion_1", "distortion_4"], "perturbations": ["occlusion", "vertical_flip", "blur"]}
    for name in names[overlay]:
        assert f"{name.replace('_', ' ')} data, in %" in out

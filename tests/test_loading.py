"""Load a finished run of the command line in Python."""

from pathlib import Path

import pytest
import torch

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.errors import CheckpointError, ConfigurationError
from nested_lightning.loading import load_run


@pytest.fixture
def finished(trained: Path) -> Path:
    return trained / "checkpoints" / "final.ckpt"


def test_predicts_with_the_weights_and_temperatures_of_the_checkpoint(finished) -> None:
    module, data = load_run(finished)
    saved = torch.load(finished, weights_only=True)
    assert isinstance(module, NestedLightningModule) and isinstance(data, HierarchicalDataModule)
    assert not module.training
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, saved["state_dict"][name], rtol=0, atol=0)
    assert data.state_dict() == saved["HierarchicalDataModule"] and data.state_dict()["seed"] == 3
    data.setup("test")
    images, target = next(iter(data.test_dataloader()))
    accuracy = (module.predict(images).probabilities[0].argmax(1) == target[:, 0]).float().mean()
    logged = saved["evaluation"]["after"]["coarse/accuracy"]
    assert float(accuracy) == pytest.approx(logged, abs=1e-6)


def test_data_options_go_before_those_of_the_run(finished) -> None:
    _, data = load_run(finished, eval_batch_size=7)
    data.setup("test")
    assert len(next(iter(data.test_dataloader()))[0]) == 7
    with pytest.raises(ConfigurationError, match="no_such_option"):
        load_run(finished, no_such_option=1)


def test_checkpoints_of_other_programs_are_refused(finished, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint"):
        load_run(tmp_path / "none.ckpt")
    saved = torch.load(finished, weights_only=True)
    del saved["config"]
    torch.save(saved, tmp_path / "plain.ckpt")
    with pytest.raises(CheckpointError, match="not written by the command line"):
        load_run(tmp_path / "plain.ckpt")

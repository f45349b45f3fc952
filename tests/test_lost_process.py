import pytest
import torch
from nested_lightning.lost_process import lost_process

GLOO = "[pair.cc:545] Read error [127.0.0.1]:4: Connection reset by peer. This is typically caused by a remote worker"


@pytest.fixture
def _distributed(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)


@pytest.mark.usefixtures("_distributed")
def test_a_peer_that_is_gone():
    told = lost_process(RuntimeError(GLOO))
    assert "Connection reset by peer)" in told
    assert "--ckpt_path last" in told


@pytest.mark.usefixtures("_distributed")
def test_other_errors_are_not_explained_away():
    assert lost_process(RuntimeError("shape mismatch")) is None
    assert lost_process(ConnectionResetError("Connection reset by peer")) is None


def test_one_process_has_no_peer():
    assert lost_process(RuntimeError(GLOO)) is None

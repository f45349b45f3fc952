import pytest
import torch

from nested_lightning.cli.failures import told
from nested_lightning.errors import DataError

GLOO = "[pair.cc:545] Read error [127.0.0.1]:4: Connection reset by peer. This is typically caused by a remote worker"


@pytest.fixture
def _distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)


@pytest.mark.usefixtures("_distributed")
def test_a_peer_that_is_gone() -> None:
    failure = told(RuntimeError(GLOO))
    assert failure is not None
    message, code = failure
    assert "Connection reset by peer)" in message and "--ckpt_path last" in message and code == 1


@pytest.mark.usefixtures("_distributed")
def test_other_errors_are_not_explained_away() -> None:
    assert told(RuntimeError("shape mismatch")) is None
    assert told(ConnectionResetError("Connection reset by peer")) is None


def test_one_process_has_no_peer() -> None:
    assert told(RuntimeError(GLOO)) is None


def test_a_mistake_is_found_behind_what_wraps_it() -> None:
    wrapped = ValueError("of a parser")
    wrapped.__cause__ = DataError("row 3")
    assert told(wrapped) == ("row 3", 2)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 TB")])
def test_too_little_memory_says_what_to_lower(error: Exception) -> None:
    failure = told(error)
    assert failure is not None and "data.batch_size" in failure[0] and failure[1] == 2

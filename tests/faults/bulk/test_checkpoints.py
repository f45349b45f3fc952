"""Checkpoints damaged anywhere load as they were saved, or raise a CheckpointError that names the file."""

import copy
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.bulk.outcomes import attempt, bulk, command_accepts, is_rejected
from faults.bulk.trees import mostly
from helpers.witnesses import same
from hypothesis import strategies as st

from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.errors import CheckpointError, NestedLightningError
from nested_lightning.loading import load_run

places = st.floats(0, 1) | st.floats(0, 0.1) | st.floats(0.95, 1)


class Saved:
    """A checkpoint whose contents are not printed with every failing case."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.folder, self.data = folder, path.read_bytes()
        self.content: dict[str, Any] = torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def saved(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(trained / "checkpoints" / "final.ckpt", tmp_path_factory.mktemp("checkpoints"))


@bulk(
    800,
    flips=st.lists(st.tuples(places, st.integers(0, 7)), max_size=3),
    cut=mostly(st.just(1.0), places),
    repeated=mostly(st.none(), st.tuples(places, st.integers(1, 500))),
)
def test_damaged(saved: Saved, flips: Any, cut: float, repeated: Any) -> bool:
    data = bytearray(saved.data)
    for place, bit in flips:
        data[round(place * (len(data) - 1))] ^= 1 << bit
    if repeated is not None:
        at = round(repeated[0] * len(data))
        data[at:at] = data[at : at + repeated[1]]
    path = saved.folder / "damaged.ckpt"
    path.write_bytes(data[: round(cut * len(data))])
    read = attempt(AtomicCheckpointIO().load_checkpoint, path)
    if is_rejected(read):
        assert isinstance(read, CheckpointError)
        assert str(path) in str(read)
        return False
    assert same(read, saved.content)
    return True


VALUES: Any = [None, 0, -1, 2.5, float("nan"), "", "x", [], {}, [1], {"a": 1}, "os.system", torch.ones(2)]
CHANGES: Any = {
    "keys": st.lists(st.integers(0, 50), min_size=1, max_size=4),
    "value": st.sampled_from(VALUES),
    "is_removed": st.booleans(),
}


def changed(saved: Saved, keys: list[int], value: Any, is_removed: bool) -> Path:
    """Write a readable checkpoint with one value, at any depth, removed or replaced."""
    content = copy.deepcopy(saved.content)
    part: Any = content
    for depth, number in enumerate(keys):
        names = list(part) if isinstance(part, dict) else list(range(len(part)))
        name = names[number % len(names)]
        below = part[name]
        if depth + 1 < len(keys) and isinstance(below, dict | list) and below:
            part = below
            continue
        if is_removed:
            del part[name]
        else:
            part[name] = value
        break
    path = saved.folder / "changed.ckpt"
    torch.save(content, path)
    return path


@bulk(200, **CHANGES)
def test_changed_content(saved: Saved, keys: list[int], value: Any, is_removed: bool) -> bool:
    loaded = attempt(load_run, changed(saved, keys, value, is_removed))
    if is_rejected(loaded):
        assert isinstance(loaded, NestedLightningError)
        return False
    assert loaded[0].predict(torch.rand(2, 1, 8, 8)).probabilities[0].shape[0] == 2
    return True


@bulk(100, command=st.sampled_from(["predict", "test"]), **CHANGES)
def test_changed_content_on_the_command_line(
    saved: Saved, command: str, keys: list[int], value: Any, is_removed: bool
) -> bool:
    path = changed(saved, keys, value, is_removed)
    return command_accepts(command, "--ckpt_path", path, "--trainer.default_root_dir", saved.folder)


@bulk(
    100,
    members=st.lists(st.tuples(st.sampled_from(["archive/data.pkl", "archive/data/0", "x"]), st.integers(0, 10**7))),
    way=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
)
def test_packed_archives(saved: Saved, members: Any, way: int) -> bool:
    """Small archives that unpack to large files are rejected."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", way) as archive:
        for name, size in dict(members).items():
            archive.writestr(name, bytes(size))
    path = saved.folder / "packed.ckpt"
    path.write_bytes(file.getvalue())
    read = attempt(AtomicCheckpointIO().load_checkpoint, path)
    assert isinstance(read, CheckpointError)
    assert str(path) in str(read)
    return False

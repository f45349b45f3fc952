"""A checkpoint from somebody else: it runs nothing, and names nothing that would."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import SHORT, refused, run, write_rows

from nested_lightning.checkpoints.allowlist import refuse_foreign
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.data.word_vectors import read_word_vectors
from nested_lightning.errors import CheckpointError, ConfigurationError, DataError
from nested_lightning.loading import load_run


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, traces: Path) -> None:
        self.traces = traces

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.traces,)


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A checkpoint that is complete, but for one value that is code to run."""
    torch.save({"state_dict": {"w": torch.ones(2)}, "callbacks": Bomb(tmp_path / "traces")}, tmp_path / "bomb.ckpt")
    return tmp_path / "bomb.ckpt"


def test_the_bomb_is_one(bomb: Path) -> None:
    torch.load(bomb, weights_only=False)
    assert (bomb.parent / "traces").exists()


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_a_bomb_is_refused_whatever_is_asked_for(weights_only: bool | None, bomb: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(CheckpointError, match=r"bomb\.ckpt holds more than weights.*nothing in it was run"):
        AtomicCheckpointIO().load_checkpoint(bomb, weights_only=weights_only)
    assert not (bomb.parent / "traces").exists()


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_a_bomb_on_the_command_line(command: str, bomb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = [] if command != "fit" else ["--config=recipes/digits.yaml", "--weights_only=false"]
    message = refused(capsys, command, *recipe, "--ckpt_path", bomb, "--trainer.default_root_dir", bomb.parent / "run")
    assert "bomb.ckpt holds more than weights" in message
    with pytest.raises(CheckpointError, match="holds more than weights"):
        load_run(bomb)
    assert not (bomb.parent / "traces").exists()


@pytest.mark.parametrize(
    "name", ["vectors.txt", "vectors.vec", "vectors.parquet", "vectors.pt", "vectors.npy", "x.pkl"]
)
def test_other_files_that_are_bombs(name: str, tmp_path: Path) -> None:
    """Word vectors, and vocabularies of texts."""
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "traces")))
    with pytest.raises(DataError, match=name):
        read_word_vectors(tmp_path / name, {"owl": 0})
    from nested_lightning.data.vocabulary import Vocabulary

    with pytest.raises(ConfigurationError, match=name):
        Vocabulary.from_file(tmp_path / name, 4)
    assert not (tmp_path / "traces").exists()


# Names

KNOWN = {
    "model": {
        "backbone": {"class_path": "nested_lightning.models.UNetEncoder", "init_args": {"channels": [8]}},
        "bottleneck": {"class_path": "nested_lightning.models.ConvBottleneck"},
        "optimizer": "torch.optim.Adam",
        "criterion": "nested_lightning.functional.marginal_loss",
        "combination": "nested",
        "taxonomy": {"levels": ["a.b", "c"], "leaves": [["os.system", "x.yaml"]]},
        "feature_channels": None,
    },
    "data": {
        "source": ["photos.parquet", "x.json"],
        "taxonomy": "tree.yaml",
        "label_columns": ["a.b", "c.d"],
        "text": {"tokenizer": "/models/mini.lm"},
        "transform": {"class_path": "torchvision.transforms.v2.Normalize", "init_args": {"mean": [0.5]}},
        "distortions": {"fog": {"class_path": "nested_lightning.transforms.Turbulence"}},
    },
}


def test_names_in_own_runs_are_known() -> None:
    refuse_foreign(KNOWN, (), "a.ckpt")


@pytest.mark.parametrize(("group", "option", "value", "named"), [
    ("data", "transform", "os.system", "os.system"),
    ("data", "augmentation", "evil", "evil"),  # may be a file of options
    ("data", "transform", {"class_path": "subprocess.Popen", "init_args": {"args": ["x"]}}, "subprocess.Popen"),
    ("data", "distortions", {"fog": "builtins.eval"}, "builtins.eval"),
    ("model", "backbone", "here/evil.yaml", "here/evil.yaml"),
    ("model", "backbone", {"class_path": "evil.Encoder"}, "evil.Encoder"),
    ("model", "backbone", {"init_args": {"layers": [{"class_path": "evil.Layer"}]}}, "evil.Layer"),
    ("model", "backbone", {"init_args": {"activation": "evil.run"}}, "evil.run"),
    ("model", "optimizer", "torch.load", "torch.load"),
    ("model", "criterion", "torch.nn.functional.torch.load", "torch.nn.functional.torch.load"),
    ("model", "combination", "nested_lightning.utils.files.os.abort", "nested_lightning.utils.files.os.abort"),
    ("model", "criterion", "nested_lightning.models", "nested_lightning.models"),
    ("model", "new_option", "os.system", "os.system"),
])  # fmt: skip
def test_other_names_are_refused_unless_trusted(group: str, option: str, value: Any, named: str) -> None:
    options: dict[str, Any] = {name: dict(below) for name, below in KNOWN.items()}
    options[group][option] = value
    with pytest.raises(CheckpointError, match=rf"a\.ckpt names '{named}'.*in the recipe, as {group}\.{option}"):
        refuse_foreign(options, (), "a.ckpt")
    refuse_foreign(options, {named}, "a.ckpt")


@pytest.mark.parametrize(("group", "option", "value"), [
    ("data", "source", "${oc.env:SECRET}"),
    ("data", "source", "/nowhere/${${data.input_column}:SECRET}"),
    ("data", "source", ["a.csv", r"\${oc.env:SECRET}"]),
    ("data", "source", {"${oc.env:SECRET}"}),
    ("data", "batch_size", "${data.source}"),
    ("data", "${oc.env:SECRET}", 3),
    ("data", "taxonomy", {"levels": ["a"], "leaves": [["${oc.env:SECRET}"]]}),
    ("model", "taxonomy", {"levels": ["${oc.env:SECRET}"]}),
    ("model", "backbone", {"init_args": {"channels": ["${"]}}),
])  # fmt: skip
def test_no_interpolation_is_let_through_even_if_trusted(group: str, option: str, value: Any) -> None:
    options: dict[str, Any] = {name: dict(below) for name, below in KNOWN.items()}
    options[group][option] = value
    with pytest.raises(CheckpointError, match=rf"a\.ckpt has .*{group}\..*could read environment variables"):
        refuse_foreign(options, {str(value), "${oc.env:SECRET}"}, "a.ckpt")


@pytest.mark.parametrize("group", ["model", "data"])
def test_a_group_of_options_cannot_be_the_name_of_a_file(group: str) -> None:
    with pytest.raises(CheckpointError, match=rf"expected a dict of options as {group}, got 'evil'"):
        refuse_foreign(KNOWN | {group: "evil"}, (), "a.ckpt")


@pytest.mark.parametrize("place", ["options", "taxonomy"])
def test_a_checkpoint_cannot_read_the_environment(
    place: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    checkpoint = torch.load(trained / "checkpoints" / "final.ckpt", weights_only=True)
    if place == "options":
        checkpoint["config"]["data"] |= {"input_column": "oc.env", "source": "/nowhere/${${data.input_column}:SECRET}"}
    else:
        checkpoint["taxonomy"]["leaves"][0][-1] = "${oc.env:SECRET}"
    torch.save(checkpoint, changed := tmp_path / "changed.ckpt")
    for command in ("predict", "test"):
        message = refused(capsys, command, "--ckpt_path", changed, "--trainer.default_root_dir", tmp_path / "run")
        assert "could read environment variables" in message and "hunter2" not in message
    with pytest.raises(CheckpointError, match="could read environment variables"):
        load_run(changed)


OWN = """
import pathlib
import torch
pathlib.Path("imported").touch()
class Encoder(torch.nn.Linear):
    pass
"""
RECIPE = """
data: {source: rows.jsonl, taxonomy: tree.yaml, input_column: x, validation: 0.25}
model:
  backbone: {class_path: own_encoder.Encoder, init_args: {in_features: 2, out_features: 4}}
  feature_channels: 4
  bottleneck_channels: 4
trainer: {default_root_dir: run, accelerator: cpu, enable_progress_bar: false}
"""


def test_a_users_class_has_to_be_named_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_encoder.py").write_text(OWN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "tree.yaml").write_text("levels: [l, m]\ntree: {a: [p, q], b: [r]}\n")
    write_rows(tmp_path / "rows.jsonl", [{"x": [i % 3, 1.5], "label": "pqr"[i % 3]} for i in range(48)])
    run("fit", "--config=recipe.yaml", *SHORT)
    (tmp_path / "imported").unlink()
    del sys.modules["own_encoder"]
    final = "run/checkpoints/final.ckpt"
    message = refused(capsys, "predict", "--ckpt_path", final)
    assert "names 'own_encoder.Encoder' as model.backbone.class_path" in message
    with pytest.raises(CheckpointError, match=r"trusted=\['own_encoder\.Encoder'\]"):
        load_run(final)
    assert not (tmp_path / "imported").exists()
    assert load_run(final, trusted=["own_encoder.Encoder"])[0].network.backbone.in_features == 2
    for named in ("--config=recipe.yaml", "--model.backbone=own_encoder.Encoder"):
        run("predict", "--ckpt_path", final, named, "--trainer.default_root_dir", "predicted")
        (tmp_path / "predicted" / "predictions.parquet").unlink()
    assert (tmp_path / "imported").exists()

"""A user's whole project in sixty lines that uses public names only."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
import torch
from helpers import own_project
from helpers.own_project import LEVELS, TREE


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        patch.setenv("PL_GLOBAL_SEED", "")  # restored after the project has set it
        return own_project.main()


def test_the_project_is_short_and_uses_public_names():
    source = Path(own_project.__file__).read_text()
    assert len(source.splitlines()) <= 60
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = {node.module: {alias.name for alias in node.names} for node in imports if "nested_lightning" in node.module}
    assert set(ours) <= {"nested_lightning", "nested_lightning.callbacks", "nested_lightning.models"}
    for module, names in ours.items():
        assert names <= set(import_module(module).__all__)


def test_it_learns_every_level(trained):
    _, _, new, predictions = trained
    for i, (level, least) in enumerate(zip(LEVELS, (0.95, 0.9, 0.85, 0.7), strict=True)):
        names = [TREE.names(i)[k] for batch in predictions for k in batch.probabilities[i].argmax(1).tolist()]
        assert sum(name == label for name, label in zip(names, new[level], strict=True)) > least * len(new), level


def test_its_predictions_are_consistent(trained):
    for batch in trained[3]:
        assert len(batch.depth) == 100
        for i in range(1, 4):  # Eq. 2: the probabilities of the children sum up to their parent's
            summed = TREE.sum_up(batch.probabilities[i], i, i - 1)
            torch.testing.assert_close(summed, batch.probabilities[i - 1], atol=1e-5, rtol=0)
        for path, depth in zip(batch.path.tolist(), batch.depth.tolist(), strict=True):
            assert path[depth:] == [-1] * (4 - depth)
            if depth:
                assert TREE.target(TREE.nodes(depth - 1)[path[depth - 1]])[:depth] == path[:depth]


def test_its_predictions_are_as_deep_as_they_are_confident(trained):
    module, _, new, predictions = trained
    for batch in predictions:
        assert (batch.path_confidence[batch.depth > 0] >= module.threshold).all()
    depths = torch.cat([batch.depth for batch in predictions])
    leaf = torch.cat([batch.path[:, 3] for batch in predictions])
    deep = depths == 4
    correct = torch.tensor([TREE.names(3)[k] == label for k, label in zip(leaf.tolist(), new["species"], strict=True)])
    assert 0.5 < deep.float().mean() < 1
    assert correct[deep].float().mean() > 0.75


def test_it_is_calibrated(trained):
    module, (cascade, rejection, temperature, *_), _, _ = trained
    assert cascade.finished
    assert rejection.done
    assert temperature.done
    assert all(head.rejection_fitted for head in module.network.heads)

"""Recipes changed anywhere reach their first batch, or end with one error and exit code 2."""

import copy
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from faults.bulk.outcomes import bulk, command_accepts
from faults.bulk.trees import few_names, mostly
from helpers.commands import options_of
from hypothesis import strategies as st
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

from nested_lightning import NestedLightningModule
from nested_lightning.data import sources
from nested_lightning.utils.resources import shipped

RECIPES = {name: yaml.safe_load(path.read_text()) for name, path in shipped().items() if name.startswith("recipes/")}
FEW: dict[str, Any] = {"source": "digits", "taxonomy": "taxonomies/digits.yaml", "validation": 0.2, "budgets": None}
SMALL = {"trainer": {"accelerator": "cpu", "enable_progress_bar": False, "logger": False}}
KEYS = ["data", "model", "trainer", "source", "class_path", "init_args", "batch_size", "threshold", "max_epochs"]
KEYS += ["x", ""]
TEXTS = ["", " ", "x", "digits", "null", "nan", "1e5", "${data.batch_size}", "${model}", "${nothing}", "${", "$"]
TEXTS += ["${oc.env:HOME}", "${oc.env:NO_SUCH}", "${oc.decode:[1,2]}", "torch.nn.Identity", "torch.optim.SGD"]
TEXTS += ["os.system", "nested_lightning.models.UNetEncoder", "nested_lightning.errors.DataError", "no.such.Class"]
TEXTS += ["/", "/no/x.yaml", "taxonomies/mnist.yaml", "\x00", "é", "[", "{a: 1}", "!!x"]
ODD_VALUES: list[Any] = [None, True, 0, -1, 2.5, 10**9, 2**63, 1e308, float("nan"), float("inf"), *TEXTS]
ODD_VALUES += [[], {}, [1], [1, 2, 3], [8, 8], ["a"], [None], {"a": 1}, {"class_path": "torch.nn.Linear"}]
ODD_VALUES += [{"class_path": 3}, {"class_path": "torch.nn"}]
ODD_VALUES += [{"class_path": "torch.nn.Identity", "init_args": None}, {"init_args": {"a": 1}}]
ODD_SIGNS = ["&a [*a]", "[" * 200, "!!python/none", "!!python/object/apply:os.system [x]", "<<: {a: 1}", "? [a]: b"]
ODD_SIGNS += ["--- a", "%TAG ! x", "\ufeff", "\x85"]
NUMBERS = (
    st.integers(-2, 40) | st.floats(-1, 2) | st.sampled_from([10**5, 10**9, 2**63, 1e308, float("nan"), float("inf")])
)
values = st.sampled_from(ODD_VALUES) | NUMBERS | NUMBERS | st.text(max_size=6)
EVERY_OPTION = "every option"
MEMORY = 8 * 2**30


class FirstBatch(BaseException):
    """Raised when the run has reached its first training step."""


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """Stop every run at its first step, and load the digits once."""
    rows = sources.load_digits()

    def stop(*_: Any, **__: Any) -> None:
        raise FirstBatch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NestedLightningModule, "training_step", stop)
        # Other processes would run this test again, each of them with others.
        patch.setattr(_SubprocessScriptLauncher, "launch", stop)
        patch.setattr(_MultiProcessingLauncher, "launch", stop)
        patch.setattr(torch.utils.data.dataloader._MultiProcessingDataLoaderIter, "__init__", stop)
        patch.setattr(sources, "load_digits", lambda: rows)
        RECIPES[EVERY_OPTION] = options_of("fit", "--config", "recipes/digits.yaml")
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))  # what is larger fails at once, as elsewhere
        yield
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def parts(tree: Any) -> list[tuple[Any, Any]]:
    """Return every place of a tree of dicts and lists as its container and its key."""
    found = []
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in pairs:
        found += [(tree, key), *parts(below)]
    return found


def change(tree: Any, place: int, way: str, key: str, value: Any) -> None:
    """Change one place of a recipe."""
    places = parts(tree)
    if not places:
        return
    where, at = places[place % len(places)]
    if way == "number":
        numbers = [(where, at) for where, at in places if type(where[at]) in (int, float)]
        if numbers:
            where, at = numbers[place % len(numbers)]
            where[at] = value if isinstance(value, int | float) else place - 3
    elif way == "value":
        where[at] = copy.deepcopy(value)
    elif way == "remove":
        del where[at]
    elif way == "key" and isinstance(where, dict):
        where[key] = where.pop(at)
    elif way == "typing" and isinstance(at, str):
        where[at[:-2] + at[-1:] + at[-2:-1]] = where.pop(at)
    elif way == "deeper":
        where[at] = {key: where[at]}
    elif way == "list":
        where[at] = [where[at]]
    elif way == "add":
        target = where[at] if isinstance(where[at], dict) else where
        if isinstance(target, dict):
            target[key] = copy.deepcopy(value)
    elif way == "move":
        other, to = places[(place * 7 + 3) % len(places)]
        other[to] = copy.deepcopy(where[at])


ways = st.sampled_from(
    ["number"] * 9 + ["value", "value", "value", "remove", "key", "typing", "deeper", "list", "add", "move"]
)
changes = st.tuples(st.integers(0, 150), ways, st.sampled_from(KEYS) | few_names, values)


@bulk(500, name=st.sampled_from([EVERY_OPTION] * 20 + sorted(RECIPES)), todo=st.lists(changes, min_size=1, max_size=2))
def test_changed_recipes(folder: Path, name: str, todo: Any) -> bool:
    recipe = copy.deepcopy(RECIPES[name])
    if "data" in recipe and "source" in recipe["data"]:
        recipe["data"] |= FEW
    recipe["trainer"] = {**recipe.get("trainer", {}), **SMALL["trainer"], "default_root_dir": str(folder / "run")}
    for place, way, key, value in todo:
        change(recipe, place, way, key, value)
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return command_accepts("fit", "--config", file, "--trainer.default_root_dir", folder / "run", until=FirstBatch)


@bulk(
    300,
    name=st.sampled_from(sorted(RECIPES)),
    at=st.floats(0, 1),
    n=st.integers(0, 30),
    put=mostly(st.text("\t\n :-[]{}&*!|>'\"%@`#,?a1\\\x00é", max_size=6), st.sampled_from(ODD_SIGNS)),
)
def test_changed_text(folder: Path, name: str, at: float, n: int, put: str) -> bool:
    """Replace a few characters of a recipe's text; the data are always the digits."""
    text = shipped()[name].read_text()
    text = re.sub(r"source: .*", "source: digits", text)
    place = round(at * len(text))
    file = folder / "text.yaml"
    file.write_text(text[:place] + put + text[place + n :], encoding="utf-8")
    few = [f"--data.{key}={'null' if value is None else value}" for key, value in FEW.items()]
    few += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    few += ["--trainer.logger=false", "--trainer.default_root_dir", str(folder / "run")]
    return command_accepts("fit", "--config", file, *few, until=FirstBatch)

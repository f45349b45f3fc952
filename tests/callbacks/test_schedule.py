from itertools import pairwise

import pytest
from helpers.refusing import refusing
from hypothesis import given
from hypothesis import strategies as st

from nested_lightning.callbacks.schedule import PlannedStage, plan_stages
from nested_lightning.errors import ConfigurationError

LEVELS = ("coarse", "middle", "fine")


def test_the_defaults_are_those_of_the_paper():
    assert plan_stages(LEVELS, None, None, None, 0.2) == [
        PlannedStage(0, 100, 2e-3, 0.2),
        PlannedStage(1, 100, 1e-3, 0.2),
        PlannedStage(2, 200, 5e-4, 0.2),
    ]


def test_training_in_one_go_has_its_own_defaults():
    assert plan_stages(LEVELS, [-1], None, None, 0.5) == [PlannedStage(2, 200, 1e-3, 0.5)]


@pytest.mark.parametrize("stages", [["coarse", "fine"], [0, 2], ["coarse", -1], [-3, "fine"]])
def test_stages_are_named_or_numbered(stages):
    assert [stage.level for stage in plan_stages(LEVELS, stages, None, None, 0.2)] == [0, 2]


def test_one_value_for_all_stages_or_one_for_each():
    plan = plan_stages(LEVELS, None, [1, 2, 3], 1, [0.2, 0.4, 1])
    assert plan == [PlannedStage(0, 1, 1, 0.2), PlannedStage(1, 2, 1, 0.4), PlannedStage(2, 3, 1, 1)]


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_any_levels_that_end_with_the_finest(case):
    n, chosen = case
    stages = sorted(chosen | {n - 1})
    plan = plan_stages([f"l{i}" for i in range(n)], stages, None, None, 0.2)
    assert [stage.level for stage in plan] == stages
    assert [stage.max_epochs for stage in plan] == [100] * (len(plan) - 1) + [200]
    rates = [stage.learning_rate for stage in plan]
    assert all(later == earlier / 2 for earlier, later in pairwise(rates))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stages": ["corse", "fine"]}, ["'corse' is not a level", "coarse, middle, fine", "Did you mean 'coarse'"]),
        ({"stages": [3]}, ["3 is not a level"]),
        ({"stages": [-4, -1]}, ["-4 is not a level"]),
        ({"stages": ["fine", "coarse"]}, ["coarse to fine", "['fine', 'coarse']"]),
        ({"stages": ["coarse", "coarse", "fine"]}, ["each once"]),
        ({"stages": ["coarse", "middle"]}, ["end with 'fine'"]),
        ({"stages": []}, ["end with 'fine'", "got []"]),
        ({"max_epochs": [1, 2]}, ["cascade.max_epochs has 2 values for 3 stages"]),
        ({"learning_rate": [1e-3] * 4}, ["cascade.learning_rate has 4 values for 3 stages"]),
        ({"stages": [-1], "plateau_factor": [0.2, 0.4]}, ["cascade.plateau_factor has 2 values for 1 stage"]),
        ({"max_epochs": [5, 0, 5]}, ["at least 1", "'middle'", "0"]),
        ({"learning_rate": -1.0}, ["above 0", "'coarse'", "-1.0"]),
        ({"learning_rate": float("nan")}, ["above 0", "nan"]),
        ({"plateau_factor": 1.5}, ["(0, 1]", "1.5"]),
        ({"plateau_factor": 0.0}, ["(0, 1]"]),
    ],
)
def test_arguments_that_are_refused(arguments, words):
    values = {"stages": None, "max_epochs": None, "learning_rate": None, "plateau_factor": 0.2, **arguments}
    with refusing(ConfigurationError, *words):
        plan_stages(LEVELS, **values)

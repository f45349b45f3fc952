"""Resolve the arguments of a cascade into a plan of its stages."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from nested_lightning.errors import ConfigurationError, suggestion

T = TypeVar("T", int, float)


class PlannedStage(NamedTuple):
    """One stage: its level, maximum number of epochs, learning rate, and factor applied on a plateau."""

    level: int
    max_epochs: int
    learning_rate: float
    plateau_factor: float


def plan_stages(
    levels: Sequence[str],
    stages: Sequence[str | int] | None,
    max_epochs: int | Sequence[int] | None,
    learning_rate: float | Sequence[float] | None,
    plateau_factor: float | Sequence[float],
) -> list[PlannedStage]:
    """Return the stages, coarse to fine; arguments as in :class:`CascadeTraining`.

    Raises:
        ConfigurationError: an unknown level, levels out of order or without the finest one, a list without one value
            per stage, or a value out of range.

    Example:
        >>> plan_stages(["coarse", "fine"], None, None, None, 0.2)[1]
        PlannedStage(level=1, max_epochs=200, learning_rate=0.001, plateau_factor=0.2)
    """
    indices = [_level_index(stage, levels) for stage in (stages if stages is not None else levels)]
    if not indices or indices != sorted(set(indices)) or indices[-1] != len(levels) - 1:
        raise ConfigurationError(
            f"cascade.stages must name levels from coarse to fine, each once, and end with {levels[-1]!r}, the "
            f"finest of {', '.join(levels)}; got {stages!r}"
        )
    n = len(indices)
    rates = [2e-3 / 2**i for i in range(n)] if n > 1 else [1e-3]
    plan = [
        PlannedStage(*values)
        for values in zip(
            indices,
            _per_stage("max_epochs", max_epochs, [100] * (n - 1) + [200], n),
            _per_stage("learning_rate", learning_rate, rates, n),
            _per_stage("plateau_factor", plateau_factor, [], n),
            strict=True,
        )
    ]
    for stage in plan:
        if stage.max_epochs < 1 or not stage.learning_rate > 0 or not 0 < stage.plateau_factor <= 1:
            raise ConfigurationError(
                "cascade.max_epochs must be at least 1, cascade.learning_rate above 0 and cascade.plateau_factor "
                f"in (0, 1]; for the stage of level {levels[stage.level]!r} they are {stage.max_epochs}, "
                f"{stage.learning_rate} and {stage.plateau_factor}"
            )
    return plan


def _level_index(stage: str | int, levels: Sequence[str]) -> int:
    if isinstance(stage, str) and stage in levels:
        return levels.index(stage)
    if isinstance(stage, int) and -len(levels) <= stage < len(levels):
        return stage % len(levels)
    raise ConfigurationError(
        f"cascade.stages: {stage!r} is not a level; the levels are {', '.join(levels)}."
        + suggestion(str(stage), levels)
    )


def _per_stage(name: str, value: T | Sequence[T] | None, default: Sequence[T], n: int) -> Sequence[T]:
    if value is None:
        return default
    if not isinstance(value, Sequence):
        return [value] * n
    if len(value) != n:
        raise ConfigurationError(
            f"cascade.{name} has {len(value)} values for {n} stages: give one value, or one per stage"
        )
    return value

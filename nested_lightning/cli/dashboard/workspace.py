"""The workspace: a section for each question, with a panel for each answer."""

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws

from nested_lightning.callbacks.run_figures import level_name

_STEP = "trainer/global_step"
_SCHEME = wr.Config("scheme")
"""What the callback ``WandbRun`` calls a way of training: nested, traditional or end to end."""


def build_workspace(
    entity: str, project: str, levels: Sequence[str], distortions: Sequence[str], name: str = "nested learning"
) -> ws.Workspace:
    """Return the workspace, not saved yet.

    Args:
        entity: user or team.
        project: its project.
        levels: level names, coarse to fine.
        distortions: names of the distortions that runs were tested under.
        name: of the workspace.
    """
    finest = f"summary:test/{levels[-1]}/accuracy"
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            _compared(levels),
            _stages(levels),
            *(_level(index, level, index == len(levels) - 1) for index, level in enumerate(levels)),
            _calibration(levels),
            _distorted(levels, distortions),
            _seen(),
        ],
        settings=ws.WorkspaceSettings(x_axis=_STEP),
        runset_settings=ws.RunsetSettings(
            order=[expr.Ordering(expr.Metric("CreatedTimestamp"), ascending=False)],
            pinned_columns=["run:displayName", "config:scheme", finest, "summary:test/path/accuracy"],
        ),
    )


def specification(workspace: ws.Workspace) -> dict[str, Any]:
    """Return what W&B would be sent, as plain values; the library has no public name for it."""
    content: dict[str, Any] = workspace._to_model().model_dump(by_alias=True, exclude_none=True, mode="json")
    return content


def _compared(levels: Sequence[str]) -> ws.Section:
    bars = [_bars(f"{level}: accuracy", [f"test/{level}/accuracy"]) for level in levels]
    path = _bars("whole path: accuracy", ["test/path/accuracy"])
    return ws.Section("Nested, traditional, end to end", [*bars, path, wr.RunComparer(diff_only="split")], is_open=True)


def _stages(levels: Sequence[str]) -> ws.Section:
    panels: list[Any] = [
        _line("stage", ["cascade/stage"]),
        _line("learning rate", ["cascade/learning_rate"], log_y=True),
        _line("loss", ["train/loss", "val/loss"]),
        _line("accuracy, validation rows", [f"val/{level}/accuracy" for level in levels]),
        _table("cascade/stages"),
        _pictures("losses and accuracies", ["figures/timeline"]),
    ]
    return ws.Section("Stages", panels, is_open=True)


def _level(index: int, level: str, is_last: bool) -> ws.Section:
    name = level_name(index, level)
    lines = [_line(figure, [f"val/{level}/{figure}"]) for figure in ("accuracy", "confidence", "ece")]
    within = "uncalibrated" if is_last else f"stage-{name}"
    ended = [f"figures/{within}/{figure}" for figure in ("reliability", f"confusion-{name}")]
    pictures = [_pictures("confusion", [f"figures/confusion-{name}"]), _pictures("as its stage ended", ended)]
    return ws.Section(f"Level {level}", [*lines, *pictures])


def _calibration(levels: Sequence[str]) -> ws.Section:
    keys = [(level, [f"uncalibrated/test/{level}/ece", f"test/{level}/ece"]) for level in levels]
    bars = [_bars(f"{level}: calibration error", of_level) for level, of_level in keys]
    pictures = [_pictures("before", ["figures/uncalibrated/reliability"]), _pictures("after", ["figures/reliability"])]
    more = _pictures("confidence and depth", ["figures/confidence", "figures/risk_coverage", "figures/depth"])
    return ws.Section("Calibration, before and after", [*bars, *pictures, more])


def _distorted(levels: Sequence[str], distortions: Sequence[str]) -> ws.Section:
    bars = [
        _bars(f"{level}: accuracy", [f"test/{part}{level}/accuracy" for part in ("", *(f"{d}/" for d in distortions))])
        for level in levels
    ]
    return ws.Section("Accuracy against distortion", [*bars, _pictures("curves", ["figures/distortions"])])


def _seen() -> ws.Section:
    tables = [_table("samples/test"), _table("taxonomy/classes")]
    return ws.Section(
        "Samples and taxonomy", [*tables, _pictures("tree and samples", ["taxonomy/tree", "figures/samples"])]
    )


def _bars(title: str, metrics: list[str]) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=[*metrics],
        range_x=(0, None),
        groupby=_SCHEME,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )


def _line(title: str, metrics: list[str], **options: Any) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=_STEP, y=[*metrics], title_x="optimizer step", **options)


def _pictures(title: str, keys: list[str]) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=title, media_keys=keys, num_columns=1)


def _table(key: str) -> wr.WeavePanelSummaryTable:
    return wr.WeavePanelSummaryTable(table_name=key)

"""Build the workspace of W&B: sections of panels for levels, stages, calibration and distortions."""

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws

from nested_lightning.callbacks.run_figures import level_name

_STEP = "trainer/global_step"
_SCHEME = wr.Config("scheme")
"""Set by the callback ``WandbRun``: nested, traditional or end-to-end training."""


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
    panels = {
        "Nested, traditional, end to end": [
            *(_bars(f"{level}: accuracy", [f"test/{level}/accuracy"]) for level in levels),
            _bars("whole path: accuracy", ["test/path/accuracy"]),
            wr.RunComparer(diff_only="split"),
        ],
        "Stages": [
            _line("stage", ["cascade/stage"]),
            _line("learning rate", ["cascade/learning_rate"], log_y=True),
            _line("loss", ["train/loss", "val/loss"]),
            _line("accuracy, validation samples", [f"val/{level}/accuracy" for level in levels]),
            wr.WeavePanelSummaryTable(table_name="cascade/stages"),
            _figures("losses and accuracies", "figures/timeline"),
        ],
        **{f"Level {level}": _level_panels(index, levels) for index, level in enumerate(levels)},
        "Calibration, before and after": [
            *(
                _bars(f"{level}: calibration error", [f"{when}test/{level}/ece" for when in ("uncalibrated/", "")])
                for level in levels
            ),
            _figures("before", "figures/uncalibrated/reliability"),
            _figures("after", "figures/reliability"),
            _figures("confidence and depth", "figures/confidence", "figures/risk_coverage", "figures/depth"),
        ],
        "Accuracy against distortion": [
            *(_bars(f"{level}: accuracy", _under_distortions(level, distortions)) for level in levels),
            _figures("curves", "figures/distortions"),
        ],
        "Samples and taxonomy": [
            *(wr.WeavePanelSummaryTable(table_name=name) for name in ("samples/test", "taxonomy/classes")),
            _figures("tree and samples", "taxonomy/tree", "figures/samples"),
        ],
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[ws.Section(title, of_it, is_open=i < 2) for i, (title, of_it) in enumerate(panels.items())],
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


def _level_panels(index: int, levels: Sequence[str]) -> list[Any]:
    level, name = levels[index], level_name(index, levels[index])
    stage = "uncalibrated" if index == len(levels) - 1 else f"stage-{name}"
    return [
        *(_line(metric, [f"val/{level}/{metric}"]) for metric in ("accuracy", "confidence", "ece")),
        _figures("confusion", f"figures/confusion-{name}"),
        _figures("at the end of its stage", f"figures/{stage}/reliability", f"figures/{stage}/confusion-{name}"),
    ]


def _under_distortions(level: str, distortions: Sequence[str]) -> list[str]:
    return [f"test/{condition}{level}/accuracy" for condition in ("", *(f"{name}/" for name in distortions))]


def _bars(title: str, metrics: list[Any]) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=metrics,
        range_x=(0, None),
        groupby=_SCHEME,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )


def _line(title: str, metrics: list[Any], **options: Any) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=_STEP, y=metrics, title_x="optimizer step", **options)


def _figures(title: str, *keys: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=title, media_keys=[*keys], num_columns=1)

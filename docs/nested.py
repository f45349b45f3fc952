"""Draw ``nested.png``, the picture of the README; ``python docs/nested.py`` writes it next to this file."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from sklearn.datasets import load_digits

# Okabe and Ito's colours, distinguishable with any colour vision; no text depends on them.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#6E6E6E", "#222222"
ROWS = (2.55, 1.55, 0.55)
BACKBONE, BOTTLENECK, PREDICTION = 1.62, 3.8, 4.85  # horizontal positions of the columns
LEVELS = ("coarse", "middle", "fine")
FEATURES = ("deep", "middle", "shallow")
# A 5 without its upper rows of pixels, and the predictions of the model of `make fit` for it.
DIGIT, ROWS_LOST = 237, 3
PREDICTIONS = (("round", 0.99), ("bows", 0.99), ("3", 0.44))
THRESHOLD = 0.5


def draw() -> plt.Figure:
    """Return the picture, with one row per level: the features it sees and its prediction."""
    figure = plt.figure(figsize=(8, 3.35), dpi=200, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(0, 3.35))
    ax.axis("off")
    for x, title in ((BACKBONE, "backbone"), (BOTTLENECK, "bottlenecks"), (6.05, "predictions and confidences")):
        ax.text(x, 3.14, title, ha="center", va="center", fontsize=10, color=INK, weight="bold")
    draw_input(ax)
    for row, y in enumerate(ROWS):
        draw_level(ax, row, y)
    draw_cut(ax)
    return figure


def draw_input(ax: Axes) -> None:
    """Draw the sample and an arrow to the shallowest part of the backbone."""
    image = load_digits().images[DIGIT].copy()
    image[:ROWS_LOST] = 0
    y = ROWS[-1]
    ax.imshow(image, cmap="gray_r", extent=(0.12, 0.82, y - 0.35, y + 0.35), aspect="auto", zorder=2)
    ax.add_patch(plt.Rectangle((0.12, y - 0.35), 0.7, 0.7, fill=False, edgecolor=GREY, linewidth=0.8, zorder=3))
    arrow(ax, (0.86, y), (1.1, y))


def draw_level(ax: Axes, row: int, y: float) -> None:
    """Draw a part of the backbone, the bottleneck that sees it, and the bottleneck's prediction."""
    width = (0.64, 0.84, 1.04)
    below, above = width[row] / 2, width[max(row - 1, 0)] / 2 if row else 0.27
    corners = [
        (BACKBONE - below, y - 0.3),
        (BACKBONE + below, y - 0.3),
        (BACKBONE + above, y + 0.3),
        (BACKBONE - above, y + 0.3),
    ]
    ax.add_patch(Polygon(corners, closed=True, facecolor="#E9E9E9", edgecolor=GREY, linewidth=1))
    ax.text(BACKBONE, y, FEATURES[row], ha="center", va="center", fontsize=9, color=INK)
    box(ax, BOTTLENECK, y, 1.1, 0.52, LEVELS[row])
    arrow(ax, (BACKBONE + max(below, above) + 0.04, y), (BOTTLENECK - 0.59, y), label="skip connection" if row else "")
    if row:
        arrow(ax, (BACKBONE, y + 0.33), (BACKBONE, ROWS[row - 1] - 0.32))
        arrow(ax, (BOTTLENECK, ROWS[row - 1] - 0.27), (BOTTLENECK, y + 0.29), color=BLUE, width=2.2)
    arrow(ax, (BOTTLENECK + 0.58, y), (PREDICTION - 0.08, y))
    draw_prediction(ax, row, y)


def draw_prediction(ax: Axes, row: int, y: float) -> None:
    """Draw a label above a bar whose length is the confidence."""
    label, confidence = PREDICTIONS[row]
    confident = confidence >= THRESHOLD
    left, length = PREDICTION, 1.95
    ax.text(left, y + 0.14, label, ha="left", va="center", fontsize=10, color=INK if confident else GREY)
    ax.add_patch(plt.Rectangle((left, y - 0.2), length, 0.17, facecolor="#EFEFEF"))
    ax.add_patch(plt.Rectangle((left, y - 0.2), length * confidence, 0.17, facecolor=BLUE if confident else GREY))
    ax.text(left + length + 0.06, y - 0.115, f"{100 * confidence:.0f} %", ha="left", va="center", fontsize=9, color=INK)


def draw_cut(ax: Axes) -> None:
    """Draw where the path is cut, and a bracket around what is predicted."""
    y = (ROWS[1] + ROWS[2]) / 2
    ax.plot((PREDICTION - 0.08, 7.92), (y, y), color=ORANGE, linewidth=1.6, linestyle=(0, (4, 2)))
    ax.text(7.92, y - 0.14, f"below {100 * THRESHOLD:.0f} %: cut", ha="right", va="center", fontsize=9, color=ORANGE)
    top, bottom, x = ROWS[0] + 0.22, ROWS[1] - 0.22, 7.42
    ax.plot((x, x + 0.08, x + 0.08, x), (top, top, bottom, bottom), color=INK, linewidth=1.3)
    ax.text(x + 0.27, (top + bottom) / 2, "path", ha="center", va="center", rotation=270, fontsize=10, color=INK)


def box(ax: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    """Draw a bottleneck with its name inside."""
    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor="#D9EAF5", edgecolor=BLUE))
    ax.text(x, y, text, ha="center", va="center", fontsize=10, color=INK)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    label: str = "",
    color: str = GREY,
    width: float = 1.3,
) -> None:
    """Draw an arrow with a label above its middle."""
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, color=color, linewidth=width, **style))
    if label:
        middle = (start[0] + end[0]) / 2
        ax.text(middle, start[1] + 0.09, label, ha="center", va="center", fontsize=8, color=INK)


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_suffix(".png"))

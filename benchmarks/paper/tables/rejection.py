"""Figure C.4: the effect of a rejection class on inputs of one dimension; no run is needed."""

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.result import Result
from nested_lightning.figures.style import BLUE, ORANGE

SAMPLES = 500  # of each class, and synthetic ones
REACH = 6.0  # inputs are drawn, and shown, from -REACH to REACH
_STYLES = {"class 0": (ORANGE, "-"), "class 1": (BLUE, "--"), "rejection": ("0.45", ":")}


@figure("figureC4", seeds=1, one_seed=True)
def show_rejection(runs: Runs) -> Result:
    """Return the picture."""
    title = "Figure C.4: a rejection class in one dimension"
    return Result(title=title, pictures={runs.name: draw_rejection(runs.seeds[0])})


def draw_rejection(seed: int = 0) -> Figure:
    """Draw the inputs of two classes, and a network's predictions without and with a class for all other inputs."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, SAMPLES, generator=generator)
    uniform = torch.rand(SAMPLES, generator=generator)
    samples = torch.stack([0.5 * noise[0] - 1.2, 0.5 * noise[1] + 1.2, REACH * (2 * uniform - 1)])
    x = torch.linspace(-REACH, REACH, 401)
    figure = Figure(figsize=(9, 3), layout="constrained")
    inputs, plain, rejecting = figure.subplots(1, 3)
    for own, (name, (colour, _)) in zip(samples, _STYLES.items(), strict=True):
        inputs.hist(own.numpy(), bins=48, range=(-REACH, REACH), color=colour, alpha=0.6, label=name)
    inputs.set(title="(a) training inputs", ylabel="samples")
    for panel, classes in ((plain, samples[:2]), (rejecting, samples)):
        for curve, (name, (colour, style)) in zip(fit_confidences(classes, x, seed).T, _STYLES.items(), strict=False):
            panel.plot(x, curve, style, color=colour, linewidth=2, label=name)
        panel.set(ylim=(-0.02, 1.02), ylabel="confidence")
    plain.set_title("(b) trained on two classes")
    rejecting.set_title("(c) and a rejection class")
    for panel in (inputs, plain, rejecting):
        panel.set(xlabel="x", xlim=(-REACH, REACH))
    figure.legend(*rejecting.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def fit_confidences(samples: Tensor, x: Tensor, seed: int) -> Tensor:
    """Train a network on ``samples [K, N]`` of K classes and return its probabilities ``[M, K]`` for ``x [M]``."""
    n_classes, n = samples.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, n_classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    target = torch.arange(n_classes).repeat_interleave(n)
    for _ in range(500):
        optimizer.zero_grad()
        cross_entropy(network(samples.reshape(-1, 1)), target).backward()
        optimizer.step()
    with torch.no_grad():
        probabilities: Tensor = network(x[:, None]).softmax(dim=1)
    return probabilities

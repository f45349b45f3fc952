"""What a rejection class does, on inputs of one dimension (C.3, Fig. C.4)."""

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nested_lightning.figures.style import BLUE, ORANGE

ROWS = 500  # of each class, and synthetic ones
REACH = 6.0  # inputs are drawn, and shown, from -REACH to REACH
_STYLES = {"class 0": (ORANGE, "-"), "class 1": (BLUE, "--"), "rejection": ("0.45", ":")}


def draw_rejection(seed: int = 0) -> Figure:
    """Draw the inputs of two classes, and the answers of a network without and with a class for all other inputs.

    Args:
        seed: of inputs and weights.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, ROWS, generator=generator)
    samples = torch.stack(
        [0.5 * noise[0] - 1.2, 0.5 * noise[1] + 1.2, REACH * (2 * torch.rand(ROWS, generator=generator) - 1)]
    )
    x = torch.linspace(-REACH, REACH, 401)
    figure = Figure(figsize=(9, 3), layout="constrained")
    inputs, plain, rejecting = figure.subplots(1, 3)
    for own, (name, (colour, _)) in zip(samples, _STYLES.items(), strict=True):
        inputs.hist(own.numpy(), bins=48, range=(-REACH, REACH), color=colour, alpha=0.6, label=name)
    inputs.set(title="(a) training inputs", ylabel="rows")
    for panel, classes in ((plain, samples[:2]), (rejecting, samples)):
        for curve, (name, (colour, style)) in zip(confidences(classes, x, seed).T, _STYLES.items(), strict=False):
            panel.plot(x, curve, style, color=colour, linewidth=2, label=name)
        panel.set(ylim=(-0.02, 1.02), ylabel="confidence")
    plain.set_title("(b) trained on two classes")
    rejecting.set_title("(c) and a rejection class")
    for panel in (inputs, plain, rejecting):
        panel.set(xlabel="x", xlim=(-REACH, REACH))
    figure.legend(*rejecting.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def confidences(samples: Tensor, x: Tensor, seed: int) -> Tensor:
    """Train a small network to tell classes apart and return its answers.

    Args:
        samples: ``[K, N]``, N inputs of each of K classes.
        x: ``[M]``, what to answer.
        seed: of the weights; torch's global random numbers are left alone.

    Returns:
        ``[M, K]``, probabilities.
    """
    n_classes, rows = samples.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, n_classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    target = torch.arange(n_classes).repeat_interleave(rows)
    for _ in range(500):
        optimizer.zero_grad()
        cross_entropy(network(samples.reshape(-1, 1)), target).backward()
        optimizer.step()
    with torch.no_grad():
        probabilities: Tensor = network(x[:, None]).softmax(dim=1)
    return probabilities

"""A user's project: own data and network, four levels, labels of uneven depth, and a stock trainer."""

import datasets
import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader

from nested_lightning import HierarchicalDataModule, NestedLightningModule, Prediction, Taxonomy
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, TemperatureScaling

LEVELS = ["class", "order", "family", "species"]
TREE = Taxonomy.from_paths(
    [f"c{c}/o{c}{o}/f{c}{o}{f}/s{c}{o}{f}{s}" for c in "ab" for o in "ab" for f in "ab" for s in "ab"], levels=LEVELS
)


def animals(n: int, seed: int, gaps: bool) -> datasets.Dataset:
    """Return measurements (20 numbers) of animals; with gaps, each is labelled to a random level."""
    random = torch.Generator().manual_seed(seed)
    axes = torch.randn(15, 20, generator=torch.Generator().manual_seed(0))
    measures, labels = [], []
    for _ in range(n):
        species = TREE.nodes(3)[int(torch.randint(16, (), generator=random))]
        signs = torch.tensor([1.0 if name[-1] == "b" else -1.0 for name in species])
        used = [0, 1 + TREE.index(species[:1]), 3 + TREE.index(species[:2]), 7 + TREE.index(species[:3])]
        x = (signs[:, None] * axes[used]).sum(0) + 1.5 * torch.randn(20, generator=random)
        depth = int(torch.randint(1, 5, (), generator=random)) if gaps else 4
        measures.append(x.tolist())
        labels.append([*species[:depth], *[None] * (4 - depth)])
    columns = dict(zip(LEVELS, zip(*labels, strict=True), strict=True))
    return datasets.Dataset.from_dict({"measures": measures, **columns})


class Backbone(nn.Module):
    """Computes two features, from shallow to deep."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Sequential(nn.Linear(20, 64), nn.ReLU())
        self.deep = nn.Sequential(nn.Linear(64, 32), nn.ReLU())

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = self.shallow(x)
        return [features, self.deep(features)]


def main() -> tuple[NestedLightningModule, list[L.Callback], datasets.Dataset, list[Prediction]]:
    L.seed_everything(1)
    data = HierarchicalDataModule(animals(1500, 1, gaps=True), TREE, "measures", LEVELS, validation=300, batch_size=64)
    module = NestedLightningModule(Backbone(), TREE, feature_channels=[64, 32], bottleneck_channels=16)
    steps = [CascadeTraining(max_epochs=8, learning_rate=1e-2), RejectionFineTuning(steps=200), TemperatureScaling()]
    trainer = L.Trainer(callbacks=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(module, data)
    new = animals(500, seed=2, gaps=False)
    return module, steps, new, trainer.predict(module, DataLoader(torch.tensor(new["measures"]), batch_size=100))


if __name__ == "__main__":
    print(main()[3][0].path)

"""How much of the backbone a process holds."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.distributed.tensor import DTensor

from nested_lightning.module import as_nested


class Parts(Callback):
    """Writes into ``RANK.txt`` how many weights the process and its optimizer hold; into ``all.txt``, of how many."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        parameters = list(as_nested(pl_module).network.backbone.parameters())
        states = [trainer.optimizers[0].state[parameter]["exp_avg"] for parameter in parameters]
        assert all(isinstance(x, DTensor) for x in (*parameters, *states))
        folder = Path(trainer.default_root_dir)
        mine = [sum(x.to_local().numel() for x in tensors) for tensors in (parameters, states)]
        (folder / f"{trainer.global_rank}.txt").write_text(" ".join(map(str, mine)))
        (folder / "all.txt").write_text(" ".join(str(sum(x.numel() for x in xs)) for xs in (parameters, states)))

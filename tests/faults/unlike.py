"""A training whose processes start from weights of their own: ``unlike.py FOLDER STRATEGY``, by torchrun."""

import os
import sys
from pathlib import Path

import torch
from helpers.toy import loader, toy_module, toy_trainer
from torch import nn

import nested_lightning.strategies.sharded_backbone  # noqa: F401  # makes its name known
from nested_lightning.callbacks import CascadeTraining

if __name__ == "__main__":
    folder, strategy = sys.argv[1:]
    torch.manual_seed(int(os.environ["RANK"]))
    module = toy_module(backbone=nn.Sequential(nn.Linear(6, 8), nn.ReLU()))
    trainer = toy_trainer(Path(folder), CascadeTraining(max_epochs=1), devices=2, strategy=strategy)
    trainer.fit(module, loader(32), loader(16, seed=1))
    trainer.save_checkpoint(f"{folder}/{strategy}.ckpt")

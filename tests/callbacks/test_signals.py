"""Ctrl-C at any time: the current step is saved first, and a second Ctrl-C ends the run at once."""

import os
import signal
import threading

import pytest
import torch
from helpers.toy import toy_fit
from helpers.witnesses import copy_of, same
from lightning.pytorch.callbacks import Callback

from nested_lightning.callbacks import CascadeTraining, RunCheckpoint
from nested_lightning.callbacks.signals import Interruption


@pytest.fixture(autouse=True)
def _own_handler():
    """Restore the handler: Lightning leaves the signal ignored, and so do shells for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Press(Callback):
    """Press Ctrl-C at the start of the ``n``-th call of a hook."""

    def __init__(self, hook, n, times=1):
        self.left, self.times = n, times
        setattr(self, hook, self.press)

    def press(self, *_):
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


def interrupted(root, *callbacks):
    """Return the optimizer steps in ``last.ckpt`` after a training of 2 steps an epoch that was interrupted."""
    with pytest.raises(SystemExit):
        toy_fit(root, CascadeTraining(max_epochs=4), *callbacks, RunCheckpoint())
    last = root / "checkpoints" / "last.ckpt"
    return torch.load(last, weights_only=True)["global_step"] if last.exists() else None


@pytest.mark.parametrize(
    ("hook", "n", "steps"),
    [
        ("on_train_batch_start", 5, 5),  # the step is finished
        ("on_before_zero_grad", 5, 5),
        ("on_train_batch_start", 6, 6),  # the epoch's last: its validation follows first
        ("on_validation_start", 4, 6),  # the first was Lightning's check before training
    ],
)
def test_it_ends_where_training_can_be_resumed(tmp_path, hook, n, steps):
    assert interrupted(tmp_path, Press(hook, n)) == steps


def test_the_second_one_is_not_held_back(tmp_path):
    assert interrupted(tmp_path, Press("on_train_batch_start", 5, times=2)) == 4


def test_after_the_last_epoch_there_is_nothing_to_wait_for(tmp_path):
    class Calibration(Callback):
        reached = False

        def on_train_end(self, *_):
            os.kill(os.getpid(), signal.SIGINT)
            self.reached = True

    calibration = Calibration()
    assert interrupted(tmp_path, calibration) == 3 * 4 * 2
    assert not calibration.reached


def test_an_interrupted_run_ends_with_the_weights_of_another(tmp_path):
    def fit(root, *callbacks, **resume):
        return copy_of(toy_fit(root, CascadeTraining(max_epochs=2), *callbacks, RunCheckpoint(), **resume))

    whole = fit(tmp_path / "whole")
    with pytest.raises(SystemExit):
        fit(tmp_path / "run", Press("on_train_batch_start", 4))  # an epoch's last: plain loaders resume at their first
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert same(whole, fit(tmp_path / "run", ckpt_path="last"))


def test_others_keep_their_handlers():
    mine = signal.signal(signal.SIGINT, signal.SIG_IGN)
    interruption = Interruption()
    interruption.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    interruption.stop()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, mine)
    thread = threading.Thread(target=interruption.listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is mine
    interruption.listen()
    assert signal.getsignal(signal.SIGINT) is not mine
    interruption.stop()
    assert signal.getsignal(signal.SIGINT) is mine

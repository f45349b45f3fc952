"""Requests to end a run, such as a cluster sends before it kills: kept until the run stands where it can be saved."""

import signal
import threading
from types import FrameType

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment


class EndRequests:
    """SIGTERM, and on SLURM also SIGUSR1 (``sbatch --signal``), remembered instead of obeyed at once.

    Lightning's own handlers communicate, or save, from wherever the signal has struck: between two processes that
    stand at different places this never ends, and what is saved need not be a state that training passes through.
    """

    def __init__(self) -> None:
        self._received = False

    def listen(self) -> None:
        """Take the signals over; Lightning gives them back at the end of the run."""
        self._received = False
        if threading.current_thread() is not threading.main_thread():
            return  # no other thread may
        signal.signal(signal.SIGTERM, self._receive)
        if SLURMEnvironment.detect():
            signal.signal(signal.SIGUSR1, self._receive)

    def any_received(self, trainer: L.Trainer) -> bool:
        """Return whether any process has been asked to end; every process has to call it at the same place."""
        return trainer.strategy.reduce_boolean_decision(self._received, all=False)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self._received = True

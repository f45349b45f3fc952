"""Keep signals that end a run until the training has reached a place where it can be saved."""

import signal
import threading
from types import FrameType
from typing import Any, ClassVar

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException


class Interruption:
    """Hold back the first Ctrl-C (SIGINT) while listening; a second one is raised at once.

    It listens only in the main thread, and only if the signal has Python's default handler.

    Attributes:
        requested: whether a Ctrl-C is held back.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listening = False

    def listen(self) -> None:
        """Start to hold back."""
        self.requested = False
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._listening = True

    def stop(self) -> None:
        """Stop holding back."""
        if self._listening and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._listening = False

    def raise_held(self) -> None:
        """Raise the KeyboardInterrupt that is held back, if any."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True


class EndRequests:
    """Remember SIGTERM, and on SLURM also SIGUSR1 (``sbatch --signal``), instead of ending at once.

    Lightning's own handlers communicate or save wherever the signal arrives: two processes that are at different
    places would wait for each other for ever, and the saved state may be one that training never passes through.
    Like the handlers of signals, the request is of the whole process.
    """

    _received: ClassVar[bool] = False

    def listen(self) -> None:
        """Replace the handlers of the signals; Lightning restores them at the end of the run."""
        self.forget()
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may
        signal.signal(signal.SIGTERM, self._receive)
        if SLURMEnvironment.detect():
            signal.signal(signal.SIGUSR1, self._receive)

    @classmethod
    def forget(cls) -> None:
        """Forget a request, which the run has followed or has no need to."""
        EndRequests._received = False

    @classmethod
    def any_received(cls, trainer: L.Trainer) -> bool:
        """Return whether any process was asked to end; every process has to call it at the same place."""
        # Without a listener here, Lightning's own handler receives it.
        received = EndRequests._received or trainer.received_sigterm
        return trainer.strategy.reduce_boolean_decision(received, all=False)

    @classmethod
    def follow(cls, trainer: L.Trainer) -> None:
        """Raise SIGTERMException if any process was asked to end; every process has to call it at the same place."""
        if cls.any_received(trainer):
            raise SIGTERMException

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        EndRequests._received = True

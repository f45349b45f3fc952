"""Ctrl-C, held back for the moment until a checkpoint can be written."""

import signal
import threading
from types import FrameType
from typing import Any


class Interruption:
    """While it listens, the first SIGINT is remembered instead of raised; a second one is raised at once.

    It listens in the main thread only, and where nobody else handles the signal.

    Attributes:
        requested: whether there was one.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listening = False

    def listen(self) -> None:
        """Begin to hold back."""
        self.requested = False
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._listening = True

    def stop(self) -> None:
        """Hold back no longer."""
        if self._listening and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._listening = False

    def follow(self) -> None:
        """Raise the KeyboardInterrupt that was held back, if there was one."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True

"""What one process of a run needs to know: whether it leads, and whether it was asked to stop."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import jax

from jaxshift.errors import Stopped


def leads() -> bool:
    """True for the one process that writes what is single."""
    return jax.process_index() == 0


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a request that loops ask for at points where everything is saved.

    A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> StopSignal:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print('stopping at the next safe point; once more to stop at once', file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raises `Stopped` when a stop was requested; call it where everything is on disk."""
        if self.requested:
            raise Stopped('stopped on a signal, everything is saved: start the same command again to go on')

"""A signal that asks a training to stop: it ends the step it is in, saves and leaves.

Ctrl-C (SIGINT) and SIGTERM, which schedulers and `dvc` send, ask once; a second Ctrl-C does not wait for the step.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The signal that was seen, 0 while there was none."""

    def __init__(self) -> None:
        self.signal = 0

    def ask(self, number: int, _: FrameType | None) -> None:
        """Note the signal; the next one acts at once."""
        self.signal = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def watched() -> Iterator[Stop]:
    """Catch the signals while the block runs, then give them back. Outside the main thread Python allows no handlers."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

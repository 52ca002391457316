"""A function of many things, side by side in processes: for work that one core at a time would do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from types import FrameType
from typing import TypeVar

from qdr.errors import Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], processes: int, title: str = "") -> list[Result]:
    """What `function` gives for each item, in the order of the items; `function` is one that pickles.

    Processes are started anew (threads of engines do not survive a fork), and killed when a signal comes.
    With one item or one process, this one does it. `title` is that of a progress bar on stderr.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM; further ones are not heard until the processes are gone.
    """
    count = min(processes, len(items))
    if count <= 1:
        return list(_shown(map(function, items), len(items), title))
    others = set(active_children())
    with _interrupted_once(), ProcessPoolExecutor(count, get_context("spawn")) as pool:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # processes inherit it: Ctrl-C reaches them too
            try:
                futures = [pool.submit(function, item) for item in items]
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            return list(_shown((future.result() for future in futures), len(items), title))
        except KeyboardInterrupt:
            for process in set(active_children()) - others:
                process.kill()
            raise
        except Exception:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM raises `Interrupted`; later ones are not heard while the block ends.

    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shown(results: Iterator[Result], count: int, title: str) -> Iterable[Result]:
    if not title:
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, title, total=count, console=Console(stderr=True))

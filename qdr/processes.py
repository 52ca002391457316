"""A function of many things, side by side in processes: for work that one core at a time would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], processes: int, title: str = "") -> list[Result]:
    """What `function` gives for each item, in the order of the items; `function` is one that pickles.

    Processes are started anew (threads of engines do not survive a fork). With one item or one process, this one does it.
    `title` is that of a progress bar on stderr.
    """
    count = min(processes, len(items))
    if count <= 1:
        return list(_shown(map(function, items), len(items), title))
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        return list(_shown(pool.map(function, items), len(items), title))


def _shown(results: Iterator[Result], count: int, title: str) -> Iterable[Result]:
    if not title:
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, title, total=count, console=Console(stderr=True))

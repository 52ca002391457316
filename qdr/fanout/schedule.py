"""What a number of workers would make of the matrix, on paper: list scheduling, the longest chain of needs first.

Graham 1969 (SIAM J. Appl. Math. 17(2)): whatever the order, a list schedule takes at most 2 - 1/m times the best one.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TypeVar

Cell = TypeVar("Cell")


def chains(seconds: Mapping[Cell, float], needs: Mapping[Cell, Sequence[Cell]]) -> dict[Cell, float]:
    """For each cell the time from its start to the end of the longest chain that begins with it.

    Args:
        seconds: of each cell, needs before what needs them.
        needs: what must be done before a cell.
    """
    behind = dict.fromkeys(seconds, 0.0)
    for cell in reversed(list(seconds)):
        for before in needs[cell]:
            behind[before] = max(behind[before], behind[cell] + seconds[cell])
    return {cell: behind[cell] + seconds[cell] for cell in seconds}


def makespan(seconds: Mapping[Cell, float], needs: Mapping[Cell, Sequence[Cell]], workers: int) -> float:
    """Seconds until the last cell is done when `workers` work at a time, each on the ready cell of the longest chain."""
    length, order = chains(seconds, needs), list(seconds)
    waits = {cell: len(set(needs[cell])) for cell in order}
    followers: dict[Cell, list[int]] = {cell: [] for cell in order}
    for index, cell in enumerate(order):
        for before in set(needs[cell]):
            followers[before].append(index)
    ready = [(-length[cell], index) for index, cell in enumerate(order) if not waits[cell]]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, index = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[order[index]], index))
        now, done = heapq.heappop(running)
        for index in followers[order[done]]:
            cell = order[index]
            waits[cell] -= 1
            if not waits[cell]:
                heapq.heappush(ready, (-length[cell], index))
    return now

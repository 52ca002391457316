"""The order in which several workers make what needs one another: list scheduling, the longest chain of needs first.

Graham 1969 (SIAM J. Appl. Math. 17(2)): whatever the order, a list schedule takes at most 2 - 1/m times the best one.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

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


class Ready(Generic[Cell]):
    """The cells whose needs are done, handed out in the order of their chains.

    Args:
        seconds: of each cell, needs before what needs them.
        needs: what must be done before a cell.
    """

    def __init__(self, seconds: Mapping[Cell, float], needs: Mapping[Cell, Sequence[Cell]]) -> None:
        self._length, self._order = chains(seconds, needs), list(seconds)
        self._waits = {cell: len(set(needs[cell])) for cell in self._order}
        self._followers: dict[Cell, list[int]] = {cell: [] for cell in self._order}
        for index, cell in enumerate(self._order):
            for before in set(needs[cell]):
                self._followers[before].append(index)
        self._heap = [(-self._length[cell], index) for index, cell in enumerate(self._order) if not self._waits[cell]]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def take(self) -> Cell:
        """The ready cell of the longest chain; it is not handed out again."""
        return self._order[heapq.heappop(self._heap)[1]]

    def done(self, cell: Cell) -> None:
        """Note that a cell is done: those that waited for it alone become ready."""
        for index in self._followers[cell]:
            follower = self._order[index]
            self._waits[follower] -= 1
            if not self._waits[follower]:
                heapq.heappush(self._heap, (-self._length[follower], index))


def makespan(seconds: Mapping[Cell, float], needs: Mapping[Cell, Sequence[Cell]], workers: int) -> float:
    """Seconds until the last cell is done when `workers` work at a time, each on the ready cell of the longest chain."""
    ready = Ready(seconds, needs)
    running: list[tuple[float, int, Cell]] = []
    now, begun = 0.0, 0
    while ready or running:
        while ready and len(running) < workers:
            cell = ready.take()
            heapq.heappush(running, (now + seconds[cell], begun, cell))
            begun += 1
        now, _, cell = heapq.heappop(running)
        ready.done(cell)
    return now

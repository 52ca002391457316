from __future__ import annotations

import os

import pytest

from qdr.errors import QdrError
from qdr.processes import side_by_side


def whose(number: int) -> tuple[int, int]:
    """The number and the process that was given it."""
    return number, os.getpid()


def refuse(number: int) -> None:
    raise QdrError(f"number {number}")


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    found = side_by_side(whose, range(5), 2)
    assert [number for number, _ in found] == list(range(5))
    assert os.getpid() not in {process for _, process in found}


def test_one_process_is_this_one() -> None:
    assert side_by_side(whose, range(3), 1) == [(number, os.getpid()) for number in range(3)]
    assert side_by_side(whose, [7], 2) == [(7, os.getpid())]


def test_an_error_is_the_caller_s() -> None:
    with pytest.raises(QdrError, match="number 0"):
        side_by_side(refuse, range(2), 2)

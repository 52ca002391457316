"""Laws of list scheduling."""

from __future__ import annotations

import math

from hypothesis import given, strategies as st

from qdr.suite.train.order import chains, makespan


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, float], dict[int, list[int]]]:
    """Cells 0, 1, ... of some seconds, each needing some of those before it."""
    count = draw(st.integers(1, 12))
    seconds = {cell: float(draw(st.integers(1, 100))) for cell in range(count)}
    needs = {
        cell: draw(st.lists(st.integers(0, cell - 1), unique=True, max_size=2)) if cell else [] for cell in range(count)
    }
    return seconds, needs


@given(graphs(), st.integers(1, 6))
def test_no_schedule_beats_the_bounds_and_none_is_twice_the_best(
    graph: tuple[dict[int, float], dict[int, list[int]]], workers: int
) -> None:
    seconds, needs = graph
    bound = max(sum(seconds.values()) / workers, max(chains(seconds, needs).values()))
    found = makespan(seconds, needs, workers)
    assert bound <= found + 1e-9
    assert (
        found <= (2 - 1 / workers) * bound + 1e-9
        or found <= sum(seconds.values()) / workers + (1 - 1 / workers) * max(chains(seconds, needs).values()) + 1e-9
    )


@given(graphs())
def test_one_worker_takes_the_sum_and_enough_take_the_longest_chain(
    graph: tuple[dict[int, float], dict[int, list[int]]],
) -> None:
    seconds, needs = graph
    assert math.isclose(makespan(seconds, needs, 1), sum(seconds.values()))
    assert math.isclose(makespan(seconds, needs, len(seconds)), max(chains(seconds, needs).values()))


def test_a_teacher_and_two_students() -> None:
    seconds, needs = {"teacher": 10.0, "a": 3.0, "b": 5.0}, {"teacher": [], "a": ["teacher"], "b": ["teacher"]}
    assert chains(seconds, needs) == {"teacher": 15.0, "a": 3.0, "b": 5.0}
    assert [makespan(seconds, needs, workers) for workers in (1, 2, 3)] == [18.0, 15.0, 15.0]

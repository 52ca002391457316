from __future__ import annotations

from pathlib import Path

import pytest

from qdr.errors import QdrError
from qdr.suite import config
from qdr.suite.fanout import estimate
from qdr.suite.train.plan import matrix, plan, teacher


def test_every_trained_model_of_the_plan_is_in_the_graph_and_teachers_come_first(settings: config.Config) -> None:
    needs = matrix(settings)
    order = list(needs)
    assert set(order) == {run for task in settings.tasks for run in plan(settings, task) if run.recipe.tool == "none"}
    for run, teachers in needs.items():
        assert all(order.index(other) < order.index(run) for other in teachers)
        assert bool(teachers) != run.recipe.scratch
    assert any(teachers == [teacher("derain", "fp32"), teacher("derain", "fp32-wide")] for teachers in needs.values())


def test_hours_and_storage_follow_from_the_rows(settings: config.Config) -> None:
    needs = matrix(settings)
    rows = [{"kind": name, "seconds": "2", "bytes": "100"} for name in {estimate.kind(run) for run in needs}]
    seconds = estimate.seconds(settings, needs, rows, "steps.csv")
    for run in needs:
        steps = settings.fp32.steps if run.recipe.scratch else settings.tune.steps
        assert seconds[run] == 2 * (steps if run.recipe.trains else 1)
    assert estimate.storage(needs, rows) == 200 * len(needs) + 600
    with pytest.raises(QdrError, match=r"steps.csv has no step time of .*--measure"):
        estimate.seconds(settings, needs, rows[1:], "steps.csv")


def test_steps_of_each_kind_are_timed(settings: config.Config, project: Path) -> None:
    some = {
        run: needs
        for run, needs in matrix(settings).items()
        if run.task == "derain" and run.method in ("fp32", "ptq", "qdr")
    }
    rows = estimate.measure(settings, some)
    assert {row["kind"] for row in rows} == {estimate.kind(run) for run in some}
    assert all(float(row["seconds"]) > 0 and int(row["bytes"]) > 100_000 for row in rows)

"""The training matrix as a graph: a cell is one model (task x method x bits x images x seed), its needs are its teachers."""

from __future__ import annotations

from graphlib import TopologicalSorter

from qdr.config import Config
from qdr.methods import NONE
from qdr.train.plan import Run, plan, teacher

Cells = dict[Run, list[Run]]


def cells(config: Config) -> Cells:
    """Every model that the profile trains or calibrates, with those that must be made before it, which come first.

    Those that a published tool makes of an FP32 file are made at export and are no cells.
    """
    needs = {
        run: _needs(run)
        for task in config.tasks
        for run in plan(config, task)
        if run.recipe.scratch or run.recipe.tool == NONE
    }
    return {run: needs[run] for run in TopologicalSorter(needs).static_order()}


def _needs(run: Run) -> list[Run]:
    if run.recipe.scratch:
        return []
    names = [run.recipe.start, *([run.recipe.teacher] if run.recipe.places else [])]
    return [teacher(run.task, name) for name in dict.fromkeys(names)]

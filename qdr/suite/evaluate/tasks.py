"""Quality and parity of several tasks, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from qdr.suite.config import Config
from qdr.suite.evaluate.features import features
from qdr.suite.evaluate.parity import parity
from qdr.suite.evaluate.restore import evaluate
from qdr.suite.evaluate.samples import write_samples
from qdr.suite.processes import side_by_side
from qdr.suite.train.plan import plan


def evaluate_tasks(config: Config, tasks: Sequence[str]) -> None:
    """Write the quality rows, the feature errors and the pictures of every task."""
    _over(config, tasks, _quality)


def parity_of_tasks(config: Config, tasks: Sequence[str]) -> None:
    """Write the parity rows of every task.

    Raises:
        QdrError: where a model is beyond the gate; all rows are written first.
    """
    _over(config, tasks, parity)


def _over(config: Config, tasks: Sequence[str], function: Callable[[Config, str], None]) -> None:
    """The task with the most models first; the engines of all share the profile's threads."""
    each = replace(config, threads=max(1, config.threads // len(tasks)))
    side_by_side(partial(function, each), sorted(tasks, key=lambda task: -len(plan(config, task))), config.threads)


def _quality(config: Config, task: str) -> None:
    evaluate(config, task)
    features(config, task)
    write_samples(config, task)

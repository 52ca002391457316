"""Everything that is measured on images, side by side: models of each task, layers of one, and the packaged weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import call

from qdr.suite.config import Config
from qdr.suite.evaluate.conflict import conflict
from qdr.suite.evaluate.features import features
from qdr.suite.evaluate.packaged import measure_packaged
from qdr.suite.evaluate.parity import parity
from qdr.suite.evaluate.restore import evaluate
from qdr.suite.evaluate.samples import write_samples
from qdr.suite.evaluate.sensitivity import sensitivity
from qdr.suite.processes import side_by_side
from qdr.suite.train.plan import plan


def evaluate_tasks(config: Config, tasks: Sequence[str], others: bool = True) -> None:
    """Write the quality rows, the feature errors, the gradients' cosines, the pictures and the parity rows of every task,
    the longest plan first, and with `others` what the layers of the bench's task and the packaged weights give. Engines
    share the profile's threads.

    Raises:
        QdrError: where a model is beyond the gate of parity.
    """
    each = replace(config, threads=max(1, config.threads // len(tasks)))
    jobs: list[Callable[[], None]] = [
        partial(_task, each, task) for task in sorted(tasks, key=lambda task: -len(plan(config, task)))
    ]
    if others:
        jobs[1:1] = [partial(sensitivity, each, config.bench.task), partial(measure_packaged, each)]
    side_by_side(call, jobs, config.threads)


def _task(config: Config, task: str) -> None:
    evaluate(config, task)
    features(config, task)
    conflict(config, task)
    write_samples(config, task)
    parity(config, task)

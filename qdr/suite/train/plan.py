"""Which models a profile asks for: runs, the product of its blocks' lists, and which of them need others first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import product
from pathlib import Path

from qdr.errors import QdrError
from qdr.suite import paths
from qdr.suite.config import BlockConfig, Config
from qdr.suite.methods import NONE, Recipe, recipe

TEACHERS = 10  # seeds of students per seed of teachers


@dataclass(frozen=True)
class Run:
    """One trained model: what it was made for and how.

    `images` is "all" or a number of training images, drawn by the seed. Students of seeds 0 to 9 start from the teacher of
    seed 0, those of 10 to 19 from that of seed 1, and so on: a comparison over such seeds covers the teacher's chance too.
    """

    task: str
    method: str
    bits: str
    images: str
    seed: int

    @property
    def name(self) -> str:
        """File name of the run, unique within its task.

        >>> Run("derain", "qdr", "W8A8", "all", 0).name
        'qdr-W8A8-all-s0'
        """
        return f"{self.method}-{self.bits}-{self.images}-s{self.seed}"

    @property
    def title(self) -> str:
        """What it is called where tasks stand side by side."""
        return f"{self.task}-{self.name}"

    @property
    def recipe(self) -> Recipe:
        found = recipe(self.method)
        if found.quantized == (self.bits == "FP32"):
            raise QdrError(f"method {self.method!r} does not go with bits {self.bits!r}")
        return found

    @property
    def start(self) -> Run:
        """The FP32 model that it starts from."""
        return self._teacher(self.recipe.start)

    @property
    def guide(self) -> Run:
        """The FP32 model that it learns from."""
        return self._teacher(self.recipe.teacher)

    def _teacher(self, method: str) -> Run:
        return teacher(self.task, method, teacher_seed(self.seed))


def run_folder(run: Run) -> Path:
    """Where a run is kept."""
    return (paths.teachers if run.recipe.scratch else paths.runs)(run.task) / run.name


def teacher_seed(seed: int) -> int:
    """The seed of the teacher that students of a seed start from.

    >>> teacher_seed(9), teacher_seed(10)
    (0, 1)
    """
    return seed // TEACHERS


def teacher(task: str, method: str, seed: int = 0) -> Run:
    """The run of an FP32 teacher, on all images."""
    return Run(task, method, "FP32", "all", seed)


def list_runs(blocks: dict[str, BlockConfig], task: str) -> list[Run]:
    """The runs of a task that blocks ask for, as often as they do."""
    runs = []
    for block in blocks.values():
        if task in block.tasks:
            choices = product(block.methods, block.bits, block.images, block.seeds)
            runs += [Run(task, method, bits, images, seed) for method, bits, images, seed in choices]
    return runs


def plan(config: Config, task: str) -> list[Run]:
    """Every run of a task that the profile's blocks ask for, the FP32 teachers first, each once."""
    runs = list_runs(config.blocks, task)
    needed = [model for run in runs if not run.recipe.scratch for model in (run.start, run.guide)]
    return list(dict.fromkeys([teacher(task, "fp32"), *needed, *runs]))


def graph(runs: Iterable[Run]) -> dict[Run, list[Run]]:
    """The runs, and the teachers that each of them needs, which come first.

    Those that a published tool makes of an FP32 file are made at export and are left out.
    """
    needs = {run: _needs(run) for run in runs if run.recipe.tool == NONE}
    return {run: needs.get(run, []) for run in TopologicalSorter(needs).static_order()}


def matrix(config: Config) -> dict[Run, list[Run]]:
    """The graph of every model that the profile trains or calibrates."""
    return graph(run for task in config.tasks for run in plan(config, task))


def _needs(run: Run) -> list[Run]:
    if run.recipe.scratch:
        return []
    return list(dict.fromkeys([run.start, *([run.guide] if run.recipe.places else [])]))


def steps_of(config: Config, run: Run) -> int:
    """How many steps a run trains; 1 for calibration alone."""
    if not run.recipe.trains:
        return 1
    return config.fp32.steps if run.recipe.scratch else config.tune.steps

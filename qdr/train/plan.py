"""Which models a profile asks for: runs, the product of its blocks' lists."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from qdr.config import BlockConfig, Config
from qdr.errors import QdrError
from qdr.methods import Recipe, recipe


@dataclass(frozen=True)
class Run:
    """One trained model: what it was made for and how. `images` is "all" or a number of training images."""

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
    def recipe(self) -> Recipe:
        found = recipe(self.method)
        if found.quantized == (self.bits == "FP32"):
            raise QdrError(f"method {self.method!r} does not go with bits {self.bits!r}")
        return found


def teacher(task: str, method: str) -> Run:
    """The run of an FP32 teacher: one seed, all images."""
    return Run(task, method, "FP32", "all", 0)


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
    needed = [name for run in runs for name in (run.recipe.start, run.recipe.teacher) if not run.recipe.scratch]
    return list(dict.fromkeys([teacher(task, "fp32"), *(teacher(task, name) for name in needed), *runs]))

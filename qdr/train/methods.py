"""The methods, one line each: what is trained, and what it learns from.

To add a method, add a recipe here and its name to `qdr.config.METHODS`; every table and figure then shows it.
READING: `-DFD` keeps self-distillation and LMR but taps all features, decoder included (without any distillation the
method would be plain QAT, which has its own row); `-LMR` uses the fixed weight; `-LDG` uses the EFM without gates, with
an FP32 teacher of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from qdr.config import Config
from qdr.errors import QdrError, check_choice


@dataclass(frozen=True)
class Recipe:
    """What a method does. `place` is where it distils (None: nowhere), `balance` is "fixed" or "lmr"."""

    quantized: bool = True
    trains: bool = True
    place: str | None = None
    balance: str = "fixed"
    gating: bool = True

    @property
    def teacher(self) -> str:
        """The FP32 method this one starts from and, if it distils, learns from."""
        return "fp32" if self.gating else "fp32-no-ldg"

    @property
    def architecture(self) -> str:
        """Name of the network: "efm" or "efm-no-ldg"."""
        return "efm" if self.gating else "efm-no-ldg"


RECIPES: dict[str, Recipe] = {
    "fp32": Recipe(quantized=False),
    "fp32-no-ldg": Recipe(quantized=False, gating=False),
    "fp32-tuned": Recipe(quantized=False),
    "ptq": Recipe(trains=False),
    "qat": Recipe(),
    "qat-kd-decoder": Recipe(place="decoder"),
    "qdr": Recipe(place="bottleneck", balance="lmr"),
    "qdr-no-dfd": Recipe(place="all", balance="lmr"),
    "qdr-no-lmr": Recipe(place="bottleneck"),
    "qdr-no-ldg": Recipe(place="bottleneck", balance="lmr", gating=False),
}


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
        check_choice("method", self.method, RECIPES)
        recipe = RECIPES[self.method]
        if recipe.quantized == (self.bits == "FP32"):
            raise QdrError(f"method {self.method!r} does not go with bits {self.bits!r}")
        return recipe


def plan(config: Config, task: str) -> list[Run]:
    """Every run of a task that the profile's blocks ask for, the FP32 teachers first, each once."""
    runs = []
    for block in config.blocks.values():
        if task in block.tasks:
            choices = product(block.methods, block.bits, block.images, block.seeds)
            runs += [Run(task, method, bits, images, seed) for method, bits, images, seed in choices]
    teachers = [Run(task, run.recipe.teacher, "FP32", "all", 0) for run in runs]
    return list(dict.fromkeys([Run(task, "fp32", "FP32", "all", 0), *teachers, *runs]))

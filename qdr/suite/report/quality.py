"""Quality rows as the tables and figures ask for them: one value per image, seeds averaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qdr.metrics.protocol import PROTOCOL
from qdr.models import TASKS
from qdr.suite.config import BITS, SCENES
from qdr.suite.methods import catalogue, recipe
from qdr.suite.report.load import QUALITY, load
from qdr.suite.train.plan import teacher_seed

Values = NDArray[np.float64]
TASK_LABELS = {"lowlight": "Low light", "dehaze": "Haze", "derain": "Rain", "denoise": "Noise"}
REAL, PHOTOS = "real", "photos"


@dataclass(frozen=True)
class Setting:
    """A method at a width, on all or some training images."""

    method: str
    bits: str
    images: str = "all"


def label(method: str) -> str:
    """How tables and figures call a method."""
    return recipe(method).label


def set_label(task: str, split: str) -> str:
    """How tables and figures call a test set: the task, and the source where it holds real pairs."""
    return TASK_LABELS[task] if split in (PHOTOS, SCENES) else f"{TASK_LABELS[task]}, {split}"


def teacher(method: str) -> Setting:
    """The FP32 model that a method starts from."""
    found = recipe(method)
    return Setting(method if found.scratch else found.start, "FP32")


def plain_qat(setting: Setting) -> Setting:
    """Plain QAT of the same FP32 model at the same width, on as many images; the setting itself where there is none."""
    start = recipe(setting.method).start
    fallback = "qat" if recipe(setting.method).model.startswith("efm") else setting.method
    plain = (
        name for name, r in catalogue().items() if r.start == start and r.quantizer == "lsq" and r.trains and not r.places
    )
    return Setting(next(plain, fallback), setting.bits, setting.images)


def count(images: str) -> float:
    """The number of training images; infinite for "all"."""
    return float("inf") if images == "all" else float(images)


def span(counts: Iterable[int]) -> str:
    """The smallest and the largest of some numbers, for captions.

    >>> span([7, 7]), span([40, 20, 50])
    ('7', '20 to 50')
    """
    found = sorted(set(counts))
    return " to ".join(str(number) for number in dict.fromkeys([found[0], found[-1]]))


def seeds(frame: pd.DataFrame) -> str:
    """How many seeds the models of some rows have, for captions; what is shown is averaged over them.

    >>> seeds(pd.DataFrame({"task": "x", "method": "y", "bits": "z", "images": "all", "seed": [0, 1]}))
    '2 seeds per model'
    """
    found = span(int(number) for number in frame.groupby(["task", "method", "bits", "images"])["seed"].nunique())
    return f"{found} seed{'' if found == '1' else 's'} per model"


class Quality:
    """The rows of results/quality.csv."""

    def __init__(self, path: Path) -> None:
        self.rows = load(path, QUALITY)
        self.frame = self.rows[self.rows["protocol"] == PROTOCOL]
        key = ["task", "split", "metric", "method", "bits", "images", "protocol"]
        self._places = self.rows.groupby(key, sort=False, observed=True).indices  # found once, used hundreds of times
        self._values: dict[tuple[str, str, str, Setting, str], Values] = {}

    @cached_property
    def _splits(self) -> dict[str, list[str]]:
        """The splits of each task, in the order of the rows."""
        pairs = self.frame[["task", "split"]].drop_duplicates()
        return {str(task): list(rows["split"]) for task, rows in pairs.groupby("task", sort=False)}

    @property
    def tasks(self) -> list[str]:
        """Tasks that have rows, in the order of `TASKS`."""
        return [task for task in TASKS if task in self._splits]

    def real(self, task: str) -> list[str]:
        """The splits of a task that hold real images, the one that figures show first."""
        return [split for split in self._splits.get(task, []) if split != SCENES]

    def sets(self, kind: str) -> list[tuple[str, str]]:
        """Task and split of every test set of a kind (REAL or SCENES) that has rows."""
        splits = {task: self.real(task) if kind == REAL else [SCENES] for task in self.tasks}
        return [(task, split) for task in self.tasks for split in splits[task] if split in self._splits[task]]

    def kinds(self) -> list[str]:
        """The kinds of test sets that have rows, real images first."""
        return [kind for kind in (REAL, SCENES) if self.sets(kind)]

    def settings(self, task: str, bits: tuple[str, ...]) -> list[Setting]:
        """What was measured on a task at these widths, in the order of the methods."""
        rows = self.frame[(self.frame["task"] == task) & self.frame["bits"].isin(bits)]
        found = {Setting(*key) for key in rows[["method", "bits", "images"]].itertuples(index=False, name=None)}
        order = list(catalogue())
        return sorted(
            found, key=lambda s: (bits.index(s.bits), -count(s.images), order.index(s.method.partition("@")[0]), s.method)
        )

    def habit(self, task: str, split: str) -> str | None:
        """The field's own protocol for a test set, where it is not ours."""
        rows = self.rows[(self.rows["task"] == task) & (self.rows["split"] == split) & (self.rows["protocol"] != PROTOCOL)]
        return None if rows.empty else str(rows["protocol"].iloc[0])

    def values(self, task: str, split: str, metric: str, setting: Setting, protocol: str = PROTOCOL) -> Values:
        """One value per image, sorted by image, averaged over seeds; empty if it was not measured."""
        key = (task, split, metric, setting, protocol)
        if key not in self._values:
            means = self._rows(*key).groupby("image")["value"].mean()
            self._values[key] = means.to_numpy(np.float64)
            self._values[key].flags.writeable = False
        return self._values[key]

    def by_seed(self, task: str, split: str, metric: str, setting: Setting) -> Values:
        """One value per seed and image, [seeds, images], sorted; [0, 0] if it was not measured."""
        rows = self._rows(task, split, metric, setting, PROTOCOL)
        return rows.pivot(index="seed", columns="image", values="value").to_numpy(np.float64)

    def teachers(self, task: str, split: str, metric: str, setting: Setting) -> Values:
        """Of each seed of a setting the values of the FP32 model that it started from, [seeds, images]."""
        theirs = self._rows(task, split, metric, teacher(setting.method), PROTOCOL)
        table = theirs.pivot(index="seed", columns="image", values="value")
        seeds = sorted(self._rows(task, split, metric, setting, PROTOCOL)["seed"].unique())
        return table.loc[[teacher_seed(seed) for seed in seeds]].to_numpy(np.float64)

    def seeds(self, task: str, split: str, metric: str, setting: Setting) -> Values:
        """The mean over images of each seed."""
        return self._rows(task, split, metric, setting, PROTOCOL).groupby("seed")["value"].mean().to_numpy(np.float64)

    def engine(self, task: str, setting: Setting) -> str:
        """The engine that a setting was measured in."""
        frame = self.frame
        rows = frame[(frame["task"] == task) & (frame["method"] == setting.method) & (frame["bits"] == setting.bits)]
        return "/".join(sorted(set(rows["engine"])))

    def comparisons(self) -> list[tuple[str, str]]:
        """Quantized widths with numbers of training images that were measured, widest and most first."""
        quantized = self.frame[self.frame["bits"] != "FP32"]
        found = set(quantized[["bits", "images"]].itertuples(index=False, name=None))
        return sorted(found, key=lambda pair: (BITS.index(pair[0]), -count(pair[1])))

    def blocks(self, kind: str, bits: str, images: str) -> dict[str, Values]:
        """Per method one PSNR per image of every test set, for the methods measured on all tasks that have any."""
        present = {task: [s for s in self.settings(task, (bits,)) if s.images == images] for task in self.tasks}
        tasks = [task for task, settings in present.items() if settings]
        shared = [s for s in present[tasks[0]] if all(s in present[task] for task in tasks)]
        sets = [(task, split) for task, split in self.sets(kind) if task in tasks]
        return {s.method: np.concatenate([self.values(*where, "psnr", s) for where in sets]) for s in shared}

    def _rows(self, task: str, split: str, metric: str, setting: Setting, protocol: str) -> pd.DataFrame:
        key = (task, split, metric, setting.method, setting.bits, setting.images, protocol)
        return self.rows.iloc[self._places.get(key, [])].sort_values(["image", "seed"])


INPUT = Setting("input", "FP32")
FP32 = Setting("fp32", "FP32")
QDR = Setting("qdr", "W8A8")

"""Quality rows as the tables and figures ask for them: one value per image, seeds averaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qdr.config import METHODS, TASKS
from qdr.report.load import QUALITY, load

Values = NDArray[np.float64]
LABELS = {
    "input": "Degraded input",
    "fp32": "FP32",
    "fp32-tuned": "FP32, tuned as long",
    "ptq": "PTQ",
    "qat": "QAT (LSQ)",
    "qat-kd-decoder": "QAT + decoder KD",
    "qdr": "QDR",
    "qdr-no-dfd": "QDR - DFD",
    "qdr-no-lmr": "QDR - LMR",
    "qdr-no-ldg": "QDR - LDG",
    "fp32-no-ldg": "FP32 - LDG",
}
TASK_LABELS = {"lowlight": "Low light", "dehaze": "Haze", "derain": "Rain", "denoise": "Noise"}


@dataclass(frozen=True)
class Setting:
    """A method at a width, on all or some training images."""

    method: str
    bits: str
    images: str = "all"


class Quality:
    """The rows of results/quality.csv."""

    def __init__(self, path: Path) -> None:
        self.frame = load(path, QUALITY)

    @property
    def tasks(self) -> list[str]:
        """Tasks that have rows, in the house's order."""
        return [task for task in TASKS if task in set(self.frame["task"])]

    def splits(self) -> list[str]:
        """The splits that have rows, real images first."""
        present = set(self.frame["split"])
        return [split for split in ("photos", "test", "scenes") if split in present]

    def settings(self, task: str, bits: tuple[str, ...]) -> list[Setting]:
        """What was measured on a task at these widths, in the order of the methods."""
        rows = self.frame[(self.frame["task"] == task) & self.frame["bits"].isin(bits)]
        found = {Setting(*key) for key in rows[["method", "bits", "images"]].itertuples(index=False, name=None)}
        return sorted(found, key=lambda s: (bits.index(s.bits), s.images != "all", s.images, METHODS.index(s.method)))

    def values(self, task: str, split: str, metric: str, setting: Setting) -> Values:
        """One value per image, sorted by image, averaged over seeds; empty if it was not measured."""
        return self._rows(task, split, metric, setting).groupby("image")["value"].mean().to_numpy(np.float64)

    def seeds(self, task: str, split: str, metric: str, setting: Setting) -> Values:
        """The mean over images of each seed."""
        return self._rows(task, split, metric, setting).groupby("seed")["value"].mean().to_numpy(np.float64)

    def engine(self, task: str, setting: Setting) -> str:
        """The engine that a setting was measured in."""
        frame = self.frame
        rows = frame[(frame["task"] == task) & (frame["method"] == setting.method) & (frame["bits"] == setting.bits)]
        return "/".join(sorted(set(rows["engine"])))

    def _rows(self, task: str, split: str, metric: str, setting: Setting) -> pd.DataFrame:
        f = self.frame
        where = (f["task"] == task) & (f["split"] == split) & (f["metric"] == metric) & (f["method"] == setting.method)
        return f[where & (f["bits"] == setting.bits) & (f["images"] == setting.images)].sort_values(["image", "seed"])


INPUT = Setting("input", "FP32")
FP32 = Setting("fp32", "FP32")

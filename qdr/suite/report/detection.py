"""Detection rows as the table and the figures ask for them: a value with its interval."""

from __future__ import annotations

from pathlib import Path

from qdr.models import TASKS
from qdr.suite.evaluate import SHOWN
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.load import DETECTION, load

METHODS = tuple(SHOWN)
LABELS = {"centre": "own detector", "yolox_nano": "YOLOX-nano", "nanodet_m": "NanoDet-m", "FastestDet": "FastestDet"}


class Detection:
    """The rows of results/detection.csv."""

    def __init__(self, path: Path) -> None:
        frame = load(path, DETECTION)
        self.profile, self.images = str(frame["profile"].iloc[0]), int(frame["images"].iloc[0])
        keys = ["task", "detector", "condition", "method", "metric"]
        self.rows = {
            tuple(str(row[key]) for key in keys): Interval(float(row["value"]), float(row["low"]), float(row["high"]))
            for row in frame.to_dict("records")
        }

    @property
    def tasks(self) -> list[str]:
        """Tasks that have rows, in the order of `TASKS`."""
        present = {task for task, *_ in self.rows}
        return [task for task in TASKS if task in present]

    @property
    def detectors(self) -> list[str]:
        """Detectors that have rows."""
        present = {detector for _, detector, *_ in self.rows}
        return [detector for detector in LABELS if detector in present]

    def get(self, task: str, detector: str, condition: str, method: str = "input", metric: str = "ap50") -> Interval | None:
        """A value with its interval; None where it was not measured."""
        return self.rows.get((task, detector, condition, method, metric))

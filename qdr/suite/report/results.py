"""The results of one profile, each file read once: what every table, figure and part of the page is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qdr.suite.config import SCENES, Config
from qdr.suite.evaluate.stats import Paired
from qdr.suite.report.detection import Detection
from qdr.suite.report.peers import Peers, find_peers
from qdr.suite.report.quality import PHOTOS, TASK_LABELS, Quality

SET_NAMES = {
    "sice": "SICE",
    "sots-indoor": "SOTS indoor",
    "rain100h": "Rain100H",
    "rain100l": "Rain100L",
    "polyu": "PolyU",
    "cbsd68": "CBSD68",
    "kodak24": "Kodak24",
    "lol-v1": "LOL-v1",
    "lol-eval15": "LOL-v1",
    "cc-nam": "CC",
    "reside-sots": "SOTS indoor",
    "reside-sots-outdoor": "SOTS outdoor",
}


def set_name(task: str, split: str) -> str:
    """A test set as figures name it: its task, and its own name where it holds real pairs.

    >>> set_name("denoise", "polyu"), set_name("derain", "photos")
    ('Noise, PolyU', 'Rain')
    """
    plain = split in (PHOTOS, SCENES)
    return TASK_LABELS[task] if plain else f"{TASK_LABELS[task]}, {SET_NAMES.get(split, split)}"


@dataclass(frozen=True)
class Results:
    """A profile's settings and the folder of its results."""

    config: Config
    folder: Path

    def has(self, *names: str) -> bool:
        """Whether every one of some files, or folders with content, is there: results of before a stage have none."""
        paths = [self.folder / name for name in names]
        return all(path.is_file() or (path.is_dir() and any(path.iterdir())) for path in paths)

    @cached_property
    def quality(self) -> Quality:
        """quality.csv."""
        return Quality(self.folder / "quality.csv")

    @cached_property
    def detection(self) -> Detection:
        """detection.csv."""
        return Detection(self.folder / "detection.csv")

    @cached_property
    def peers(self) -> Peers | None:
        """The networks that were trained in one budget; None where no other than the EFM was timed."""
        return find_peers(self.config, self.quality, self.folder / "latency.csv")

    @cached_property
    def stats(self) -> Paired:
        """How intervals are taken."""
        return Paired(self.config.stats.confidence)

    @property
    def kind(self) -> str:
        """The kind of test sets that is shown first: real images where there are any."""
        return self.quality.kinds()[0]

    @property
    def other(self) -> str | None:
        """The other kind, where both have rows."""
        return next(iter(self.quality.kinds()[1:]), None)

    @property
    def sets(self) -> list[tuple[str, str]]:
        """Task and split of every test set of the kind that is shown first."""
        return self.quality.sets(self.kind)

    @property
    def level(self) -> str:
        """The level of intervals, for captions."""
        return f"{100 * self.config.stats.confidence:.0f} %"

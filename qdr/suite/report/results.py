"""The results of one profile, each file read when it is first needed: what every table is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qdr.suite.config import Config
from qdr.suite.evaluate.stats import Paired
from qdr.suite.report.detection import Detection
from qdr.suite.report.peers import Peers, find_peers
from qdr.suite.report.quality import Quality


@dataclass(frozen=True)
class Results:
    """A profile's settings and the folder of its results."""

    config: Config
    folder: Path

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

    def has(self, name: str) -> bool:
        """Whether there is a file of that name: results of before a stage have none."""
        return (self.folder / name).is_file()

"""What the page is made of: a table, a chart, pictures or claims, and what a reader wants to know about each.

A `Piece` says which files it is drawn from and how; `make` draws it, or says what to run where a file is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qdr.suite.config import Config
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.detection import Detection
from qdr.suite.report.quality import Quality
from qdr.suite.report.tables.table import Table

Json = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """The results of a profile, read once."""

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
    def stats(self) -> Bootstrap:
        """How intervals are taken."""
        return Bootstrap(self.config.stats.resamples, self.config.stats.confidence)

    @property
    def kind(self) -> str:
        """The kind of test sets that is shown first: real images where there are any."""
        return self.quality.kinds()[0]

    @property
    def other(self) -> str | None:
        """The other kind, where both have rows."""
        return next(iter(self.quality.kinds()[1:]), None)


@dataclass(frozen=True)
class Panel:
    """One plot: its title, what it shows in words, and Plotly's `data` and `layout`."""

    title: str
    words: str
    figure: Json


@dataclass(frozen=True)
class Chart:
    """Panels under one legend of (name, colour), at most so many in a row."""

    caption: str
    panels: list[Panel]
    legend: list[tuple[str, str]] = field(default_factory=list)
    columns: int = 4


@dataclass(frozen=True)
class Picture:
    """An image file of the page and what is written under it."""

    name: str
    label: str
    note: str
    file: str


@dataclass(frozen=True)
class Shot:
    """One photograph of a task, degraded, through every method, and clean."""

    task: str
    title: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Gallery:
    """Photographs to compare, and a remark about them."""

    shots: list[Shot]
    remark: str = ""


@dataclass(frozen=True)
class Findings:
    """Numbers beside a claim, of one kind: (of what, value, interval) each."""

    title: str
    measured: bool
    rows: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Claim:
    """What the paper says, and what there is to say about it here."""

    said: str
    about: str
    findings: list[Findings]
    remark: str


Content = Table | Chart | Gallery | list[Claim]


@dataclass(frozen=True)
class Piece:
    """One part of the page.

    Args:
        name: its anchor.
        title: its heading.
        files: what it is drawn from, in results/<profile>/.
        verb: the command that draws the same for the paper, `qdr report <verb>`.
        draw: makes the content; None where the results have nothing of the kind.
        how: the protocol, in a sentence.
        also: what else it reads, where it is there.
    """

    name: str
    title: str
    files: tuple[str, ...]
    verb: str
    draw: Callable[[Given], Content | None]
    how: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A piece with its content and the files that were read for it, or those that it lacks."""

    piece: Piece
    content: Content | None
    read: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


def make(piece: Piece, given: Given) -> Made | None:
    """Draw a piece; None where the results have nothing of the kind."""
    lacking = tuple(name for name in piece.files if not (given.folder / name).exists())
    if lacking:
        return Made(piece, None, lacking=lacking)
    content = piece.draw(given)
    if content is None or (isinstance(content, Table) and not content.rows):
        return None
    read = (*piece.files, *(name for name in piece.also if (given.folder / name).exists()))
    return Made(piece, content, read)

"""One table of a comparison: the rows that both sides measured, those of one side, and those that may not be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qdr.suite.evaluate.stats import Interval

Key = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One quantity in A and in B.

    Args:
        key: what was measured, in the columns of its section.
        a: its value in A.
        b: its value in B.
        size: B - A; for latency B / A.
        interval: of `size`, where there is one value per image.
        relative: whether `size` is a ratio, 1 where nothing changed.
        normalised: latency: B / A after dividing each by the FP32 latency of its own run; None for FP32 itself.
    """

    key: Key
    a: float
    b: float
    size: float
    interval: Interval | None = None
    relative: bool = False
    normalised: float | None = None

    @property
    def same(self) -> bool:
        """Whether nothing changed: the value, and every image behind it."""
        return self.a == self.b and (self.interval is None or self.interval == Interval(0.0, 0.0, 0.0))

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero; False where there is none."""
        return self.interval is not None and self.interval.significant


@dataclass(frozen=True)
class Section:
    """Changes of one quantity.

    Args:
        kind: quality, parity, training, detection or speed.
        quantity: psnr, ssim, ...; with its unit where it has one.
        columns: what the entries of a key are.
        digits: after the decimal point.
        upward: more is better.
        absolute: latency: both sides ran on the same kind of machine, so that times can be compared as they are.
        changes: rows that both sides have, the most telling first.
        only: keys that one side alone has, by side ("A", "B").
        refused: key and reason of what is not compared although both sides have it.
        notes: what a reader has to know.
    """

    kind: str
    quantity: str
    columns: Key
    digits: int = 3
    upward: bool = True
    absolute: bool = True
    changes: list[Change] = field(default_factory=list)
    only: dict[str, list[Key]] = field(default_factory=dict)
    refused: list[tuple[Key, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> list[Change]:
        """The rows whose value moved."""
        return [change for change in self.changes if not change.same]

    @property
    def alike(self) -> bool:
        """Whether both sides have the same rows with the same values."""
        return not self.changed and not self.refused and not any(self.only.values())

    def better(self, change: Change) -> bool | None:
        """Whether a significant change is for the better; None where it is not significant."""
        return (change.size > 0) == self.upward if change.significant else None


@dataclass(frozen=True)
class Comparison:
    """All sections, by profile."""

    a: str
    b: str
    profiles: dict[str, list[Section]]
    notes: list[str]

    @property
    def alike(self) -> bool:
        """Whether nothing changed at all."""
        return not self.notes and all(section.alike for sections in self.profiles.values() for section in sections)


def telling(changes: list[Change]) -> list[Change]:
    """Significant changes first, then by size.

    >>> small, large = Change(("x",), 1, 2, 1.0), Change(("y",), 1, 3, 2.0)
    >>> [change.key for change in telling([small, large])]
    [('y',), ('x',)]
    """
    return sorted(changes, key=lambda change: (not change.significant, -_magnitude(change), change.key))


def ratio(key: Key, a: float, b: float, normalised: float | None) -> Change:
    """A change of a positive quantity, stated as B / A."""
    return Change(key, a, b, b / a, relative=True, normalised=normalised)


def _magnitude(change: Change) -> float:
    return abs(math.log(change.size)) if change.relative else abs(change.size)

"""What changed between two sets of results: is a pull request better, worse, or only different?

A side is a results folder (of one profile or of all), a git revision of this repository, or the working tree; nothing is
checked out. Rows are matched by what they measure. Quality and parity are compared image by image, with the paired
bootstrap interval of `qdr.suite.evaluate.stats`: a change whose interval includes zero is "n.s.". Rows that are in one
side only are listed; rows that measure the same model otherwise (another protocol, engine or set of images) are not
compared, and said so. Latency is compared as a ratio, and as the ratio of speed-ups over the same run's FP32, which is
what is left to compare when the machines differ.

The interval covers the choice of test images alone. A model trained again with another seed differs too, and of many equal
rows one in twenty looks significant at 95 %: read the size, not the verdict alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from qdr.errors import QdrError, nearest
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.compare.others import detection, training
from qdr.suite.report.compare.paired import parity, quality
from qdr.suite.report.compare.section import Comparison
from qdr.suite.report.compare.sides import UNREAD, Side, open_side
from qdr.suite.report.compare.speed import speed

RESAMPLES, CONFIDENCE = 5000, 0.95


def compare(a: str, b: str, profile: str | None = None) -> Comparison:
    """Compare two sides (a folder, a revision, or "worktree").

    Args:
        a: the reference.
        b: what is judged; differences are B - A, ratios B / A.
        profile: compare this one only (default: every profile that both have).

    Raises:
        QdrError: on a side that holds no results, rows that cannot be read, no profile or nothing at all in common.
    """
    stats = Bootstrap(RESAMPLES, CONFIDENCE)
    with ExitStack() as stack:
        sides = open_side(a, "A", stack), open_side(b, "B", stack)
        notes, pairs = _pairs(*sides, profile)
        found = {}
        for name, folders in pairs.items():
            sections = [*quality(*sides, *folders, stats), *parity(*sides, *folders, stats), *training(*sides, *folders)]
            found[name] = [*sections, *detection(*sides, *folders), *speed(*sides, *folders)]
    everything = [section for sections in found.values() for section in sections]
    for side, other in (sides, sides[::-1]):  # what both lack and nothing here needs is not missed
        notes += [f"{side.letter}: {note}" for note in side.notes if note not in other.notes or note.endswith(UNREAD)]
    if not any(section.changes or section.refused for section in everything):
        why = f" ({'; '.join(notes)})" if notes else ""
        raise QdrError(f"nothing of {sides[0].name} and {sides[1].name} can be compared{why}: they share no measured row")
    return Comparison(sides[0].name, sides[1].name, found, notes)


def _pairs(a: Side, b: Side, profile: str | None) -> tuple[list[str], dict[str, tuple[Path, Path]]]:
    """Folders to compare by profile; two folders of one profile each are compared whatever they are called."""
    if a.single and b.single and profile is None:
        (one, first), (other, second) = *a.profiles.items(), *b.profiles.items()
        notes = [] if one == other else [f"profiles {one} (A) and {other} (B)"]
        return notes, {one if one == other else f"{one}, {other}": (first, second)}
    if profile is not None:
        for side in (a, b):
            if profile not in side.profiles:
                raise QdrError(f"{side.name} has no results of profile {profile!r}: {nearest(profile, side.profiles)}")
        return [], {profile: (a.profiles[profile], b.profiles[profile])}
    common = sorted(set(a.profiles) & set(b.profiles))
    if not common:
        raise QdrError(f"no profile is in both: {a.name} has {', '.join(a.profiles)}; {b.name} has {', '.join(b.profiles)}")
    asked = a.single or b.single  # one profile was named, so that the others are not missed
    alone = [] if asked else sorted(set(a.profiles) ^ set(b.profiles))
    notes = [f"profile {name}: only in {'A' if name in a.profiles else 'B'}" for name in alone]
    return notes, {name: (a.profiles[name], b.profiles[name]) for name in common}

"""What changed between two sets of results: is a pull request better, worse, or only different?

A side is a results folder (of one profile or of all), a git revision of this repository, or the working tree; nothing is
checked out. Rows are matched by what they measure (`rows`): quality and parity image by image, with the paired bootstrap
interval of `qdr.suite.evaluate.stats`, latency as a ratio. Rows of one side alone are listed; rows that measure the same
model otherwise (another protocol, engine or set of images) are not compared, and said so.

The interval covers the choice of test images alone. A model trained again with another seed differs too, and of many equal
rows one in twenty looks significant at 95 %: read the size, not the verdict alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from qdr.errors import QdrError, nearest
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.compare.rows import SECTIONS, Comparison, compared
from qdr.suite.report.compare.sides import UNREAD, Side, open_side

RESAMPLES, CONFIDENCE = 5000, 0.95
GATES = {"quality": ("quality",), "speed": ("speed",), "any": ("quality", "speed")}


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
        found = {name: [compared(section, sides, folders, stats) for section in SECTIONS] for name, folders in pairs.items()}
    for side, other in (sides, sides[::-1]):  # what both lack and nothing here needs is not missed
        notes += [f"{side.letter}: {note}" for note in side.notes if note not in other.notes or note.endswith(UNREAD)]
    if not any(section.rows or section.refused for sections in found.values() for section in sections):
        why = f" ({'; '.join(notes)})" if notes else ""
        raise QdrError(f"nothing of {sides[0].name} and {sides[1].name} can be compared{why}: they share no measured row")
    return Comparison(sides[0].name, sides[1].name, found, notes)


def failures(comparison: Comparison, what: str, drop: float, slowdown: float) -> list[str]:
    """A line per reason to fail, for continuous integration: `qdr compare A B --fail-on quality`.

    Quality fails on a drop of PSNR that is significant and larger than `drop`, dB; speed on a ratio above `slowdown`: of
    times on the same kind of machine, else of times over the run's own FP32. A model that could not be compared fails as
    well: a check that cannot look does not pass. `what` is a key of `GATES`.
    """
    lines = [note for note in comparison.notes if note.endswith(UNREAD)]
    for profile, sections in comparison.profiles.items():
        for section in (section for section in sections if section.kind in GATES[what]):
            for row in section.rows:
                name, factor = f"{profile}: {'/'.join(row.what)}", row.change if section.absolute else row.to_fp32
                if section.ratio and factor is not None and factor > slowdown:
                    lines.append(f"{name}: {factor:.2f} times as long" + ("" if section.absolute else ", relative to FP32"))
                elif "PSNR" in section.name and row.significant and -row.change > drop:
                    lines.append(f"{name}: {section.text(row)} dB")
            if "PSNR" in section.name:
                lines += [f"{profile}: {'/'.join(key)}: not compared, {reason}" for key, reason in section.refused]
    return lines


def _pairs(a: Side, b: Side, profile: str | None) -> tuple[list[str], dict[str, tuple[Path, Path]]]:
    """Folders to compare by profile; two folders of one profile each are compared whatever they are called."""
    if a.single and b.single and profile is None:
        (one, first), (other, second) = *a.profiles.items(), *b.profiles.items()
        notes = [] if one == other else [f"profiles {one} (A) and {other} (B)"]
        return notes, {one if one == other else f"{one}, {other}": (first, second)}
    for side in (a, b) if profile is not None else ():
        if profile not in side.profiles:
            raise QdrError(f"{side.name} has no results of profile {profile!r}: {nearest(str(profile), side.profiles)}")
    common = [profile] if profile is not None else sorted(set(a.profiles) & set(b.profiles))
    if not common:
        raise QdrError(f"no profile is in both: {a.name} has {', '.join(a.profiles)}; {b.name} has {', '.join(b.profiles)}")
    named = profile is not None or a.single or b.single  # so that the others are not missed
    alone = [] if named else sorted(set(a.profiles) ^ set(b.profiles))
    notes = [f"profile {name}: only in {'A' if name in a.profiles else 'B'}" for name in alone]
    return notes, {name: (a.profiles[name], b.profiles[name]) for name in common}

"""When a comparison fails: for continuous integration, `qdr compare A B --fail-on quality`.

Quality fails on a drop of PSNR that is significant and larger than a threshold; a significant drop of 0.001 dB is no reason
to stop. Speed fails on a ratio above a threshold: of times on the same kind of machine, else of times over the run's own
FP32. A model that could not be compared fails as well: a gate that cannot look does not pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdr.suite.report.compare.section import Comparison, Section
from qdr.suite.report.compare.sides import UNREAD
from qdr.suite.report.tables.quality import show

GATES = {"quality": ("quality",), "speed": ("speed",), "any": ("quality", "speed")}


def failures(comparison: Comparison, what: str, drop: float, slowdown: float) -> list[str]:
    """A line per reason to fail.

    Args:
        comparison: what was found.
        what: a key of `GATES`.
        drop: tolerated loss of PSNR, dB.
        slowdown: tolerated ratio of latencies, such as 1.1.
    """
    lines = [note for note in comparison.notes if note.endswith(UNREAD)]
    for profile, sections in comparison.profiles.items():
        for section in sections:
            if section.kind in GATES[what]:
                found = _slower(section, slowdown) if section.kind == "speed" else _worse(section, drop)
                lines += [f"{profile}: {line}" for line in found]
    return lines


def _worse(section: Section, drop: float) -> Iterator[str]:
    if "PSNR" not in section.quantity:
        return
    for change in section.changes:
        if section.better(change) is False and change.interval is not None and -change.size > drop:
            yield f"{'/'.join(change.key)}: {show(change.interval, section.digits, sign=True)} dB"
    for key, reason in section.refused:
        yield f"{'/'.join(key)}: not compared, {reason}"


def _slower(section: Section, slowdown: float) -> Iterator[str]:
    for change in section.changes:
        factor = change.size if section.absolute else change.normalised
        if factor is not None and factor > slowdown:
            yield f"{'/'.join(change.key)}: {factor:.2f} times as long" + ("" if section.absolute else ", relative to FP32")

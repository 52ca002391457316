"""Training and detection: one number per model, so that changes have no interval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from qdr.suite.report.compare.section import Change, Key, Section, telling
from qdr.suite.report.compare.sides import Side
from qdr.suite.report.load import DETECTION, TRAINING

RUN = ("task", "method", "bits", "images")
SEEN = ("task", "detector", "condition", "method", "bits")


def training(a: Side, b: Side, of_a: Path, of_b: Path) -> Iterator[Section]:
    """PSNR on validation images at the end of training, seeds averaged."""
    section = Section("training", "final PSNR on validation images (dB)", RUN)
    needed = *RUN, "seed", "step", "metric", "value"
    frames = (side.rows(folder, "training.csv", TRAINING, *needed) for side, folder in ((a, of_a), (b, of_b)))
    yield _filled(section, *(_final(frame) for frame in frames))


def detection(a: Side, b: Side, of_a: Path, of_b: Path) -> Iterator[Section]:
    """AP50 and AP of every detector; sides that looked at other numbers of images are not compared."""
    needed = *SEEN, "metric", "value", "images"
    frames = [side.rows(folder, "detection.csv", DETECTION, *needed) for side, folder in ((a, of_a), (b, of_b))]
    for metric, quantity in (("ap50", "AP50"), ("ap", "AP")):
        section = Section("detection", quantity, SEEN)
        parts = [None if frame is None else frame[frame["metric"] == metric] for frame in frames]
        counts = [sorted(set(part["images"])) if part is not None else [] for part in parts]
        filled = _filled(section, *(_by_key(part, SEEN) for part in parts))
        if all(counts) and counts[0] != counts[1]:
            reason = f"{counts[0]} labelled images in A, {counts[1]} in B"
            filled.refused.extend((change.key, reason) for change in filled.changes)
            filled.changes.clear()
        if filled.changed:
            filled.notes.append("no interval: detection.csv has one value for all images")
        yield filled


def _final(frame: pd.DataFrame | None) -> dict[Key, float]:
    if frame is None:
        return {}
    rows = frame[frame["metric"] == "val_psnr"].sort_values("step").drop_duplicates([*RUN, "seed"], keep="last")
    return _by_key(rows, RUN)


def _by_key(frame: pd.DataFrame | None, columns: Key) -> dict[Key, float]:
    if frame is None or frame.empty:
        return {}
    return {tuple(map(str, key)): float(rows["value"].mean()) for key, rows in frame.groupby(list(columns), sort=False)}


def _filled(section: Section, a: dict[Key, float], b: dict[Key, float]) -> Section:
    section.changes.extend(telling([Change(key, a[key], b[key], b[key] - a[key]) for key in a.keys() & b.keys()]))
    section.only.update({"A": sorted(a.keys() - b.keys()), "B": sorted(b.keys() - a.keys())})
    return section

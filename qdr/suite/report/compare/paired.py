"""Quality and parity: one value per image in both sides, so that differences are paired by image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from qdr.suite.evaluate.gates import GATE_MEAN_LEVEL, GATE_PSNR_DB
from qdr.suite.evaluate.stats import Bootstrap, Interval, Values
from qdr.suite.report.compare.section import Change, Key, Section, telling
from qdr.suite.report.compare.sides import Side
from qdr.suite.report.load import PARITY, QUALITY

MODEL = ("task", "split", "method", "bits", "images")
HOW = ("protocol", "engine")  # the same model measured otherwise is not compared
_VALUES = ("image", "seed", "value")
NAMED = 3  # images that a reason names


def quality(a: Side, b: Side, of_a: Path, of_b: Path, stats: Bootstrap) -> Iterator[Section]:
    """A section for PSNR and one for SSIM."""
    needed = *MODEL, *HOW, "metric", *_VALUES
    first, second = (side.rows(at, "quality.csv", QUALITY, *needed) for side, at in ((a, of_a), (b, of_b)))
    for metric, quantity, digits in (("psnr", "PSNR (dB)", 3), ("ssim", "SSIM", 4)):
        section = Section("quality", quantity, (*MODEL, *HOW), digits)
        yield _filled(section, _of(first, metric), _of(second, metric), "value", stats)


def parity(a: Side, b: Side, of_a: Path, of_b: Path, stats: Bootstrap) -> Iterator[Section]:
    """Engines against fake quantization: the mean difference in level, and in PSNR (its size: its sign means nothing)."""
    needed = *MODEL, "reference", "engine", "image", "seed", "delta_psnr_db", "mean_level"
    first, second = (side.rows(at, "parity.csv", PARITY, *needed) for side, at in ((a, of_a), (b, of_b)))
    for frame in (first, second):
        if frame is not None:
            frame["delta_psnr_db"] = frame["delta_psnr_db"].abs()
    gates = {
        "mean_level": f"the gate of the pipeline is {GATE_MEAN_LEVEL} on every image",
        "delta_psnr_db": f"the gate of the pipeline is ±{GATE_PSNR_DB} dB in the mean",
    }
    for value, quantity, digits in (("mean_level", "mean level", 4), ("delta_psnr_db", "|Δ PSNR| (dB)", 5)):
        section = Section("parity", quantity, (*MODEL, "reference", "engine"), digits, upward=False)
        filled = _filled(section, first, second, value, stats)
        if filled.changed:
            filled.notes.append(gates[value])
        yield filled


def _of(frame: pd.DataFrame | None, metric: str) -> pd.DataFrame | None:
    return None if frame is None else frame[frame["metric"] == metric]


def _filled(section: Section, a: pd.DataFrame | None, b: pd.DataFrame | None, value: str, stats: Bootstrap) -> Section:
    """The section with every row of two frames in it."""
    groups = _groups(a, section.columns), _groups(b, section.columns)
    changes, seeds = [], 0
    for key in sorted(groups[0].keys() & groups[1].keys()):
        first, second = (_values(side[key], value) for side in groups)
        reason = _other_images(first, second)
        if reason:
            section.refused.append((key, reason))
        else:
            changes.append(_change(key, _floats(first), _floats(second), stats))
            seeds += set(groups[0][key]["seed"]) != set(groups[1][key]["seed"])
    section.changes.extend(telling(changes))
    alone = [sorted(groups[i].keys() - groups[1 - i].keys()) for i in (0, 1)]
    section.refused.extend(_measured_otherwise(section.columns, *alone))
    section.only.update({"A": alone[0], "B": alone[1]})
    if seeds:
        section.notes.append(f"{seeds} rows average other seeds in A than in B")
    return section


def _groups(frame: pd.DataFrame | None, columns: Key) -> dict[Key, pd.DataFrame]:
    if frame is None or frame.empty:
        return {}
    return {tuple(map(str, key)): group for key, group in frame.groupby(list(columns), sort=False)}


def _values(group: pd.DataFrame, value: str) -> pd.Series[float]:
    """One value per image, sorted by image, seeds averaged."""
    return group.groupby("image")[value].mean()


def _floats(values: pd.Series[float]) -> Values:
    return np.asarray(values, np.float64)


def _change(key: Key, a: Values, b: Values, stats: Bootstrap) -> Change:
    size = float((b - a).mean())
    if np.array_equal(a, b):
        interval: Interval | None = Interval(0.0, 0.0, 0.0)
    else:
        interval = stats.difference(b, a) if len(a) > 1 else None
    return Change(key, float(a.mean()), float(b.mean()), size, interval)


def _other_images(a: pd.Series[float], b: pd.Series[float]) -> str:
    """How two sets of images differ; empty if they do not."""
    here, there = set(a.index), set(b.index)
    if here == there:
        return ""
    parts = [f"{len(here)} images in A, {len(there)} in B"]
    for letter, alone in (("A", here - there), ("B", there - here)):
        if alone:
            more = "" if len(alone) <= NAMED else ", ..."
            parts.append(f"only in {letter}: {', '.join(sorted(map(str, alone))[:NAMED])}{more}")
    return "; ".join(parts)


def _measured_otherwise(columns: Key, only_a: list[Key], only_b: list[Key]) -> Iterator[tuple[Key, str]]:
    """What both sides measured, but by another protocol or in another engine; taken out of the two lists."""
    how = [place for place, column in enumerate(columns) if column in (*HOW, "reference")]
    for key in list(only_a):
        model = [part for place, part in enumerate(key) if place not in how]
        twins = [other for other in only_b if model == [part for place, part in enumerate(other) if place not in how]]
        if twins:
            twin = twins[0]
            differ = [place for place in how if key[place] != twin[place]]
            yield key, "; ".join(f"{columns[place]} {key[place]} in A, {twin[place]} in B" for place in differ)
            only_a.remove(key)
            only_b.remove(twin)

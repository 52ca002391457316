"""The rows of a comparison: what is measured, how the two sides are matched, and by how much they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qdr.errors import QdrError
from qdr.suite.evaluate.gates import GATE_MEAN_LEVEL, GATE_PSNR_DB
from qdr.suite.evaluate.stats import Bootstrap, Interval
from qdr.suite.report.compare.sides import Side
from qdr.suite.report.load import DETECTION, LATENCY, PARITY, QUALITY, TRAINING, Schema
from qdr.suite.report.tables.table import show

Key = tuple[str, ...]
MODEL = ("task", "split", "method", "bits", "images")
RUN = ("task", "method", "bits", "images")
SEEN = ("task", "detector", "condition", "method", "bits")
CASE = ("model", "engine", "precision", "threads", "batch", "height", "width")
MACHINE = ("cpu", "capability", "cpu_count", "cpu_flags", "machine", "system")  # of latency.json
OTHER = "different machines: absolute times are not comparable, the ratio to FP32 is"
ENGINES = ("reference", "engine")
NAMED = 3  # images that a reason names


@dataclass(frozen=True)
class Row:
    """What was measured, in the columns of its section, before (A) and after (B).

    `change` is B - A, or B / A of a ratio; `interval` is of the change, where there is one value per image; `to_fp32` is a
    ratio after dividing each side by the FP32 value of its own run, None for FP32 itself.
    """

    what: Key
    before: float
    after: float
    change: float
    interval: Interval | None = None
    to_fp32: float | None = None

    @property
    def same(self) -> bool:
        """Whether nothing changed: the value, and every image behind it."""
        return self.before == self.after and self.interval in (None, Interval(0.0, 0.0, 0.0))

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero; False where there is none."""
        return self.interval is not None and self.interval.significant


@dataclass(frozen=True)
class Section:
    """One quantity: the rows of a file with a `metric`, if it has several, matched by the columns `what`.

    Rows that are the same in `what` but not in `how` were measured otherwise and are not compared. A `ratio` is B / A, not
    B - A, and stated over that of FP32 as well, in which a faster machine cancels out; `absolute` says that both sides ran
    on the same kind of machine. Found are `rows` (significant changes first, then by size), the keys that one side alone
    has (`only`, by "A" and "B"), what is `refused` though both sides have it, and why, and `notes` for readers of a change.
    """

    kind: str
    name: str
    schema: Schema
    what: Key
    how: Key = ()
    value: str = "value"
    metric: str = ""
    digits: int = 3
    upward: bool = True
    ratio: bool = False
    absolute: bool = True
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    only: dict[str, list[Key]] = field(default_factory=dict)
    refused: tuple[tuple[Key, str], ...] = ()

    @property
    def columns(self) -> Key:
        """What the entries of a key are."""
        return (*self.what, *self.how)

    @property
    def changed(self) -> list[Row]:
        """The rows whose value moved."""
        return [row for row in self.rows if not row.same]

    @property
    def alike(self) -> bool:
        """Whether both sides have the same rows with the same values."""
        return not self.changed and not self.refused and not any(self.only.values())

    def better(self, row: Row) -> bool | None:
        """Whether a significant change is for the better; None where it is not significant."""
        return (row.change > 0) == self.upward if row.significant else None

    def text(self, row: Row) -> str:
        """The text of a change."""
        if self.ratio:
            return f"{row.change:.2f}×"
        return show(row.interval, self.digits, sign=True) if row.interval else f"{row.change:+.{self.digits}f}"


_IMAGES = ("no interval: detection.csv has one value for all images",)
_LEVEL = (f"the gate of the pipeline is {GATE_MEAN_LEVEL} on every image",)
_PSNR = (f"the gate of the pipeline is ±{GATE_PSNR_DB} dB in the mean",)
_FILES = {"speed": "latency.csv"}
SECTIONS = (
    Section("quality", "PSNR (dB)", QUALITY, MODEL, ("protocol", "engine"), metric="psnr"),
    Section("quality", "SSIM", QUALITY, MODEL, ("protocol", "engine"), metric="ssim", digits=4),
    Section("parity", "mean level", PARITY, MODEL, ENGINES, "mean_level", digits=4, upward=False, notes=_LEVEL),
    Section("parity", "|Δ PSNR| (dB)", PARITY, MODEL, ENGINES, "delta_psnr_db", digits=5, upward=False, notes=_PSNR),
    Section("training", "final PSNR on validation images (dB)", TRAINING, RUN, metric="val_psnr"),
    Section("detection", "AP50", DETECTION, SEEN, ("images",), metric="ap50", notes=_IMAGES),
    Section("detection", "AP", DETECTION, SEEN, ("images",), metric="ap", notes=_IMAGES),
    Section("speed", "median latency (ms)", LATENCY, CASE, (), "median_ms", digits=2, upward=False, ratio=True),
)


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


def compared(section: Section, sides: tuple[Side, Side], folders: tuple[Path, Path], stats: Bootstrap) -> Section:
    """A section with what two sides have of it."""
    needed = {*section.columns, section.value, "image", "seed", "step", "metric"} & set(section.schema)
    pairs = list(zip(sides, folders, strict=True))
    file = _FILES.get(section.kind, f"{section.kind}.csv")
    found = filled(section, [side.rows(folder, file, section.schema, needed) for side, folder in pairs], stats)
    if not section.ratio:
        return found
    machines = [side.record(folder, "latency.json") for side, folder in pairs]
    notes = () if found.alike else (*found.notes, *_about(*machines))
    return replace(found, notes=notes, absolute=same_machine(*machines))


def filled(section: Section, frames: list[pd.DataFrame | None], stats: Bootstrap) -> Section:
    """A section with every row of two frames in it."""
    a, b = (_groups(frame, section) for frame in frames)
    rows, refused, seeds = [], [], 0
    for key in a.keys() & b.keys():
        first, second = (side[key].groupby("image")[section.value].mean() for side in (a, b))  # seeds averaged
        if reason := _other_images(set(first.index), set(second.index)):
            refused.append((key, reason))
            continue
        before, after = (np.asarray(values, np.float64) for values in (first, second))
        change = float(after.mean() / before.mean() if section.ratio else (after - before).mean())
        interval = Interval(0.0, 0.0, 0.0) if len(before) > 1 else None
        if interval and not np.array_equal(before, after):
            interval = stats.difference(after, before)
        rows.append(Row(key, float(before.mean()), float(after.mean()), change, interval))
        seeds += set(a[key]["seed"]) != set(b[key]["seed"])
    rows = list(_to_fp32(rows, section)) if section.ratio else rows
    sizes = {row.what: abs(math.log(row.change) if section.ratio else row.change) for row in rows}
    rows.sort(key=lambda row: (not row.significant, -sizes[row.what], row.what))
    only_a, only_b = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
    refused += _measured_otherwise(section, only_a, only_b)
    notes = section.notes if not all(row.same for row in rows) else ()
    notes += (f"{seeds} rows average other seeds in A than in B",) if seeds else ()
    only = {"A": only_a, "B": only_b}
    return replace(section, rows=tuple(rows), refused=tuple(refused), only=only, notes=notes)


def _groups(frame: pd.DataFrame | None, section: Section) -> dict[Key, pd.DataFrame]:
    """The rows of each key, with an image and a seed each: one where there is one value for all."""
    if frame is None:
        return {}
    chosen = frame[frame["metric"] == section.metric] if section.metric else frame
    if "step" in chosen:  # of a training the last
        chosen = chosen.sort_values("step").drop_duplicates([*section.what, "seed"], keep="last")
    values = chosen[section.value].abs() if "|" in section.name else chosen[section.value]  # whose sign means nothing
    if section.ratio and (values <= 0).any():
        raise QdrError(f"latency.csv: {section.value} {values.min()} is not a time: run `qdr bench` again")
    filler = {name: 0 for name in ("image", "seed") if name not in chosen}
    groups = chosen.assign(**{section.value: values}, **filler).groupby(list(section.columns), sort=False)
    return {tuple(map(str, key)): group for key, group in groups}


def _to_fp32(rows: list[Row], section: Section) -> Iterator[Row]:
    place, changes = section.columns.index("precision"), {row.what: row.change for row in rows}
    for row in rows:
        base = (*row.what[:place], "fp32", *row.what[place + 1 :])
        yield row if base == row.what or base not in changes else replace(row, to_fp32=row.change / changes[base])


def _other_images(here: set[Any], there: set[Any]) -> str:
    """How two sets of images differ; empty if they do not."""
    parts = [f"{len(here)} images in A, {len(there)} in B"] if here != there else []
    for letter, alone in (("A", here - there), ("B", there - here)):
        if alone:
            more = "" if len(alone) <= NAMED else ", ..."
            parts.append(f"only in {letter}: {', '.join(sorted(map(str, alone))[:NAMED])}{more}")
    return "; ".join(parts)


def _measured_otherwise(section: Section, only_a: list[Key], only_b: list[Key]) -> Iterator[tuple[Key, str]]:
    """What both sides measured, but by another protocol or in another engine; taken out of the two lists."""
    count = len(section.what)
    for key in list(only_a):
        for twin in [other for other in only_b if other[:count] == key[:count]][:1]:
            named = zip(section.how, key[count:], twin[count:], strict=True)
            yield key, "; ".join(f"{name} {a} in A, {b} in B" for name, a, b in named if a != b)
            only_a.remove(key)
            only_b.remove(twin)


def same_machine(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two runs were on processors of the same kind; a run that does not say where it was is taken to differ."""
    return bool(a and b) and all(a.get(key) == b.get(key) for key in MACHINE)


def _about(*records: dict[str, Any]) -> Iterator[str]:
    """What the two runs ran on: the machines, and the libraries that differ."""
    a, b = (
        f"{record.get('cpu', 'unknown processor')}, {record.get('cpu_count', '?')} cores, "
        f"{' '.join(record.get('cpu_flags', []))}".removesuffix(", ")
        for record in records
    )
    yield f"A and B: {a}, the same kind of machine" if same_machine(*records) else f"A: {a}. B: {b}. {OTHER}"
    old, new = (record.get("versions", {}) for record in records)
    pairs = ((name, old.get(name, "-"), new.get(name, "-")) for name in sorted({*old, *new}))
    if moved := [f"{name} {a} to {b}" for name, a, b in pairs if a != b]:
        yield f"versions: {', '.join(moved)}"

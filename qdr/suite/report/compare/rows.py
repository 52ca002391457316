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
NAMED = 3  # images that a reason names


@dataclass(frozen=True)
class Quantity:
    """What is compared: rows of a file with a `metric`, if it has several, matched by the columns `what`.

    Rows that are the same in `what` but not in `how` were measured otherwise and are not compared. A `ratio` is B / A, not
    B - A, and stated over that of FP32 as well, in which a faster machine cancels out. `note` is for readers of a change.
    """

    kind: str
    name: str
    file: str
    schema: Schema
    what: Key
    how: Key = ()
    value: str = "value"
    metric: str = ""
    digits: int = 3
    upward: bool = True
    ratio: bool = False
    note: str = ""

    @property
    def needs(self) -> set[str]:
        """The columns without which a file is not compared."""
        return {*self.what, *self.how, self.value, "image", "seed", "step", "metric"} & set(self.schema)


QUANTITIES = (
    Quantity("quality", "PSNR (dB)", "quality.csv", QUALITY, MODEL, ("protocol", "engine"), metric="psnr"),
    Quantity("quality", "SSIM", "quality.csv", QUALITY, MODEL, ("protocol", "engine"), metric="ssim", digits=4),
    *(
        Quantity("parity", name, "parity.csv", PARITY, MODEL, ("reference", "engine"), value, "", digits, False, note=note)
        for name, value, digits, note in (
            ("mean level", "mean_level", 4, f"the gate of the pipeline is {GATE_MEAN_LEVEL} on every image"),
            ("|Δ PSNR| (dB)", "delta_psnr_db", 5, f"the gate of the pipeline is ±{GATE_PSNR_DB} dB in the mean"),
        )
    ),
    Quantity("training", "final PSNR on validation images (dB)", "training.csv", TRAINING, RUN, metric="val_psnr"),
    *(
        Quantity("detection", name, "detection.csv", DETECTION, SEEN, ("images",), metric=name.lower(), note=note)
        for name, note in dict.fromkeys(("AP50", "AP"), "no interval: detection.csv has one value for all images").items()
    ),
    Quantity("speed", "median latency (ms)", "latency.csv", LATENCY, CASE, (), "median_ms", "", 2, False, ratio=True),
)


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
    """All rows of one quantity: significant changes first, then by size.

    `absolute`: both sides ran on the same kind of machine, so that times can be compared as they are. `only` has the keys
    that one side alone has, by side ("A", "B"); `refused` what is not compared although both sides have it, and why.
    """

    quantity: Quantity
    absolute: bool = True
    rows: list[Row] = field(default_factory=list)
    only: dict[str, list[Key]] = field(default_factory=dict)
    refused: list[tuple[Key, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> Key:
        """What the entries of a key are."""
        return (*self.quantity.what, *self.quantity.how)

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
        return (row.change > 0) == self.quantity.upward if row.significant else None

    def text(self, row: Row) -> str:
        """The text of a change."""
        if self.quantity.ratio:
            return f"{row.change:.2f}×"
        digits = self.quantity.digits
        return show(row.interval, digits, sign=True) if row.interval else f"{row.change:+.{digits}f}"


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


def compared(quantity: Quantity, sides: tuple[Side, Side], folders: tuple[Path, Path], stats: Bootstrap) -> Section:
    """The section of a quantity."""
    pairs = list(zip(sides, folders, strict=True))
    frames = [side.rows(folder, quantity.file, quantity.schema, quantity.needs) for side, folder in pairs]
    machines = [side.record(folder, "latency.json") for side, folder in pairs] if quantity.ratio else []
    section = filled(Section(quantity, not machines or same_machine(*machines)), frames, stats)
    section.notes.extend([quantity.note] if section.changed and quantity.note else [])
    section.notes.extend(_about(*machines) if machines and not section.alike else [])
    return section


def filled(section: Section, frames: list[pd.DataFrame | None], stats: Bootstrap) -> Section:
    """The section with every row of two frames in it."""
    a, b = (_groups(frame, section) for frame in frames)
    rows, quantity, seeds = [], section.quantity, 0
    for key in a.keys() & b.keys():
        first, second = (side[key].groupby("image")[quantity.value].mean() for side in (a, b))  # seeds averaged
        if reason := _other_images(set(first.index), set(second.index)):
            section.refused.append((key, reason))
            continue
        before, after = (np.asarray(values, np.float64) for values in (first, second))
        change = float(after.mean() / before.mean() if quantity.ratio else (after - before).mean())
        interval = stats.difference(after, before) if len(before) > 1 else None
        rows.append(Row(key, float(before.mean()), float(after.mean()), change, interval))
        seeds += set(a[key]["seed"]) != set(b[key]["seed"])
    rows = list(_to_fp32(rows, section)) if quantity.ratio else rows
    sizes = {row.what: abs(math.log(row.change) if quantity.ratio else row.change) for row in rows}
    section.rows.extend(sorted(rows, key=lambda row: (not row.significant, -sizes[row.what], row.what)))
    only_a, only_b = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
    section.refused.extend(_measured_otherwise(section, only_a, only_b))
    section.only.update({"A": only_a, "B": only_b})
    section.notes.extend([f"{seeds} rows average other seeds in A than in B"] if seeds else [])
    return section


def _groups(frame: pd.DataFrame | None, section: Section) -> dict[Key, pd.DataFrame]:
    """The rows of each key, with an image and a seed each: one where there is one value for all."""
    quantity = section.quantity
    if frame is None:
        return {}
    chosen = frame[frame["metric"] == quantity.metric] if quantity.metric else frame
    if "step" in chosen:  # of a training the last
        chosen = chosen.sort_values("step").drop_duplicates([*quantity.what, "seed"], keep="last")
    if quantity.ratio and (chosen[quantity.value] <= 0).any():
        worst = f"{quantity.value} {chosen[quantity.value].min()}"
        raise QdrError(f"{quantity.file}: {worst} is not a time: run `qdr bench` again")
    filler = {name: 0 for name in ("image", "seed") if name not in chosen}
    size = chosen[quantity.value].abs() if "|" in quantity.name else chosen[quantity.value]  # its sign means nothing
    groups = chosen.assign(**{quantity.value: size}, **filler).groupby(list(section.columns), sort=False)
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
    count = len(section.quantity.what)
    for key in list(only_a):
        for twin in [other for other in only_b if other[:count] == key[:count]][:1]:
            named = zip(section.quantity.how, key[count:], twin[count:], strict=True)
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

"""Latency: ratios, because a time means nothing without its machine.

Each row is stated twice: B / A as measured, and after dividing both by the FP32 latency of the same model, engine, size and
run. The second is the inverse ratio of the two speed-ups, in which a faster machine cancels out (as far as FP32 and INT8
gain from it alike). It is undefined for FP32 itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from qdr.errors import QdrError
from qdr.suite.report.compare.section import Key, Section, ratio, telling
from qdr.suite.report.compare.sides import Side
from qdr.suite.report.load import LATENCY

SETTING = ("threads", "batch", "height", "width")
CASE = ("model", "engine", "precision", *SETTING)
PRECISION = CASE.index("precision")
MACHINE = ("cpu", "capability", "cpu_count", "cpu_flags", "machine", "system")  # of latency.json
OTHER = "different machines: absolute times are not comparable, the ratio to FP32 is"


def speed(a: Side, b: Side, of_a: Path, of_b: Path) -> Iterator[Section]:
    """Median latency of every model, engine, precision and size."""
    needed = *CASE, "median_ms"
    tables = [_medians(side.rows(folder, "latency.csv", LATENCY, *needed)) for side, folder in ((a, of_a), (b, of_b))]
    records = a.record(of_a, "latency.json"), b.record(of_b, "latency.json")
    section = Section("speed", "median latency (ms)", CASE, digits=2, upward=False, absolute=same_machine(*records))
    changes = []
    for key in tables[0].keys() & tables[1].keys():
        first, second = (table[key] for table in tables)
        bases = [table.get(_fp32(key)) for table in tables]
        own = None if key == _fp32(key) or None in bases else (second / bases[1]) / (first / bases[0])  # type: ignore[operator]
        changes.append(ratio(key, first, second, own))
    section.changes.extend(telling(changes))
    section.only.update({"A": sorted(tables[0].keys() - tables[1].keys()), "B": sorted(tables[1].keys() - tables[0].keys())})
    if not section.alike:
        section.notes.extend(machines(*records))
    yield section


def machines(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What the two runs ran on: the machines, and the libraries that differ.

    >>> machines({"cpu": "X", "cpu_count": 2}, {"cpu": "Y", "cpu_count": 2})[0]
    'A: X, 2 cores. B: Y, 2 cores. different machines: absolute times are not comparable, the ratio to FP32 is'
    """
    if same_machine(a, b):
        notes = [f"A and B: {_name(a)}, the same kind of machine"]
    else:
        notes = [f"A: {_name(a)}. B: {_name(b)}. {OTHER}"]
    old, new = (record.get("versions", {}) for record in (a, b))
    differ = [
        f"{name} {old.get(name, '-')} to {new.get(name, '-')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    return [*notes, f"versions: {', '.join(differ)}"] if differ else notes


def same_machine(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two runs were on processors of the same kind; a run that does not say where it was is taken to differ."""
    return bool(a and b) and all(a.get(key) == b.get(key) for key in MACHINE)


def _name(record: dict[str, Any]) -> str:
    if not record:
        return "unknown machine"
    parts = [str(record.get("cpu", "unknown processor")), f"{record.get('cpu_count', '?')} cores"]
    flags = [str(flag) for flag in record.get("cpu_flags", [])]
    return ", ".join([*parts, *([" ".join(flags)] if flags else [])])


def _medians(frame: pd.DataFrame | None) -> dict[Key, float]:
    if frame is None:
        return {}
    if (frame["median_ms"] <= 0).any():
        raise QdrError(f"latency.csv: median_ms {frame['median_ms'].min()} is not a time: run `qdr bench` again")
    return {tuple(str(row[name]) for name in CASE): float(row["median_ms"]) for row in frame.to_dict("records")}


def _fp32(key: Key) -> Key:
    """The FP32 case of the same model, engine and size."""
    return (*key[:PRECISION], "fp32", *key[PRECISION + 1 :])

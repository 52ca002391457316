"""A comparison as Markdown, which the terminal prints as it is, and as JSON. The same two sides give the same bytes."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from qdr.suite.report.compare.rows import Comparison, Key, Row, Section

SHOWN = 10  # rows of a table on the terminal
ALONE = 6  # keys of one side that are named
FOOT = "Brackets: 95 % paired bootstrap interval over images, not corrected for the number of rows; n.s.: it includes zero."
NOTHING = "Nothing changed: the same rows with the same values."


def markdown(comparison: Comparison, shown: int | None = SHOWN) -> str:
    """Per profile and quantity a summary and a table of what changed; at most `shown` rows of each, None for all."""
    lines = ["# What changed in the results", "", f"A: `{comparison.a}`, B: `{comparison.b}`", ""]
    lines += [f"- {note}" for note in comparison.notes] + ([""] if comparison.notes else [])
    if comparison.alike:
        return "\n".join([*lines, NOTHING, ""])
    for profile, sections in comparison.profiles.items():
        changed = [section for section in sections if not section.alike]
        lines += [f"## Profile {profile}" + ("" if changed else ": nothing changed"), ""]
        for section in changed:
            lines += _section(section, shown)
    return "\n".join([*lines, FOOT, ""])


def as_json(comparison: Comparison) -> str:
    """Every compared row, changed or not."""
    record: dict[str, Any] = {"a": comparison.a, "b": comparison.b, "notes": comparison.notes, "profiles": {}}
    for profile, sections in comparison.profiles.items():
        record["profiles"][profile] = [_record(section) for section in sections]
    return json.dumps(record, indent=1) + "\n"


def _section(section: Section, shown: int | None) -> list[str]:
    """What all rows have in common goes to the title, the rest names a row."""
    keys = [row.what for row in section.rows] + [key for keys in section.only.values() for key in keys]
    keys += [key for key, _ in section.refused]
    places = range(len(section.columns))
    shared = [place for place in places if len({key[place] for key in keys}) == 1] if len(keys) > 1 else []

    def name(key: Key) -> str:
        return " ".join(key[place] for place in places if place not in shared)

    def listed(keys: list[Key]) -> str:
        return ", ".join(map(name, keys[:ALONE])) + (f" and {len(keys) - ALONE} more" if len(keys) > ALONE else "")

    title = ", ".join([f"{section.kind}: {section.name}", *(f"{section.columns[i]} {keys[0][i]}" for i in shared)])
    lines = [f"### {title}", "", _summary(section), ""]
    if section.changed:
        header = [name(section.columns), "A", "B", *(["B / A", "to FP32"] if section.ratio else ["B - A"])]
        lines += [*_table([header, *([name(row.what), *_cells(section, row)] for row in section.changed[:shown])]), ""]
    left = len(section.changed) - len(section.changed[:shown])
    remarks = [f"and {left} more rows with smaller changes (all of them: --json, --markdown FILE)"] if left else []
    remarks += [f"only in {side}: {listed(keys)}" for side, keys in sorted(section.only.items()) if keys]
    for reason, refused in groupby(sorted(section.refused, key=lambda pair: pair[::-1]), key=lambda pair: pair[1]):
        remarks.append(f"not compared, {reason}: {listed([key for key, _ in refused])}")
    return [*lines, *(f"- {line}" for line in [*remarks, *section.notes]), *([""] if remarks or section.notes else [])]


def _summary(section: Section) -> str:
    changed = section.changed
    words = [f"{len(section.rows)} compared", f"{len(section.rows) - len(changed)} equal"]
    judged = [section.better(row) for row in changed if row.interval is not None]
    if judged:
        words += [f"{judged.count(True)} significantly better", f"{judged.count(False)} significantly worse"]
        words.append(f"{judged.count(None)} n.s.")
    if len(changed) > len(judged):
        words.append(f"{len(changed) - len(judged)} changed")
    return ", ".join(words)


def _cells(section: Section, row: Row) -> list[str]:
    verdict = {True: " better", False: " worse", None: " n.s." if row.interval else ""}[section.better(row)]
    ratio = ["—" if row.to_fp32 is None else f"{row.to_fp32:.2f}×"] if section.ratio else []
    values = (f"{value:.{section.digits}f}" for value in (row.before, row.after))
    return [*values, section.text(row) + verdict, *ratio]


def _table(rows: list[list[str]]) -> list[str]:
    """A pipe table whose columns are as wide as their widest cell: names on the left, the rest on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (max(width, 2) - 1) + ":" for width in widths[1:])]
    sides = ["<", *">" * (len(widths) - 1)]
    padded = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]]]


def _record(section: Section) -> dict[str, Any]:
    def named(key: Key) -> dict[str, Any]:
        return dict(zip(section.columns, key, strict=True))

    rows: list[dict[str, Any]] = []
    for row in section.rows:
        found = named(row.what) | {"a": row.before, "b": row.after}
        found["ratio" if section.ratio else "difference"] = row.change
        if row.interval is not None:
            found |= {"low": row.interval.low, "high": row.interval.high, "significant": row.significant}
        rows.append(found | ({"ratio_to_fp32": row.to_fp32} if section.ratio else {}))
    return {
        "kind": section.kind,
        "quantity": section.name,
        "rows": rows,
        "only": {side: [named(key) for key in keys] for side, keys in sorted(section.only.items())},
        "not_compared": [named(key) | {"reason": reason} for key, reason in section.refused],
        "notes": section.notes,
    }

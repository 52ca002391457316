"""A comparison as text: on the terminal, as Markdown for a pull request, as JSON, as a page.

All four say the same; the first two leave out the tail of a long table and say so. The same two sides give the same bytes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from qdr.suite.report.compare.section import Change, Comparison, Key, Section
from qdr.suite.report.tables.quality import show
from qdr.suite.report.tables.table import Table

SHOWN = 10  # rows of a table on the terminal and in Markdown
ALONE = 6  # keys of one side that are named
STYLES = {True: "green", False: "red", None: ""}
FOOT = "Brackets: 95 % paired bootstrap interval over images, not corrected for the number of rows; n.s.: it includes zero."
NOTHING = "Nothing changed: the same rows with the same values."


@dataclass(frozen=True)
class Part:
    """What is said of a section: a summary line, a table of the changed rows (`names` and `cells`), and remarks."""

    title: str
    summary: str
    header: list[str]
    names: list[str]
    cells: list[list[str]]
    verdicts: list[bool | None]
    remarks: list[str]

    def rows(self) -> list[list[str]]:
        """A row per change, its name in one cell."""
        return [[name, *cells] for name, cells in zip(self.names, self.cells, strict=True)]


def part(section: Section) -> Part:
    """The words of a section: what all its rows have in common goes to the title, the rest names a row."""
    everything = [change.key for change in section.changes] + [key for keys in section.only.values() for key in keys]
    everything += [key for key, _ in section.refused]
    shared = [place for place in range(len(section.columns)) if len({key[place] for key in everything}) == 1]
    shared = shared if len(everything) > 1 else []

    def name(key: Key) -> str:
        return " ".join(text for place, text in enumerate(key) if place not in shared)

    remarks = [f"only in {side}: {_listed(list(map(name, keys)))}" for side, keys in sorted(section.only.items()) if keys]
    for reason, refused in groupby(sorted(section.refused, key=lambda pair: (pair[1], pair[0])), key=lambda pair: pair[1]):
        remarks.append(f"not compared, {reason}: {_listed([name(key) for key, _ in refused])}")
    title = ", ".join([f"{section.kind}: {section.quantity}", *(f"{section.columns[i]} {everything[0][i]}" for i in shared)])
    last = ["B / A", "to FP32"] if section.kind == "speed" else ["B - A"]
    return Part(
        title,
        _summary(section),
        [" ".join(column for place, column in enumerate(section.columns) if place not in shared), "A", "B", *last],
        [name(change.key) for change in section.changed],
        [_cells(section, change) for change in section.changed],
        [section.better(change) for change in section.changed],
        remarks + section.notes,
    )


def parts(comparison: Comparison) -> Iterator[tuple[str, list[Part]]]:
    """Per profile the sections in which something differs."""
    for profile, sections in comparison.profiles.items():
        yield profile, [part(section) for section in sections if not section.alike]


def terminal(comparison: Comparison, console: Console) -> None:
    """Print tables; colours say better and worse where a change is significant."""
    console.print(Text.assemble("A: ", (comparison.a, "bold"), "   B: ", (comparison.b, "bold")))
    for note in comparison.notes:
        console.print(Text(note))
    if comparison.alike:
        console.print(NOTHING)
        return
    for profile, found in parts(comparison):
        console.print(Text(f"\nprofile {profile}" + ("" if found else ": nothing changed"), "bold"))
        for item in found:
            console.print(Text(f"\n{item.title}\n  {item.summary}"))
            table = RichTable(box=SIMPLE, padding=(0, 1), pad_edge=False)
            for place, name in enumerate(item.header):
                table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
            for row, better in list(zip(item.rows(), item.verdicts, strict=True))[:SHOWN]:
                table.add_row(*map(Text, row), style=STYLES[better])
            if item.names:
                console.print(table)
            for line in [*_tail(item), *item.remarks]:
                console.print(Text(f"  {line}"))
    console.print(Text(f"\n{FOOT}"))


def markdown(comparison: Comparison) -> str:
    """A summary for a pull request: a line per section, its table folded away."""
    lines = ["## What changed in the results", "", f"A: `{comparison.a}`, B: `{comparison.b}`.", ""]
    lines += [f"- {note}" for note in comparison.notes] + ([""] if comparison.notes else [])
    if comparison.alike:
        return "\n".join([*lines, NOTHING, ""])
    for profile, found in parts(comparison):
        lines += [f"### Profile {profile}", ""] + ([] if found else ["Nothing changed.", ""])
        for item in found:
            lines += ["<details>", f"<summary>{html.escape(item.title)}: {html.escape(item.summary)}</summary>", ""]
            if item.names:
                lines += [*Table("", "", item.header, item.rows()[:SHOWN]).markdown().splitlines()[2:], ""]
            lines += [f"- {line}" for line in [*_tail(item), *item.remarks]]
            lines += ["", "</details>", ""]
    return "\n".join([*lines, FOOT, ""])


def page(comparison: Comparison) -> str:
    """One HTML file that needs no other, with every changed row."""
    say = html.escape
    body = [f"<p>A: <code>{say(comparison.a)}</code>, B: <code>{say(comparison.b)}</code></p>"]
    body += [f"<p>{say(note)}</p>" for note in comparison.notes] + ([f"<p>{NOTHING}</p>"] if comparison.alike else [])
    for profile, found in () if comparison.alike else parts(comparison):
        body.append(f"<h2>Profile {say(profile)}</h2>" + ("" if found else "<p>Nothing changed.</p>"))
        for item in found:
            body.append(f"<h3>{say(item.title)}</h3><p>{say(item.summary)}</p>")
            if item.names:
                body.append("<table><thead>" + _row("th", item.header) + "</thead><tbody>")
                classes = {True: ' class="better"', False: ' class="worse"', None: ""}
                body += [_row("td", row, classes[better]) for row, better in zip(item.rows(), item.verdicts, strict=True)]
                body.append("</tbody></table>")
            body += ["<ul>", *(f"<li>{say(line)}</li>" for line in item.remarks), "</ul>"] if item.remarks else []
    return PAGE.replace("{foot}", FOOT).replace("{body}", "\n".join(body))


def as_json(comparison: Comparison) -> str:
    """Every compared row, changed or not."""
    record: dict[str, Any] = {"a": comparison.a, "b": comparison.b, "notes": comparison.notes, "profiles": {}}
    for profile, sections in comparison.profiles.items():
        record["profiles"][profile] = [_record(section) for section in sections]
    return json.dumps(record, indent=1) + "\n"


def _record(section: Section) -> dict[str, Any]:
    def named(key: Key) -> dict[str, str]:
        return dict(zip(section.columns, key, strict=True))

    rows: list[dict[str, Any]] = []
    for change in section.changes:
        row: dict[str, Any] = named(change.key) | {"a": change.a, "b": change.b}
        row["ratio" if change.relative else "difference"] = change.size
        if change.interval is not None:
            row |= {"low": change.interval.low, "high": change.interval.high, "significant": change.significant}
        if change.relative:
            row["ratio_to_fp32"] = change.normalised
        rows.append(row)
    return {
        "kind": section.kind,
        "quantity": section.quantity,
        "rows": rows,
        "only": {side: [named(key) for key in keys] for side, keys in sorted(section.only.items())},
        "not_compared": [named(key) | {"reason": reason} for key, reason in section.refused],
        "notes": section.notes,
    }


def _summary(section: Section) -> str:
    changed = section.changed
    words = [f"{len(section.changes)} compared", f"{len(section.changes) - len(changed)} equal"]
    judged = [change for change in changed if change.interval is not None]
    if judged:
        good = sum(section.better(change) is True for change in judged)
        bad = sum(section.better(change) is False for change in judged)
        words += [f"{good} significantly better", f"{bad} significantly worse", f"{len(judged) - good - bad} n.s."]
    if len(changed) > len(judged):
        words.append(f"{len(changed) - len(judged)} changed")
    return ", ".join(words)


def _cells(section: Section, change: Change) -> list[str]:
    values = [f"{value:.{section.digits}f}" for value in (change.a, change.b)]
    if change.relative:
        return [*values, f"{change.size:.2f}×", "—" if change.normalised is None else f"{change.normalised:.2f}×"]
    if change.interval is None:
        return [*values, f"{change.size:+.{section.digits}f}"]
    return [*values, show(change.interval, section.digits, sign=True) + ("" if change.significant else " n.s.")]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - ALONE} more" if len(names) > ALONE else ""
    return ", ".join(names[:ALONE]) + more


def _tail(item: Part) -> list[str]:
    left = len(item.names) - SHOWN
    return [f"and {left} more rows with smaller changes (all of them: --json or --html)"] if left > 0 else []


def _row(tag: str, cells: list[str], attributes: str = "") -> str:
    return f"<tr{attributes}>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>qdr compare</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.6rem; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap; }
.better { background: #2a9d4a2e; } .worse { background: #d0342c2e; }
</style></head><body>
<h1>What changed in the results</h1>
{body}
<p>{foot} Shaded: significant, green better, red worse.</p>
</body></html>
"""

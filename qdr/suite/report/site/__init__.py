"""The report as one web page that needs nothing else: figures, photographs, tables, style and script are inside the file.

It is drawn from nothing but results/<profile>/, by the functions that make figures/ and paper_tables/; the same files give
the same bytes. What the results do not have is named in the last section. Every text goes through Jinja's escaping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from qdr.files import replacing
from qdr.images.pairs import read_image
from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.rows import read_json
from qdr.suite.report.figures import drawn
from qdr.suite.report.figures.pictures import photographs, picture_label
from qdr.suite.report.quality import PHOTOS, TASK_LABELS
from qdr.suite.report.results import Results, set_name
from qdr.suite.report.site.claims import claims
from qdr.suite.report.site.page import SECTIONS
from qdr.suite.report.style import data_uri, embedded
from qdr.suite.report.tables.table import Bold, Table

ASSETS = Path(__file__).parent / "assets"
NUMBER = re.compile(r"[+\-−±]?\d")
PAPER = "https://arxiv.org/abs/2603.09624"
REM_PER_INCH = 6.3  # figures are shown a little larger than they are printed
RECORDS = {"Quality": "provenance.json", "Speed": "latency.json"}
KEYS = {"git_revision": "revision", "cpu": "processor", "threads": "threads", "seeds": "seeds", "system": "system"}


@dataclass(frozen=True)
class Picture:
    """A figure of the paper, and how wide it is shown at most (rem)."""

    name: str
    caption: str
    uri: str
    width: float


@dataclass(frozen=True)
class Shot:
    """A photograph in every version, as (name, label, note, data URI), and its size on the page in pixels."""

    task: str
    title: str
    versions: list[tuple[str, str, str, str]]
    size: tuple[int, int]


def write_site(given: Results, output: Path) -> None:
    """Write the page of a profile, <output>/index.html; the folder is replaced as a whole.

    Raises:
        QdrError: where a file of results/ does not fit its schema.
    """
    absent: list[str] = []
    sections = []
    for section in SECTIONS:
        figures = [figure for name in section.figures if (figure := _figure(name, given))]
        made = [(entry, entry.make(given)) for entry in section.tables]
        absent += [f"{entry.title} ({', '.join(entry.files)})" for entry, table in made if table is None]
        tables = [(entry, table) for entry, table in made if table is not None]
        if figures or tables:
            sections.append((section, figures, tables))
    shots = [shot for task in TASK_LABELS if (shot := _shot(given, task))]
    text = (
        _environment()
        .get_template("page.html")
        .render(
            profile=given.config.profile,
            paper=PAPER,
            claims=claims(given),
            headline=_figure("recovery", given),
            shots=shots,
            free=all(set(given.quality.real(shot.task)) <= {PHOTOS} for shot in shots),
            sections=sections,
            absent=absent,
            records=[(title, _record(given.folder / name)) for title, name in RECORDS.items() if given.has(name)],
            style=(ASSETS / "site.css").read_text(encoding="utf-8"),
            script=(ASSETS / "site.js").read_text(encoding="utf-8"),
        )
    )
    with replacing(output) as folder:
        folder.mkdir()
        (folder / "index.html").write_text(text, encoding="utf-8")


def _figure(name: str, given: Results) -> Picture | None:
    """A figure as figures/ has it, or None where results lack what it shows."""
    drawing = drawn(name, given)
    if drawing is None:
        return None
    width = round(REM_PER_INCH * drawing.figure.get_figwidth(), 1)
    return Picture(name, drawing.caption, data_uri(drawing), width)


def _shot(given: Results, task: str) -> Shot | None:
    """The versions of a task's photograph, shown at twice their size where that is not wider than a phone."""
    found = photographs(given, task)
    if not found:
        return None
    target = read_image(found["target"])
    versions = []
    for name, path in found.items():
        note = "" if name == "target" else f"{psnr(read_image(path), target, protocol(PROTOCOL)):.2f} dB"
        label = "Input" if name == "input" else picture_label(name)
        versions.append((name, label, note, embedded(path.read_bytes(), "image/png")))
    height, width = target.shape[:2]
    times = 2 if width <= 170 else 1
    return Shot(task, set_name(task, (given.quality.real(task) or [PHOTOS])[0]), versions, (times * width, times * height))


def _record(path: Path) -> list[tuple[str, str]]:
    """Who measured: revision, processor, threads, seeds, and the versions of libraries."""
    record = read_json(path)
    lines = [(name, str(record[key]).strip("[]")) for key, name in KEYS.items() if record.get(key) not in (None, [], "")]
    versions = ", ".join(f"{name} {number}" for name, number in sorted(record.get("versions", {}).items()))
    return lines + ([("versions", versions)] if versions else [])


def _environment() -> Environment:
    loader = PackageLoader("qdr.suite.report.site")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"numeric": numeric, "groups": groups}
    found.tests["bold"] = lambda cell: isinstance(cell, Bold)
    return found


def numeric(table: Table) -> list[bool]:
    """Per column whether its cells are numbers (or a dash), which are set to the right."""
    rows = [row for row in table.rows if row]
    return [
        all(cell == "—" or NUMBER.match(cell) for cell in column) and any(cell != "—" for cell in column)
        for column in zip(*rows, strict=True)
    ]


def groups(table: Table) -> list[list[list[str]]]:
    """The rows between two rules of a table.

    >>> groups(Table("t", "", ["a"], [["1"], [], ["2"], ["3"]]))
    [[['1']], [['2'], ['3']]]
    """
    return [list(rows) for filled, rows in groupby(table.rows, key=bool) if filled]

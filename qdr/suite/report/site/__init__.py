"""The report as a folder of web pages: open index.html, from the file system, without a network.

    index.html       everything, one page; data of the charts inside
    site.css, .js    its look, and what tables, pictures, charts and the theme do
    plotly.min.js    Plotly (MIT), as the Python package of the same name ships it
    samples/         the photographs of results/<profile>/samples

It is drawn from results/<profile>/ alone, with the functions that make paper_tables/; the same files give the same bytes.
A part whose data is missing is left out, and a line says which command makes it. Every text goes through Jinja's
escaping; data for charts through its `tojson`, which no text can leave.
"""

from __future__ import annotations

import re
import shutil
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from qdr.files import replacing
from qdr.suite.config import Config
from qdr.suite.report.site.catalogue import SECTIONS, Section
from qdr.suite.report.site.parts import Chart, Gallery, Given, Made, make
from qdr.suite.report.site.sources import MADE_BY, measure, record, stages
from qdr.suite.report.tables.table import Bold, Table

ASSETS = Path(__file__).parent / "assets"
NUMBER = re.compile(r"[+\-−±]?\d")
PAPER = "https://arxiv.org/abs/2603.09624"


def write_site(config: Config, results: Path, output: Path) -> None:
    """Write the page of a profile and what stands beside it; the folder is replaced as a whole.

    Raises:
        QdrError: where a file of results/ does not fit its schema.
    """
    given = Given(config, results)
    made = [(section, [found for piece in section.pieces if (found := make(piece, given))]) for section in SECTIONS]
    page = _environment().get_template("index.html")
    text = page.render(
        config=config, given=given, sections=made, command=MADE_BY.get(config.profile, "dvc repro"), paper=PAPER
    )
    with replacing(output) as folder:
        folder.mkdir()
        (folder / "index.html").write_text(text, encoding="utf-8")
        (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
        for path in sorted(ASSETS.iterdir()):
            shutil.copyfile(path, folder / path.name)
        for name in _pictures(made):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(results / name, folder / name)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("qdr.suite.report.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"measure": measure, "stages": stages, "record": record, "numeric": numeric, "groups": groups}
    found.tests |= {
        "table": lambda content: isinstance(content, Table),
        "chart": lambda content: isinstance(content, Chart),
        "gallery": lambda content: isinstance(content, Gallery),
        "bold": lambda cell: isinstance(cell, Bold),
    }
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


def _pictures(made: list[tuple[Section, list[Made]]]) -> list[str]:
    galleries = [found.content for _, pieces in made for found in pieces if isinstance(found.content, Gallery)]
    return [picture.file for content in galleries for shot in content.shots for picture in shot.pictures]

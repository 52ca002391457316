from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qdr.rows import read_json, read_rows, write_json, write_rows
from qdr.suite import config, paths
from qdr.suite.report import tables
from qdr.suite.report.site import numeric, write_site
from qdr.suite.report.site.catalogue import SECTIONS
from qdr.suite.report.site.charts.front import best, front
from qdr.suite.report.site.claims import claims
from qdr.suite.report.site.parts import Given
from qdr.suite.report.site.sources import STAGES
from qdr.suite.report.tables.table import Table

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "</script><script>alert('1')</script>\"'><img src=x onerror=alert(2)>&amp;"


class Page(HTMLParser):
    """What a browser would read: tags with their attributes, and the text within scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.data: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        last = self.tags[-1] if self.tags else ("", {})
        if last[0] == "script" and last[1].get("type") == "application/json":
            self.data += [data] if data.strip().startswith("{") else []

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


@pytest.fixture
def site(results: Path, settings: config.Config, tmp_path: Path) -> Path:
    write_site(settings, results, tmp_path / "site")
    return tmp_path / "site"


def test_the_same_results_give_the_same_bytes(site: Path, results: Path, project: Path) -> None:
    shutil.copytree(results, paths.results("smoke"))
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "qdr.cli", "report", "site"]
    said = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True).stdout
    again = project / "work" / "site" / "smoke"
    assert said == f"open {again / 'index.html'}\n"
    names = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        assert (site / name).read_bytes() == (again / name).read_bytes(), name


def test_it_needs_nothing_but_its_own_folder(site: Path) -> None:
    page = Page(site / "index.html")
    loaded = [attributes[key] for _, attributes in page.tags for key in ("src",) if key in attributes]
    loaded += [attributes["href"] for tag, attributes in page.tags if tag == "link"]
    loaded += [attributes["value"] for tag, attributes in page.tags if tag == "option"]
    assert {"plotly.min.js", "site.js", "site.css", "samples/derain/qdr.png"} <= set(loaded)
    for name in set(loaded) - {"data:,"}:
        assert (site / name).is_file(), name
    assert "url(" not in (site / "site.css").read_text()
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {link for link in links if not link.startswith("#")} == {"https://arxiv.org/abs/2603.09624"}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(page.ids())
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 15e6


def test_every_table_of_the_paper_is_on_the_page(site: Path, results: Path, settings: config.Config, tmp_path: Path) -> None:
    tables.write_quality(settings, results, tmp_path / "paper")
    tables.write_speed(settings, results, tmp_path / "paper")
    names = {path.stem for path in (tmp_path / "paper").glob("*/*.csv")}
    filled = {name for name in names if len((next((tmp_path / "paper").glob(f"*/{name}.csv"))).read_text().splitlines()) > 1}
    page = Page(site / "index.html")
    assert filled <= {name.removesuffix("-table") for name in page.ids()}
    assert len(filled) > 12
    assert re.findall(r"has no (.*?),", page.source) == ["packaged.csv", *["graph.csv"] * 2]  # what these results lack
    assert len(page.ids()) == len(set(page.ids()))
    for cell in read_rows(tmp_path / "paper" / "quality" / "main.csv")[-1].values():
        assert f">{cell}</" in page.source


def test_a_part_without_data_says_which_command_makes_it(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for name in ("census.csv", "latency.csv", "detection.csv", "kernels.csv", "machine.json", "features.csv"):
        (results / name).unlink()
    for name in ("samples", "gates"):
        shutil.rmtree(results / name)
    write_site(settings, results, tmp_path / "poor")
    source = Page(tmp_path / "poor" / "index.html").source
    assert "has no census.csv, which the stage bench writes:" in source
    assert "<code>qdr profile smoke &amp;&amp; dvc repro</code>" in source
    assert "This profile measured no detector" in source
    assert 'id="main-table"' in source
    assert not (tmp_path / "poor" / "samples").exists()


def test_what_a_file_says_stays_text(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for name, column in (("census.csv", "kind"), ("sensitivity.csv", "layer"), ("roofline.csv", "layer")):
        rows = read_rows(results / name)
        write_rows(results / name, [row | {column: row[column] + HOSTILE} for row in rows])
    write_json(results / "latency.json", {"cpu": HOSTILE, "git_revision": HOSTILE, "versions": {"torch": HOSTILE}})
    write_site(settings, results, tmp_path / "site")
    page = Page(tmp_path / "site" / "index.html")
    assert "alert" in page.source
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes or attributes.get("src") == "x"]
    assert [attributes for tag, attributes in page.tags if tag == "script" and not attributes] == []
    figures = [json.loads(text) for text in page.data]
    bars = next(figure["data"][0]["x"] for figure in figures if figure["data"][0]["type"] == "bar")
    assert bars[0].startswith("stem&lt;/script&gt;&lt;script&gt;")  # Plotly reads tags of its own


def test_the_claims_stand_beside_what_was_measured_and_what_is_predicted(results: Path, settings: config.Config) -> None:
    kept, speed, detection = claims(Given(settings, results))
    assert [claim.said for claim in (kept, speed, detection)] == ["96.5 %", "442 FPS", "+16.3 mAP"]
    frame = Given(settings, results).quality
    share = {row[0]: row for row in kept.findings[0].rows}["Rain"]
    means = {
        s.method: frame.values("derain", "photos", "psnr", s).mean() for s in frame.settings("derain", ("FP32", "W8A8"))
    }
    assert share[1] == f"{100 * means['qdr'] / means['fp32']:.1f} %"
    low, high = map(float, share[2].split(" to "))
    assert low <= float(share[1].rstrip(" %")) <= high
    assert [(part.title, part.measured) for part in speed.findings] == [
        ("a CPU, 2 threads", True),
        ("AGX Orin 64GB, MAXN", False),
        ("Orin Nano 8GB, MAXN_SUPER", False),
    ]
    assert "Nothing here ran on a Jetson" in speed.remark
    assert detection.findings[0].rows[0] == ("Low light", "+29.7", "+26.7 to +34.7")
    assert detection.findings[0].measured


def test_what_a_jetson_measured_is_called_measured(results: Path, settings: config.Config) -> None:
    device = {"model": "a Jetson", "power_mode": "MAXN", "tensorrt": "10.3", "l4t": "36.4"}
    row = {"precision": "int8", "task": "derain", "width": 256, "height": 256, "fps": 500.0, "benchmarked": True}
    row |= {"engine_ms": {"median": 2.0, "p90": 2.5, "p99": 3.0}, "end_to_end_ms": {"median": 3.0, "p90": 3.5, "p99": 4.0}}
    row |= {"accuracy": {"max_level": 1, "mean_level": 0.1, "psnr_db": 60.0}, "power_w": None, "hottest_c": None}
    record = read_json(results / "jetson.json") | {"imported": [{"device": device, "rows": [row]}]}
    write_json(results / "jetson.json", record)
    speed = claims(Given(settings, results))[1]
    assert (speed.findings[0].title, speed.findings[0].measured) == ("a Jetson, MAXN, TensorRT 10.3", True)
    assert speed.findings[0].rows == [("derain 256x256", "500 FPS", "p90 2.50 ms")]
    assert "Nothing here ran on a Jetson" not in speed.remark


def test_the_front_is_what_nothing_else_beats(results: Path, settings: config.Config) -> None:
    points = [(1.0, 5.0, None, ""), (2.0, 4.0, None, ""), (3.0, 6.0, None, ""), (1.0, 4.5, None, "")]
    assert [point[:2] for point in best(points)] == [(1.0, 5.0), (3.0, 6.0)]  # type: ignore[arg-type]
    chart = front(Given(settings, results))
    assert chart is not None
    assert [panel.title for panel in chart.panels] == ["Low light", "Rain"]
    line = chart.panels[1].figure["data"][0]
    assert line["x"][0] == 4.0  # INT8's latency at the first side


def test_every_file_a_piece_reads_has_a_stage() -> None:
    pieces = [piece for section in SECTIONS for piece in section.pieces]
    assert {name for piece in pieces for name in (*piece.files, *piece.also)} <= set(STAGES)
    text = (ROOT / "dvc.yaml").read_text()
    for name, stage in STAGES.items():
        block = text.split(f"\n  {stage}:")[1].split("\n\n")[0]
        assert f"/{name}" in block, f"{stage} does not write {name}"
    block = text.split("\n  site:")[1]
    read = {name for piece in pieces for name in (*piece.files, *piece.also)}
    assert all(f"/{name}" in block for name in read)


def test_numbers_are_set_to_the_right() -> None:
    rows = [["a", "+0.1 [-0.2, +0.3]", "—", "—"], [], ["2", "−1", "1.5×", "—"]]
    assert numeric(Table("t", "", ["A", "B", "C", "D"], rows)) == [False, True, True, False]

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qdr.rows import read_json, read_rows, write_json, write_rows
from qdr.suite import config, paths
from qdr.suite.report import tables
from qdr.suite.report.results import Results
from qdr.suite.report.site import numeric, write_site
from qdr.suite.report.site.claims import claims
from qdr.suite.report.site.page import SECTIONS
from qdr.suite.report.tables.table import Table

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "</script><script>alert('1')</script>\"'><img src=x onerror=alert(2)>&amp;"


class Page(HTMLParser):
    """What a browser would read: tags with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(site: Path, results: Path, project: Path) -> None:
    shutil.copytree(results, paths.results("smoke"))
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "qdr.cli", "report", "site"]
    said = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True).stdout
    again = project / "work" / "site" / "smoke" / "index.html"
    assert said == f"open {again}\n"
    assert site.read_bytes() == again.read_bytes()


def test_it_is_one_file_that_needs_no_other(site: Path) -> None:
    page = Page(site)
    assert [path.name for path in site.parent.iterdir()] == ["index.html"]
    loaded = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    loaded += [attributes["href"] for tag, attributes in page.tags if tag == "link"]
    assert len(loaded) > 20
    assert {text.partition(",")[0] for text in loaded} <= {"data:", "data:image/png;base64", "data:image/svg+xml;base64"}
    assert "url(" not in page.source
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {link for link in links if not link.startswith("#")} == {"https://arxiv.org/abs/2603.09624"}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(page.ids())


def test_every_table_of_the_paper_is_on_the_page(site: Path, results: Path, settings: config.Config, tmp_path: Path) -> None:
    tables.write_quality(Results(settings, results), tmp_path / "paper")
    tables.write_speed(Results(settings, results), tmp_path / "paper")
    files = {path.stem: path for path in (tmp_path / "paper").glob("*/*.csv")}
    filled = {name for name, path in files.items() if len(path.read_text().splitlines()) > 1}
    page = Page(site)
    filled.remove("latency-short")  # three rows of `latency`, for the README
    assert filled <= {name.removesuffix("-table") for name in page.ids()}
    assert len(filled) > 12
    assert len(page.ids()) == len(set(page.ids()))
    for cell in read_rows(tmp_path / "paper" / "quality" / "main.csv")[-1].values():
        assert f">{cell}</" in page.source


def test_what_is_missing_is_named_and_nothing_is_empty(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for name in ("census.csv", "latency.csv", "detection.csv", "kernels.csv", "machine.json"):
        (results / name).unlink()
    for name in ("samples", "gates"):
        shutil.rmtree(results / name)
    write_site(Results(settings, results), tmp_path / "poor")
    page = Page(tmp_path / "poor" / "index.html")
    assert "Layers by precision (census.csv)" in page.source.partition("Not in these results")[2]
    assert "no detector in this profile" in page.source
    assert {"main-table", "figure-recovery"} <= set(page.ids())
    assert not {"pictures", "part-detection", "figure-ldg-gates"} & set(page.ids())


def test_what_a_file_says_stays_text(results: Path, settings: config.Config, tmp_path: Path) -> None:
    for name, column in (("census.csv", "kind"), ("sensitivity.csv", "layer"), ("roofline.csv", "layer")):
        rows = read_rows(results / name)
        write_rows(results / name, [row | {column: row[column] + HOSTILE} for row in rows])
    write_json(results / "latency.json", {"cpu": HOSTILE, "git_revision": HOSTILE, "versions": {"torch": HOSTILE}})
    write_site(Results(settings, results), tmp_path / "site")
    page = Page(tmp_path / "site" / "index.html")
    assert "alert" in page.source
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes or attributes.get("src") == "x"]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1


def test_the_verdict_follows_from_the_intervals(results: Path, settings: config.Config) -> None:
    kept, distilled, speed, detection = claims(Results(settings, results))
    quality = Results(settings, results).quality
    shares = []
    for task in ("lowlight", "derain"):
        means = {
            s.method: quality.values(task, "photos", "psnr", s).mean() for s in quality.settings(task, ("FP32", "W8A8"))
        }
        shares.append(100 * (means["qdr"] - means["input"]) / (means["fp32"] - means["input"]))
    assert f"QDR {min(shares):.1f} to {max(shares):.1f} %" in kept.here
    assert (kept.verdict, kept.basis) == ("holds", "5 images per set, 1 to 2 seeds per model")
    assert distilled.verdict == "holds"  # the made-up results are 0.1 dB ahead, on both sets
    assert "Significantly better on 2, worse on 0 of 2 sets" in distilled.here
    assert speed.verdict == "not measured"
    assert "no Jetson was at hand" in speed.here
    assert "on the processor here 250 at 64x64, 2.5 times FP32" in speed.here
    assert detection.verdict == "gains in 2 of 2 cases"
    assert detection.basis == "40 images, first seed"


def test_what_a_jetson_measured_is_called_measured(results: Path, settings: config.Config) -> None:
    device = {"model": "a Jetson", "power_mode": "MAXN", "tensorrt": "10.3", "l4t": "36.4"}
    row = {"precision": "int8", "task": "derain", "width": 256, "height": 256, "fps": 500.0, "benchmarked": True}
    row |= {"engine_ms": {"median": 2.0, "p90": 2.5, "p99": 3.0}, "end_to_end_ms": {"median": 3.0, "p90": 3.5, "p99": 4.0}}
    row |= {"accuracy": {"max_level": 1, "mean_level": 0.1, "psnr_db": 60.0}, "power_w": None, "hottest_c": None}
    record = read_json(results / "jetson.json") | {"imported": [{"device": device, "rows": [row]}]}
    write_json(results / "jetson.json", record)
    speed = claims(Results(settings, results))[2]
    assert speed.verdict == "measured"
    assert speed.here.startswith("500 at 256x256 on a Jetson, MAXN, TensorRT 10.3")
    assert "predicted" not in speed.here


def test_the_stage_depends_on_every_file_that_is_read() -> None:
    block = (ROOT / "dvc.yaml").read_text().split("\n  report:")[1]
    read = {name for section in SECTIONS for entry in section.tables for name in entry.files}
    assert all(f"/{name}" in block for name in read | {"samples", "gates", "detection", "training.csv", "features.csv"})


def test_numbers_are_set_to_the_right() -> None:
    rows = [["a", "+0.1 [-0.2, +0.3]", "—", "—"], [], ["2", "−1", "1.5×", "—"]]
    assert numeric(Table("t", "", ["A", "B", "C", "D"], rows)) == [False, True, True, False]

"""The committed tables and figures are those of the committed results, and `qdr report verify` sees where they are not."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from qdr.cli import main
from qdr.suite import config
from qdr.suite.report import figures, metrics, tables, texts, verify
from qdr.suite.report.results import Results

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("smoke/quality/summary", "smoke/speed/latency")
PROFILES = sorted(path.name for path in (ROOT / "results").iterdir() if path.is_dir())
MEASURED = [name for name in PROFILES if (ROOT / "results" / name / "quality.csv").is_file()]


@pytest.mark.parametrize("profile", MEASURED)
def test_committed_tables_come_from_results_alone(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert verify.stale_tables(profile) == []


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_committed_figures_come_from_results_alone(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if other := verify.other_versions(profile):
        pytest.skip(f"drawn with {other}")
    assert verify.stale_figures(profile) == []


@pytest.fixture
def paper(settings: config.Config, results: Path, project: Path) -> Path:
    """A project whose paper is up to date: profile smoke, made-up results."""
    shutil.move(results, project / "smoke")
    shutil.move(project / "smoke", project / "results" / "smoke")
    results = project / "results" / "smoke"
    versions = {name: version(name) for name in verify.DRAWN_WITH}
    (results / "provenance.json").write_text(json.dumps({"versions": versions}))
    tables.write_quality(Results(settings, results), project / "paper_tables" / "smoke")
    tables.write_speed(Results(settings, results), project / "paper_tables" / "smoke")
    metrics.write_quality(results, results)
    metrics.write_speed(results, results)
    shown = {name: (project / "paper_tables" / f"{name}.md").read_text() for name in SHOWN}
    blocks = [f"<!-- table {name} -->\n\n{text}\n<!-- /table -->\n" for name, text in shown.items()]
    (project / "README.md").write_text("# A paper\n\n" + "\n".join(blocks) + "\nIt is good.\n")
    return project


@pytest.fixture
def drawn(paper: Path, settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with figures, which here are copies of the rows (real ones take seconds: the slow test above)."""

    def draw(results: Results, output: Path) -> None:
        (output / "quality").mkdir(parents=True, exist_ok=True)
        shutil.copy(results.folder / "quality.csv", output / "quality" / "recovery.png")

    monkeypatch.setattr(figures, "write_quality", draw)
    monkeypatch.setattr(figures, "write_speed", draw)
    figures.write_quality(Results(settings, paper / "results" / "smoke"), paper / "figures" / "smoke")
    return paper


def test_a_paper_that_is_up_to_date(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "verify"]) == 0
    assert capsys.readouterr().out == "smoke: what was compared is what results/ gives\n"


def test_a_stale_figure_and_the_error(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (drawn / "figures" / "smoke" / "quality" / "recovery.png").write_bytes(b"another picture")
    assert main(["report", "verify", "--profile", "smoke"]) == 2
    out, error = capsys.readouterr()
    assert out == "figures/smoke/quality/recovery.png: not the figure that results/ gives; run `make report`\n"
    assert error.endswith(
        "qdr: error: 1 place where paper and results/ disagree: `make report` makes tables and figures anew, "
        "`qdr report texts` writes numbers into pages\n"
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "quality/main.csv",
            "QDR,W8A8,openvino,",
            "QDR,W8A8,openvino,9",
            r"main\.csv, line \d+: '.*,9\d\d\.\d\d,.*' instead of",
        ),
        ("quality/conventions.md", "| 28.57 |", "| 28.75 |", r"conventions\.md, line 5: .*28\.75.* instead of .*28\.57"),
        ("speed/latency.tex", "2 & 50", "2 & 60", r"latency\.tex, line \d+: .*2 & 60"),
        ("INDEX.md", "\n", "\r\n", r"INDEX\.md: other line ends"),
    ],
    ids=["csv", "md", "tex", "line-ends"],
)
def test_a_wrong_number_in_a_table(paper: Path, name: str, old: str, new: str, expected: str) -> None:
    path = paper / "paper_tables" / "smoke" / name
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
    (line,) = verify.stale_tables("smoke")
    assert re.search(f"{expected}.*; run `make report`$", line)


def test_a_missing_and_a_superfluous_table(paper: Path) -> None:
    folder = paper / "paper_tables" / "smoke" / "quality"
    (folder / "main.csv").rename(folder / "old.csv")
    assert verify.stale_tables("smoke") == [
        "paper_tables/smoke/quality/main.csv: missing; run `make report`",
        "paper_tables/smoke/quality/old.csv: nothing makes it any more; delete it",
    ]


def test_results_that_changed_since(paper: Path) -> None:
    path = paper / "results" / "smoke" / "quality.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace(",psnr,rgb-full,2", ",psnr,rgb-full,3") for line in lines) + "\n")
    stale = {line.partition(",")[0] for line in verify.stale_tables("smoke")}
    assert {f"paper_tables/smoke/quality/{name}.csv" for name in ("main", "summary", "ablation")} <= stale
    assert "paper_tables/smoke/quality/sensitivity.csv" not in stale


def test_the_remedy_of_a_profile_that_is_not_active(paper: Path) -> None:
    shutil.copy(paper / "profiles" / "embedded.yaml", paper / "params.yaml")
    for name in ("quality/main.md", "speed/latency.md"):
        (paper / "paper_tables" / "smoke" / name).unlink()
    remedies = [line.partition("; ")[2] for line in verify.stale_tables("smoke")]
    assert remedies == ["run `qdr report tables --profile smoke`", "run `qdr report speed --profile smoke`"]
    for remedy in remedies:
        assert main(remedy.split("`")[1].split()[1:]) == 0
    assert verify.stale_tables("smoke") == []


def test_stale_metrics(paper: Path) -> None:
    path = paper / "results" / "smoke" / "metrics.json"
    assert verify.stale_metrics("smoke") == []
    path.write_text(path.read_text().replace("recovery", "recovering", 1))
    (line,) = verify.stale_metrics("smoke")
    assert line.startswith("results/smoke/metrics.json: not the metrics of its results; run `qdr report tables")


def test_a_wrong_number_in_a_table_of_the_readme(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = paper / "README.md"
    text = readme.read_text()
    readme.write_text(text.replace("2.50×", "2.60×"))
    (line,) = texts.stale()
    wrong = next(row for row, words in enumerate(readme.read_text().splitlines(), 1) if "2.60×" in words)
    assert line.startswith(f"README.md, line {wrong}: ")
    assert "2.60×" in line.partition("instead of")[0]
    assert line.endswith("of paper_tables/smoke/speed/latency.md")
    assert main(["report", "texts"]) == 0
    assert readme.read_text() == text


def test_figures_of_other_versions_are_left_out(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = paper / "results" / "smoke" / "provenance.json"
    path.write_text(json.dumps({"versions": json.loads(path.read_text())["versions"] | {"matplotlib": "3.0.0"}}))
    assert main(["report", "verify"]) == 0
    here = version("matplotlib")
    assert f"smoke: figures not compared, drawn with matplotlib 3.0.0 (here {here})" in capsys.readouterr().out


def test_a_profile_without_results(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "verify", "--profile", "smok"]) == 2
    assert "unknown profile 'smok': did you mean 'smoke'" in capsys.readouterr().err

"""Numbers in prose: wrong ones are found and named, moved ones are written, nothing is left out by oversight."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st

from qdr.cli import main
from qdr.errors import QdrError
from qdr.rows import read_rows, write_rows
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report import texts
from qdr.suite.report.quality import Quality, Setting
from qdr.suite.report.texts.claims import NUMBER, finder, holds, read_claims, render
from qdr.suite.report.texts.quantities import QUERIES, Facts, ask

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = """
README.md:
  sections: ["## Results"]
  claims:
    smoke:
      - FP32 gains {gain derain fp32:.1f} and QDR {gain derain qdr:.1f} dB
      - text: QDR is {difference derain qdr qat:+.2f interval ns} dB ahead of QAT
        holds: [ahead derain qdr qat == 1]
  unchecked:
    a setting: [at 8 bits]
"""
README = """# A paper

It has 3 authors, of whom nobody speaks.

## Results

- **Words.** FP32 gains 8.0 and
  QDR 8.0 dB at 8 bits.
- QDR is +0.10 [+0.09,
  +0.11] dB ahead of QAT.

## Method

Five of 7.
"""


@pytest.fixture
def paper(results: Path, project: Path) -> Path:
    """A page that quotes made-up results."""
    shutil.copytree(results, project / "smoke")
    (project / "results").mkdir(exist_ok=True)
    shutil.rmtree(results)
    shutil.move(project / "smoke", project / "results" / "smoke")
    (project / "results" / "smoke" / "provenance.json").write_text('{"versions": {"matplotlib": "0"}}')  # no figures here
    (project / "docs").mkdir()
    (project / "docs" / "claims.yaml").write_text(CLAIMS)
    (project / "README.md").write_text(README)
    assert main(["report", "texts"]) == 0  # the last digits of the made-up results
    return project


def page(paper: Path) -> str:
    return (paper / "README.md").read_text()


def test_a_page_that_says_what_results_give(paper: Path) -> None:
    assert list(texts.stale()) == []
    quality = Quality(paper / "results" / "smoke" / "quality.csv")
    fp32, degraded = (quality.values("derain", "photos", "psnr", Setting(m, "FP32")).mean() for m in ("fp32", "input"))
    assert f"FP32 gains {fp32 - degraded:.1f} and" in page(paper)  # by another way than the query's


def test_a_planted_wrong_number_is_named_with_its_line_and_what_results_give(
    paper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = re.search(r"QDR (\d\.\d) dB", page(paper))
    assert right
    (paper / "README.md").write_text(page(paper).replace(f"QDR {right[1]} dB", "QDR 9.9 dB"))
    shown = f"README.md, line 8: '9.9' where results/smoke gives '{right[1]}' (gain derain qdr)"
    assert list(texts.stale()) == [shown]
    assert main(["report", "verify"]) == 2
    assert shown in capsys.readouterr().out
    assert main(["report", "texts"]) == 0
    assert f"mended: {shown}" in capsys.readouterr().out
    assert list(texts.stale()) == []


def test_results_that_moved_are_written_into_the_page(paper: Path) -> None:
    path = paper / "results" / "smoke" / "quality.csv"
    moved = [
        row | {"value": f"{float(row['value']) + 3:.6f}"} if row["method"] == "fp32" and row["metric"] == "psnr" else row
        for row in read_rows(path)
    ]
    before = page(paper)
    write_rows(path, moved)
    (line,) = texts.stale()
    assert "where results/smoke gives '11.0' (gain derain fp32)" in line
    assert main(["report", "texts"]) == 0
    assert page(paper) == before.replace("FP32 gains 8.0", "FP32 gains 11.0")  # nothing else, line breaks included
    assert list(texts.stale()) == []


def test_a_conclusion_that_no_longer_holds_is_left_to_a_writer(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = paper / "results" / "smoke" / "quality.csv"
    rows = read_rows(path)
    qat = {
        (r["task"], r["split"], r["image"], r["metric"], r["images"]): r
        for r in rows
        if (r["method"], r["bits"]) == ("qat", "W8A8")
    }
    for row in rows:  # QDR becomes QAT
        if (row["method"], row["bits"]) == ("qdr", "W8A8"):
            row["value"] = qat[row["task"], row["split"], row["image"], row["metric"], row["images"]]["value"]
    write_rows(path, rows)
    assert main(["report", "texts"]) == 2
    out, error = capsys.readouterr()
    assert "does not hold: ahead derain qdr qat == 1, but results/smoke gives 0; reword it" in out
    assert error == "qdr: error: 1 place to mend by hand: page or docs/claims.yaml\n"
    assert "QDR is +0.00 [+0.00, +0.00] n.s. dB ahead of QAT" in page(paper)  # numbers are written all the same


def test_a_number_that_nobody_vouches_for(paper: Path) -> None:
    (paper / "README.md").write_text(
        page(paper).replace("at 8 bits.", "at 8 bits, and 0.7 more. `1.5` [a](b3-4) INT8 16-bit")
    )
    (line,) = texts.stale()
    assert line.startswith("README.md, line 8: '0.7' (...")
    assert "is in no claim of docs/claims.yaml" in line
    (paper / "README.md").write_text(page(paper).replace("and 0.7 more.", "").replace("Five of 7", "Five of 7.5"))
    assert list(texts.stale()) == []  # of covered sections only


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "dB at 8 bits",
            "decibels at 8 bits",
            "README.md, line 8: 'decibels at 8 bits.",
        ),
        ("FP32 gains", "The teacher has", "README.md: no such words in the claim 'FP32 gains"),
        (
            "at 8 bits",
            "with all bits",
            "README.md: nothing reads 'at 8 bits', which docs/claims.yaml lists as unchecked (a setting)",
        ),
        ("## Results", "## Findings", "README.md: no heading '## Results', which docs/claims.yaml covers"),
    ],
)
def test_a_page_and_its_claims_that_no_longer_agree(paper: Path, old: str, new: str, message: str) -> None:
    (paper / "README.md").write_text(page(paper).replace(old, new))
    assert any(line.startswith(message) for line in texts.stale())


def test_words_that_are_there_twice(paper: Path) -> None:
    sentence = re.search(r"FP32 gains [\d.]+ and\s+QDR [\d.]+ dB", page(paper))
    assert sentence
    (paper / "README.md").write_text(page(paper) + sentence[0] + "\n")
    assert any("2 places for the claim" in line and "make it longer" in line for line in texts.stale())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("gian derain qdr", "unknown query 'gian': did you mean 'gain'"),
        ("gain derain", "missing a required argument: 'model'"),
        ("gain derian qdr", "no test set 'derian': did you mean 'derain'"),
        ("gain derain qrd", "unknown method 'qrd'"),
        ("gain derain qdr/W4A8", "no rows of qdr/W4A8 on derain/photos"),
        ("ap derain centre restored qat ap_gain", "no detection row"),
        ("speedup openvino int4", "no latency of efm int4"),
        ("lost W8A8 nolayer", "no layer nolayer"),
        ("place W8A8 kd", "unknown method ranked at W8A8"),
    ],
)
def test_a_query_without_an_answer(paper: Path, query: str, message: str) -> None:
    with pytest.raises(QdrError, match=re.escape(message)):
        ask(Facts("smoke"), query)


def test_every_query_answers(paper: Path) -> None:
    asked = {
        "psnr": "* qdr",
        "gain": "* qdr/W4A4/2",
        "recovery": "lowlight,derain/scenes qdr",
        "difference": "* qdr qat",
        "ahead": "* qdr qat",
        "images": "*",
        "place": "W8A8 qdr",
        "behind": "W8A8 ptq",
        "blocks": "W4A4",
        "ap": "derain centre restored qdr ap50_gain_kept",
        "labelled": "",
        "speedup": "openvino int8",
        "latency": "openvino int8",
        "lost": "W4A4 *",
        "error": "* W8A8 output",
        "convention": "ssim",
    }
    assert set(asked) == set(QUERIES)
    found = {name: ask(Facts("smoke"), f"{name} {arguments}") for name, arguments in asked.items()}
    assert [len(found[name]) for name in ("psnr", "recovery", "ahead", "blocks", "error")] == [2, 2, 1, 1, 6]
    assert found["ahead"][0].estimate == 2
    assert found["speedup"][0].estimate == 2.5
    assert found["labelled"][0].estimate == 40
    assert found["images"][0].estimate == 5
    assert found["blocks"][0].estimate == 10
    assert found["behind"][0].estimate == 1
    assert found["lost"][-1].estimate == pytest.approx(0.02)


@given(st.floats(-1000, 1000, allow_nan=False), st.integers(0, 4), st.booleans())
def test_what_is_rendered_is_found_again(value: float, digits: int, sign: bool) -> None:
    style = f"{'+' if sign else ''}.{digits}f interval ns"
    text = render([Interval(value, value - 1, value + 1)], style)
    found = finder(f"is {{q:{style}}} dB").search(f"it is\n {text.replace(' ', chr(10))} dB")
    assert found
    assert " ".join(found[1].split()) == text
    assert re.fullmatch(NUMBER, render([Interval(value, 0, 0)], f".{digits}f up"))


@given(st.floats(0, 100, allow_nan=False), st.integers(0, 4))
def test_a_bound_is_a_bound(value: float, digits: int) -> None:
    assert float(render([Interval(value, 0, 0)], f".{digits}f up")) >= value - 1e-8


def test_formats() -> None:
    several = [Interval(-0.5, -1, 0.25), Interval(0.25, 0.125, 0.5)]
    assert render(several, "+.2f smallest ns") == "-0.50 n.s."
    assert render(several, ".2f abs largest") == "0.50"
    assert render(several, "+.3f low largest") == "+0.125"
    assert render(several, ".3f mean") == "-0.125"
    with pytest.raises(QdrError, match="gives 2 values: add smallest, largest or mean"):
        render(several, ".2f", "q")
    with pytest.raises(QdrError, match="unknown word of a format 'smalest': did you mean 'smallest'"):
        render(several, ".2f smalest")


def test_conditions(paper: Path) -> None:
    facts = Facts("smoke")
    assert holds(facts, "recovery * qdr smallest > 0.9")[0]
    assert holds(facts, "ahead * qdr qat != 2") == (False, "2")
    with pytest.raises(QdrError, match="is not 'QUERY OPERATOR NUMBER'"):
        holds(facts, "ahead * qdr qat")


def test_claims_that_cannot_be_read(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = paper / "docs" / "claims.yaml"
    path.write_text(CLAIMS.replace("unchecked", "uncheckd"))
    with pytest.raises(QdrError, match=r"claims\.yaml: unknown key README\.md\.uncheckd: did you mean 'unchecked'"):
        read_claims(path)
    path.write_text(CLAIMS.replace("README.md", "READ.md"))
    assert main(["report", "texts"]) == 2
    assert "there is no page READ.md" in capsys.readouterr().err


# ---- the committed pages ---------------------------------------------------------------------------------------------


def test_every_committed_number_is_what_the_committed_results_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the commit, not of the working tree: `make repro` on another machine writes that machine's figures."""
    wanted = [
        "README.md",
        "docs",
        "results",
        "paper_tables",
        "profiles",
        "methods.yaml",
        "params.yaml",
        "data/manifest.json",
    ]
    done = subprocess.run(["git", "archive", "HEAD", *wanted], cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"no git history here: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    assert list(texts.stale()) == []
    quoted = yaml.safe_load((tmp_path / "docs" / "claims.yaml").read_text())["docs/findings.md"]["claims"]
    assert all(len(quoted[profile]) >= 5 for profile in ("public", "full"))

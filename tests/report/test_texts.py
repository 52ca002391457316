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
from qdr.suite.report.quantities import Number, quantities

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = """
README.md:
  sections: ["## Results"]
  claims:
    smoke:
      - text: FP32 gains {{ gain.derain.fp32 | fixed(1) }} and QDR {{ gain.derain.qdr | fixed(1) }} dB
      - let: {gap: "diff('qdr', 'qat').derain"}
        text: QDR is {{ gap | tested }} [{{ gap.low | signed }}, {{ gap.high | signed }}] dB ahead of QAT
        holds: ["'derain' in ahead('qdr', 'qat')"]
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
    shown = f"README.md, line 8: '9.9' where results/smoke gives '{right[1]}' (gain.derain.qdr | fixed(1))"
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
    assert "where results/smoke gives '11.0' (gain.derain.fp32 | fixed(1))" in line
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
    assert "does not hold: 'derain' in ahead('qdr', 'qat'), but results/smoke gives []; reword it" in out
    assert error == "qdr: error: 1 place to mend by hand: page or docs/claims.yaml\n"
    assert "QDR is +0.00 n.s. [+0.00,\n  +0.00] dB ahead of QAT" in page(paper)  # numbers are written all the same


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
    ("expression", "message"),
    [
        ("gian.derain.qdr", "'gian' is undefined"),
        ("diff('qdr')", "missing 1 required positional argument: 'other'"),
        ("gain.derian.qdr", "there is no 'derian': did you mean 'derain'"),
        ("gain.derain.qrd", "there is no 'qrd': did you mean 'qdr'"),
        ("gain.derain['qdr/W4A8']", "there is no 'qdr/W4A8': did you mean 'qdr/W4A4'"),
        ("diff('qdr', 'qat/W4A8').derain", "no test set has rows of both qdr and qat/W4A8"),
        ("ap.derain.centre.restored.qat.ap_gain", "there is no 'ap_gain'"),
        ("speed_up.efm.openvino.int4", "there is no 'int4'"),
        ("gain.derain.qdr | fixd", "No filter named 'fixd'"),
        ("lost.W8A8 | like('nolayer') | max", "sequence was empty"),
        ("''.__class__.__mro__", "is unsafe"),
        ("1 +", "unexpected"),
    ],
)
def test_an_expression_without_a_value(paper: Path, expression: str, message: str) -> None:
    with pytest.raises(QdrError, match=re.escape(message)):
        str(texts.evaluate(expression, quantities("smoke")))


def test_quantities_are_what_results_hold(paper: Path) -> None:
    found = quantities("smoke")
    quality = Quality(paper / "results" / "smoke" / "quality.csv")
    values = {
        model: quality.values("derain", "photos", "psnr", setting)
        for model, setting in (
            ("input", Setting("input", "FP32")),
            ("fp32", Setting("fp32", "FP32")),
            ("qat", Setting("qat", "W8A8")),
            ("qdr/W4A4/2", Setting("qdr", "W4A4", "2")),
        )
    }
    assert list(found["psnr"]) == ["lowlight", "derain"]
    assert found["psnr"]["derain"]["qdr/W4A4/2"] == pytest.approx(values["qdr/W4A4/2"].mean())
    gained = {model: (one - values["input"]).mean() for model, one in values.items()}
    assert found["gain"]["derain"]["qat"] == pytest.approx(gained["qat"])
    assert found["recovery"]["derain"]["qat"] == pytest.approx(gained["qat"] / gained["fp32"])
    assert found["diff"]("qat", "fp32")["derain"] == pytest.approx((values["qat"] - values["fp32"]).mean())
    assert found["diff"]("qat", "fp32")["derain"].significant
    assert found["ahead"]("qdr", "qat") == ["lowlight", "derain"]
    assert found["ahead"]("qat", "qdr") == []
    assert found["apart"]("derain", "qat/W4A4", "qdr", "ptq", "qat") == {"qdr": "better", "ptq": "worse"}
    assert found["ranking"]("W4A4") == {"order": ["qdr", "qat", "ptq"], "behind": ["ptq"], "blocks": 10}
    assert found["images"] == {"lowlight": 5, "derain": 5}
    assert found["ap"]["derain"]["centre"]["restored"]["qdr"]["ap50_gain"] == pytest.approx(29.7)
    assert found["ap"]["derain"]["centre"]["restored"]["qdr"]["ap50_gain"].low == pytest.approx(26.7)
    assert found["ap"]["derain"]["centre"]["restored"]["qdr"]["ap50_gain_kept"] == pytest.approx(0.99)
    assert found["labelled"] == 40
    assert found["speed_up"]["efm"]["openvino"]["int8"] == 2.5
    assert found["lost"]["W4A4"]["head"] == pytest.approx(0.02)
    assert set(found["error"]["derain"]["W8A8"]["output"]) == {"ptq", "qat", "qdr"}


@given(st.floats(-1000, 1000, allow_nan=False), st.integers(0, 4), st.sampled_from(["fixed", "signed", "tested", "percent"]))
def test_what_is_rendered_is_found_again(value: float, digits: int, style: str) -> None:
    given = {"q": Number(Interval(value, value - 1, value + 1))}
    text = texts.evaluate(f"q | {style}({digits})", given)
    found = texts.finder("is {{ q }} dB").search(f"it is\n {text.replace(' ', chr(10))} dB")
    assert found
    assert " ".join(found[1].split()) == text


def test_a_number_without_a_format_and_a_claim_for_every_entry(paper: Path) -> None:
    claims = CLAIMS.replace("      - text: FP32", "      - text: FP32 gains {{ gain.derain.fp32 }}\n      - text: FP32")
    (paper / "docs" / "claims.yaml").write_text(claims)
    assert any("'gain.derain.fp32' is " in line and "not the text of a number" in line for line in texts.stale())
    each = """
      - each: {Low light: lowlight, Rain: derain}
        let: {all: "diff('qdr', 'qat')"}
        text: "| LABEL | {{ all.KEY | signed(1) }} |"
"""
    (paper / "docs" / "claims.yaml").write_text(CLAIMS.replace("  unchecked:", each.lstrip("\n") + "  unchecked:"))
    (paper / "README.md").write_text(page(paper).replace("## Method", "| Low light | +9.9 |\n| Rain | +0.1 |\n\n## Method"))
    (line,) = texts.stale()
    assert "'+9.9' where results/smoke gives '+0.1' (all.lowlight | signed(1))" in line


def test_claims_that_cannot_be_read(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = paper / "docs" / "claims.yaml"
    path.write_text(CLAIMS.replace("unchecked", "uncheckd"))
    with pytest.raises(QdrError, match=r"claims\.yaml: unknown key README\.md\.uncheckd: did you mean 'unchecked'"):
        texts.read_claims(path)
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

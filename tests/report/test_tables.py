from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qdr.suite import config
from qdr.suite.bench.roofline import MODES
from qdr.suite.report import tables
from qdr.suite.report.results import Results
from qdr.suite.report.tables.table import RULE, Bold, Note, Table


@pytest.fixture
def written(results: Path, settings: config.Config, tmp_path: Path) -> Path:
    tables.write_quality(Results(settings, results), tmp_path / "paper")
    tables.write_speed(Results(settings, results), tmp_path / "paper")
    return tmp_path / "paper"


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_of_the_main_table_again(written: Path, results: Path) -> None:
    frame = pd.read_csv(results / "quality.csv")
    psnr = frame[
        (frame["metric"] == "psnr") & (frame["split"] == "photos") & (frame["task"] == "derain") & (frame["bits"] != "W4A4")
    ]
    means = psnr.groupby("method")["value"].mean()
    rows = {row["Method"]: row for row in cells(written / "quality/main.csv") if row["Task"] == "Rain"}
    assert rows["QDR"]["PSNR (dB)"] == f"{means['qdr']:.2f}"
    assert rows["QDR"]["PSNR ratio"] == f"{100 * means['qdr'] / means['fp32']:.1f} %"
    kept = (means["ptq"] - means["input"]) / (means["fp32"] - means["input"])
    assert rows["PTQ"]["Gain recovery"].startswith(f"{kept:.3f} [")
    assert rows["PTQ"]["Δ PSNR to QAT (dB)"].startswith(f"{means['ptq'] - means['qat']:+.3f} [")
    assert rows["Degraded input"]["Gain recovery"] == "0"
    assert rows["FP32"]["Gain recovery"] == "1"


def test_bold_only_where_significant(written: Path) -> None:
    text = (written / "quality/main.md").read_text()
    bold = [line for line in text.splitlines() if line.startswith("|") and "**" in line]
    assert len(bold) == 2
    assert all("QDR" in line for line in bold)
    tied = [line for line in text.splitlines() if "decoder KD" in line]
    assert all(line.rstrip(" |").endswith("n.s.") for line in tied)


def test_few_images_are_compared_with_few_images(written: Path) -> None:
    rows = cells(written / "quality/low-bit.csv")
    assert {row["Engine"] for row in rows} == {"fake-quant"}
    rows = [row for row in rows if row["Training images"] == "2"]
    assert {row["Seeds"] for row in rows} == {"2"}
    ahead = next(row for row in rows if row["Method"] == "QDR")["Δ PSNR to QAT (dB)"]
    assert float(ahead.split()[0]) == pytest.approx(0.5, abs=0.05)


def test_detection_says_what_is_not_significant(written: Path) -> None:
    (row,) = (row for row in cells(written / "quality/detection.csv") if row["Task"] == "Rain")
    assert row["Clean"] == "90.0"
    assert row["FP32"] == "80.0"
    assert row["PTQ INT8"] == "51.0 n.s."
    assert row["QDR gain"] == "+29.7 [+26.7, +34.7]"
    assert row["QDR gain kept"].startswith("0.990 [")
    assert row["Clean, FP32"] == "90.0 n.s."
    assert row["Clean, QDR INT8"] == "70.0"


def test_layers_are_counted_by_precision(written: Path) -> None:
    text = (written / "speed/census.md").read_text()
    assert "| efm | openvino | int8 | Convolution | 2 | — | 1 |" in text
    assert "| efm | openvino | int8 | Eltwise | 1 | — | — |" in text


def test_what_is_predicted_is_called_so(written: Path) -> None:
    for name in ("jetson-prediction", "jetson-442"):
        for suffix in ("md", "tex"):
            assert "Prediction, not measured" in (written / f"speed/{name}.{suffix}").read_text()
    rows = cells(written / "speed/jetson-prediction.csv")
    assert {row["Module"] for row in rows} == {mode.device for mode in MODES}
    assert all(row["DLA (dense TOPS)"] == "—" for row in rows if "Nano" in row["Module"])
    answers = {answer for row in cells(written / "speed/jetson-442.csv") for answer in list(row.values())[3:]}
    assert answers <= {"yes", "likely", "perhaps", "no"}


def test_the_jetson_has_a_dash_and_its_reason(written: Path) -> None:
    text = (written / "speed/latency.md").read_text()
    assert "| 64 | efm | tensorrt (Jetson) | int8 | — |" in text
    assert "not built: no Jetson_here." in text
    assert "2.50×" in text
    assert r"no Jetson\_here" in (written / "speed/latency.tex").read_text()


def test_latency_has_a_group_per_side(written: Path) -> None:
    rows = cells(written / "speed/latency.csv")
    assert [row["Side"] for row in rows] == ["64"] * 3 + ["128"] * 3 + ["64"]
    (row,) = (row for row in rows if (row["Side"], row["Precision"]) == ("128", "int8"))
    assert (row["Median (ms)"], row["Speed-up"], row["End to end (ms)"]) == ("16.00", "2.50×", "17.00")


def test_the_share_of_the_peak_is_of_all_convolutions_together(written: Path) -> None:
    (row,) = (r for r in cells(written / "speed/roofline.csv") if (r["Side"], r["Precision"]) == ("64", "int8"))
    assert row["Share of peak"] == "38 %"  # equal work at 3/4 and 1/4 of the rate: 2 / (4/3 + 4)
    assert (row["GOPS"], row["Peak (GOPS)"], row["GMAC"]) == ("300", "800", "0.02")
    assert row["Convolutions (ms)"] == row["Other layers (ms)"]


def test_the_same_rows_give_the_same_bytes(written: Path, results: Path, settings: config.Config, tmp_path: Path) -> None:
    tables.write_quality(Results(settings, results), tmp_path / "again")
    for path in (written / "quality").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / "quality" / path.name).read_bytes()


def test_the_index_names_every_file(written: Path) -> None:
    index = (written / "INDEX.md").read_text()
    assert "| speed/peers |" in index
    for path in (*(written / "quality").iterdir(), *(written / "speed").iterdir()):
        assert f"| {path.parent.name}/{path.stem} |" in index


def test_latex_prints_eight_columns_at_most_and_every_row_fills_them(written: Path) -> None:
    labels = []
    for path in written.rglob("*.tex"):
        for found in re.findall(r"\\begin{table}.*?\\end{table}", path.read_text(), re.DOTALL):
            labels += re.findall(r"\\label{(tab:smoke-.*?)}", found)
            (spec,) = re.findall(r"\\begin{tabular}{(.*)}", found)
            assert len(re.sub(r"r@{.}l", "r", spec)) <= 8, path
            letters = len(re.sub(r"@{.}", "", spec))
            for row in re.findall(r"^(.*) \\\\$", found, re.MULTILINE):
                spans = [int(n) for n in re.findall(r"\\multicolumn{(\d)}", row)]
                assert len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) - len(spans) == letters, (path, row)
    assert len(set(labels)) == len(labels) > 15


def test_numbers_are_aligned_and_notes_follow_their_columns() -> None:
    rows = [["a", Bold("1.25"), "-0.5 [-0.1, 0.2] n.s.", "7"], ["b", "3", "—", "—"]]
    notes = ["of all", Note("of d", "d"), Note("of b", "b")]
    table = Table("t", "A caption.", ["a", "b", "c", "d"], rows, notes, {"": ["a", "b", "c"], "rest": ["a", "d"]})
    first, second = table.tex("smoke-").split("\n\n")
    assert r"\label{tab:smoke-t}" in first
    assert r"\begin{tabular}{lr@{.}lr@{.}l}" in first
    assert r"a & \textbf{1} & \textbf{25} & $-$0 & 5 [$-$0.1, 0.2] n.s. \\" in first
    assert r"b & \multicolumn{1}{r@{\phantom{.}}}{3} &  & \multicolumn{2}{c}{---} \\" in first
    assert ("of all" in first, "of b" in first, "of d" in first) == (True, True, False)
    assert r"\caption{A caption; rest.}" in second
    assert r"\label{tab:smoke-t-rest}" in second
    assert r"\begin{tabular}{lr}" in second
    assert ("of b" in second, "of d" in second) == (False, True)


def test_a_table_in_three_formats() -> None:
    table = Table("t", "50 % of a_b", ["A", "B"], [["x & y", Bold("1")], RULE, ["—", "2|3"]], ["≤ 1"])
    assert r"\caption{50 \% of a\_b}" in table.tex()
    assert r"x \& y & \textbf{1} \\" in table.tex("p-")
    assert r"\label{tab:p-t}" in table.tex("p-")
    assert table.tex().count(r"\midrule") == 2
    assert "| x & y | **1** |" in table.markdown()
    assert r"2\|3" in table.markdown()
    assert table.csv() == "A,B\nx & y,1\n—,2|3\n"


def test_values_are_averaged_over_seeds_first(results: Path) -> None:
    from qdr.suite.report.quality import Quality, Setting

    quality = Quality(results / "quality.csv")
    setting = Setting("qdr", "W4A4", "2")
    assert quality.values("derain", "photos", "psnr", setting).shape == (5,)
    assert quality.seeds("derain", "photos", "psnr", setting).shape == (2,)
    assert np.isclose(
        quality.values("derain", "photos", "psnr", setting).mean(), quality.seeds("derain", "photos", "psnr", setting).mean()
    )

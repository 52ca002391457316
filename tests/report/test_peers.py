from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qdr.errors import QdrError
from qdr.rows import read_rows, write_rows
from qdr.suite import config
from qdr.suite.report import figures, tables
from qdr.suite.report.figures.speed import front, peers
from qdr.suite.report.peers import find_peers
from qdr.suite.report.quality import Quality
from qdr.suite.report.results import Results
from qdr.suite.report.style import save

COSTS = {"efm": (1000, 2_000_000), "nafnet": (289_100, 64_000_000), "dncnn": (559_400, 2_279_000_000)}
MADE = {"nafnet": ("fp32-nafnet", "ptq-nafnet", 8.4, 20.0), "dncnn": ("fp32-dncnn", "ptq-dncnn", 6.0, 120.0)}


@pytest.fixture
def with_peers(results: Path) -> Path:
    """The made-up results, with two more networks on rain: the EFM's rows moved by a constant."""
    quality, latency = read_rows(results / "quality.csv"), read_rows(results / "latency.csv")
    base = [row for row in quality if row["task"] == "derain" and row["method"] == "input"]
    for name, (fp32, int8, gain, milliseconds) in MADE.items():
        for method, bits, change in ((fp32, "FP32", 0.0), (int8, "W8A8", -0.5)):
            for i, row in enumerate(base):
                value = float(row["value"]) + (gain + change + 0.01 * (i % 3) if row["metric"] == "psnr" else 0)
                quality.append(row | {"method": method, "bits": bits, "engine": "openvino", "value": f"{value:.6f}"})
        latency += [
            row | {"model": name, "median_ms": str(milliseconds / (2 if row["precision"] == "int8" else 1))}
            for row in latency
            if row["model"] == "efm"
        ]
    write_rows(results / "quality.csv", quality)
    write_rows(results / "latency.csv", latency)
    costs = [
        {"model": name, "height": side, "width": side, "parameters": parameters, "macs": macs * (side // 64) ** 2}
        for name, (parameters, macs) in COSTS.items()
        for side in (64, 128)
    ]
    write_rows(results / "costs.csv", costs)
    return results


def test_the_table_again(with_peers: Path, settings: config.Config, tmp_path: Path) -> None:
    tables.write_speed(Results(settings, with_peers), tmp_path / "paper")
    with (tmp_path / "paper" / "speed" / "peers.csv").open(newline="") as file:
        rows = {row["Network"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["EFM", "EFM, QDR", "NAFNet", "DnCNN"]
    frame = pd.read_csv(with_peers / "quality.csv")
    psnr = frame[(frame["metric"] == "psnr") & (frame["split"] == "photos") & (frame["task"] == "derain")]
    means = psnr[psnr["images"] == "all"].groupby(["method", "bits"])["value"].mean()
    dncnn = rows["DnCNN"]
    assert dncnn["FP32 PSNR (dB)"] == f"{means['fp32-dncnn', 'FP32']:.2f}"
    assert dncnn["PTQ INT8 PSNR (dB)"] == f"{means['ptq-dncnn', 'W8A8']:.2f}"
    assert dncnn["Δ INT8 to FP32 (dB)"].startswith("-0.50 [")
    ahead = means["ptq-dncnn", "W8A8"] - means["ptq", "W8A8"]
    assert dncnn["Δ to EFM, INT8 (dB)"].startswith(f"{ahead:+.2f} [")
    assert (dncnn["FP32 (ms)"], dncnn["INT8 (ms)"], dncnn["Speed-up"]) == ("120.00", "60.00", "2.00×")
    assert dncnn["EFM INT8, times as fast"] == "15.0×"  # the EFM's INT8 takes 4 ms
    assert (dncnn["Parameters (k)"], dncnn["MACs (G)"]) == ("559.4", "2.28")  # of the first side that was timed
    assert rows["EFM"]["EFM INT8, times as fast"] == "—"
    assert rows["EFM, QDR"]["PTQ INT8 PSNR (dB)"] == f"{means['qdr', 'W8A8']:.2f}"


def test_the_figure_twice_with_the_same_bytes(with_peers: Path, settings: config.Config, tmp_path: Path) -> None:
    figures.write_speed(Results(settings, with_peers), tmp_path / "first")
    drawing = peers(Results(settings, with_peers))
    assert drawing is not None
    names = {text.get_text() for axis in drawing.figure.axes for text in [*axis.texts, *axis.get_yticklabels()]}
    assert {"DnCNN", "NAFNet, 10.0 ms", "EFM, 4.0 ms"} <= names
    save(drawing, tmp_path / "second" / "speed", "peers")
    for kind in ("png", "pdf"):
        first, second = (tmp_path / folder / "speed" / f"peers.{kind}" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_network_without_its_cost_is_named(with_peers: Path, settings: config.Config) -> None:
    write_rows(with_peers / "costs.csv", [r for r in read_rows(with_peers / "costs.csv") if r["model"] != "dncnn"])
    with pytest.raises(QdrError, match=r"costs\.csv has no row of dncnn at 64x64: run `dvc repro kernels`"):
        find_peers(settings, Quality(with_peers / "quality.csv"), with_peers / "latency.csv")


def test_without_peers_there_is_neither(results: Path, settings: config.Config, tmp_path: Path) -> None:
    assert find_peers(settings, Quality(results / "quality.csv"), results / "latency.csv") is None
    tables.write_speed(Results(settings, results), tmp_path / "paper")
    figures.write_speed(Results(settings, results), tmp_path / "paper")
    assert not list((tmp_path / "paper").rglob("peers.*"))


def test_a_profile_without_few_bits_has_every_other_figure(
    with_peers: Path, settings: config.Config, tmp_path: Path
) -> None:
    rows = [row for row in read_rows(with_peers / "quality.csv") if row["bits"] != "W4A4"]
    write_rows(with_peers / "quality.csv", rows)
    figures.write_quality(Results(settings, with_peers), tmp_path / "few")
    tables.write_quality(Results(settings, with_peers), tmp_path / "few")
    names = {path.stem for path in (tmp_path / "few").rglob("*.png")}
    assert {"error-growth", "recovery", "gradients"} <= names
    main = (tmp_path / "few" / "quality" / "main.csv").read_text()
    assert [line.split(",")[-1] for line in main.splitlines() if "DnCNN PTQ" in line] == ["—"], "QAT is of another network"


def test_the_front_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in rng.random((60, 2))]
    kept = front(points)
    beaten = {p for p in points if any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    assert kept == sorted(set(points) - beaten)


def test_the_settings_of_another_profile_do_not_matter(with_peers: Path, settings: config.Config) -> None:
    """The figure is drawn from results alone: a profile that times nothing else finds the same networks in them."""
    other = dataclasses.replace(settings, bench=dataclasses.replace(settings.bench, models=["nafnet"]))
    found = [find_peers(s, Quality(with_peers / "quality.csv"), with_peers / "latency.csv") for s in (settings, other)]
    assert [[peer.name for peer in peers.networks] for peers in found if peers] == 2 * [["efm", "nafnet", "dncnn"]]

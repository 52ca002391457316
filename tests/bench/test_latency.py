from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr.errors import QdrError
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.rows import write_json, write_rows
from qdr.runtimes import tensorrt, verify
from qdr.suite import config
from qdr.suite.bench import accuracy
from qdr.suite.bench.images import photograph
from qdr.suite.bench.latency import Case, cases, census_rows, judged, measure, summarize
from qdr.suite.bench.worker import time_side
from qdr.suite.export.engines import engine_file, exported
from qdr.suite.jetson.stage import jetson
from qdr.suite.report.load import CENSUS, LATENCY, load
from qdr.suite.report.tables.others import latency_table


def shortened(settings: config.Config, **changes: object) -> config.Config:
    short = {"sides": [64, 32], "warmup": 1, "calls": 4, "seconds": 0.0, "repeats": 2} | changes
    return dataclasses.replace(settings, bench=dataclasses.replace(settings.bench, **short))  # type: ignore[arg-type]


def test_each_case_is_timed_in_a_process_of_its_own(settings: config.Config, efm: EFM, project: Path, pairs: Path) -> None:
    path = project / "efm.onnx"
    Exporter().write(efm, path, "efm", efm.stride)
    short = shortened(settings)
    taken = measure([Case("efm", "fp32", engine, str(path)) for engine in ("openvino", "onnxruntime")], short)
    rows = [summarize(case, side, short.bench, timing) for (case, side), timing in taken.items()]
    assert [(row["engine"], row["height"]) for row in rows] == [
        (engine, side) for engine in ("openvino", "onnxruntime") for side in (32, 64)
    ]
    for row in rows:
        assert list(row) == list(LATENCY)
        assert 0 < float(row["median_ms"]) <= float(row["p90_ms"]) <= float(row["p99_ms"])
        assert float(row["median_ms"]) < float(row["end_to_end_median_ms"])
        assert float(row["fps"]) == pytest.approx(1000 / float(row["median_ms"]), rel=1e-2)
        assert 20 < float(row["peak_rss_mib"]) < 2000
        assert row["calls"] == 8
        assert float(row["mean_level"]) <= 0.01
        assert float(row["psnr_to_fp32_db"]) > 60
    found = [row for case in {case for case, _ in taken} for row in census_rows(case)]
    write_rows(project / "census.csv", found)
    frame = load(project / "census.csv", CENSUS)
    assert set(frame["runs_in"]) == {"fp32"}
    assert set(frame["engine"]) == {"openvino", "onnxruntime"}


class Fickle:
    """An engine whose third answer differs."""

    name = "fickle"

    def __init__(self, wrong: int) -> None:
        self.calls, self.wrong = 0, wrong

    def run(self, image: np.ndarray) -> np.ndarray:
        self.calls += 1
        return image if self.calls != self.wrong else 1 - image

    def close(self) -> None: ...


def test_the_least_duration_and_the_least_count(settings: config.Config) -> None:
    image = np.full((16, 16, 3), 9, np.uint8)
    timed, restored = time_side(Fickle(0), image, shortened(settings, calls=7).bench)
    assert [len(times) for times in timed.values()] == [7, 7]
    assert np.array_equal(restored, image)
    begun = time.perf_counter()
    timed, _ = time_side(Fickle(0), image, shortened(settings, calls=1, seconds=0.2).bench)
    assert time.perf_counter() - begun >= 0.2
    assert len(timed["end_to_end"]) > 1
    assert all(engine < whole for engine, whole in zip(*timed.values(), strict=True))


def test_an_engine_that_changes_its_mind_is_no_result(settings: config.Config) -> None:
    with pytest.raises(QdrError, match="fickle restores one image in two ways: call 3"):
        time_side(Fickle(5), np.full((16, 16, 3), 9, np.uint8), shortened(settings).bench)


def test_fast_and_wrong_is_no_result() -> None:
    right = np.full((8, 8, 3), 100, np.uint8)
    assert accuracy.agreement(right, right, "fp32", "") == 0
    assert accuracy.agreement(right + np.uint8(1), right, "int8", "") == 1
    with pytest.raises(QdrError, match=r"timing it: the output is 8\.00 grey levels from .*at most 1"):
        accuracy.agreement(right - np.uint8(8), right, "int8", "timing it")
    assert accuracy.likeness(right, right) == accuracy.CEILING


def test_a_file_of_another_model_is_a_mismatch(settings: config.Config, efm: EFM, project: Path, pairs: Path) -> None:
    """The file changes between the untimed and the timed run."""
    path, short = project / "efm.onnx", shortened(settings, sides=[32], repeats=1)
    Exporter().write(efm, path, "efm", efm.stride)
    right = dict(accuracy_of(path, short, project))
    efm.head.weight.data.mul_(-1)
    Exporter().write(efm, path, "efm", efm.stride)
    wrong = dict(accuracy_of(path, short, project))
    with pytest.raises(QdrError, match="grey levels"):
        accuracy.agreement(wrong[str(path), 32], right[str(path), 32], "fp32", "timing it")


def accuracy_of(path: Path, short: config.Config, folder: Path) -> dict[tuple[str, int], np.ndarray]:
    np.save(folder / "32.npy", photograph(short, 32))
    return accuracy.expected([str(path)], [32], 1, folder)


def test_a_photograph_is_cropped_or_continued(settings: config.Config, pairs: Path) -> None:
    with Image.open(pairs / "photos" / "input" / "im0.png") as image:
        whole = np.asarray(image)
    assert np.array_equal(photograph(settings, 64), whole)
    assert np.array_equal(photograph(settings, 32), whole[16:48, 16:48])
    large = photograph(settings, 160)
    assert large.shape == (160, 160, 3)
    assert np.array_equal(large[:64, 64:128], whole[:, ::-1])


def test_without_prepared_images(settings: config.Config, project: Path) -> None:
    with pytest.raises(QdrError, match="dvc repro"):
        photograph(settings, 64)


@pytest.fixture(autouse=True)
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases as on a processor with bf16."""
    monkeypatch.setattr("qdr.suite.bench.latency.has_bf16", lambda: True)


def test_without_bf16_nothing_is_timed_under_its_name(settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdr.suite.bench.latency.has_bf16", lambda: False)
    assert {case.precision for case in cases(settings)} == {"fp32", "int8"}


def test_the_networks_that_a_profile_lists_are_timed_too(project: Path) -> None:
    peers = config.load(config.profile_path("peers"))
    engines = project / "work" / "engines" / "derain"
    listed = [(case.model, case.precision, Path(case.path)) for case in cases(peers)]
    for name, method in (("dncnn", "dncnn"), ("nafnet-32", "nafnet-32"), ("restormer-small", "restormer")):
        assert [(precision, path) for model, precision, path in listed if model == name] == [
            ("fp32", engines / f"fp32-{method}-FP32-all-s0.onnx"),
            ("bf16", engines / f"fp32-{method}-FP32-all-s0.onnx"),
            ("int8", engines / f"ptq-{method}-W8A8-all-s0.onnx"),
        ]
    assert {path for _, _, path in listed} <= {engine_file(run) for run in exported(peers, "derain")}


def test_without_a_list_the_efm_alone_is_timed(project: Path, settings: config.Config) -> None:
    assert [(case.model, case.precision, case.engine) for case in cases(settings)] == [
        ("efm", "fp32", "openvino"),
        ("efm", "bf16", "openvino"),
        ("efm", "int8", "openvino"),
        ("efm", "fp32", "onnxruntime"),
        ("efm", "int8", "onnxruntime"),
    ]


def test_an_engine_that_is_wrong_is_not_timed(efm: EFM, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a dash and a footnote in the table, and no row that a ratio could be made of."""
    Exporter().write(efm, project / "efm.onnx", "efm", efm.stride)
    original = verify.open_session

    def opened(engine: str, *arguments: object) -> object:
        found = original(engine, *arguments)  # type: ignore[arg-type]
        if engine == "onnxruntime":
            right = found.run
            found.run = lambda image: right(image) * np.float32(0.9)  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(verify, "open_session", opened)
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    asked = [Case("efm", "fp32", engine, str(project / "efm.onnx")) for engine in ("openvino", "onnxruntime")]
    listed, wrong = judged(asked, 1)
    assert listed == asked[:1]
    assert [(case["engine"], "grey levels off on average" in case["why"]) for case in wrong] == [("onnxruntime", True)]
    row = {"model": "efm", "precision": "fp32", "engine": "openvino", "threads": 2, "batch": 1, "height": 64, "width": 64}
    row |= {"median_ms": 9, "p90_ms": 9, "p99_ms": 9, "fps": 111, "peak_rss_mib": 99, "calls": 5, "repeats": 1}
    write_rows(project / "latency.csv", [row])
    write_json(project / "latency.json", {"cpu": "a CPU", "wrong": wrong})
    write_json(project / "jetson.json", {"status": "not built", "reason": "no GPU", "rows": []})
    table = latency_table(project / "latency.csv", project / "jetson.json")
    assert ["efm", "onnxruntime", "fp32", *["—"] * 6] in table.rows
    assert any(note.startswith("onnxruntime fp32 of efm: not timed") for note in table.notes)


def test_a_failed_process_is_one_clear_line(settings: config.Config, project: Path, pairs: Path) -> None:
    with pytest.raises(QdrError, match=r"untimed run failed: .*no\.onnx does not exist"):
        measure([Case("efm", "fp32", "openvino", "no.onnx")], shortened(settings))


@pytest.mark.skipif(tensorrt.unavailable() is None, reason="TensorRT and a GPU are here: the engine would be built")
def test_without_tensorrt_the_jetson_stage_records_why(settings: config.Config, project: Path) -> None:
    jetson(settings)
    record = json.loads((project / "results" / "smoke" / "jetson.json").read_text())
    assert record["status"] == "not built"
    assert record["rows"] == []
    assert record["reason"]

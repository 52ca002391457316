from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from qdr import config
from qdr.bench.jetson import jetson
from qdr.bench.latency import Case, cases, measure, summarize
from qdr.errors import QdrError
from qdr.export.models import engine_file, exported
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.report.load import LATENCY
from qdr.runtimes import tensorrt


def test_each_case_is_timed_in_a_process_of_its_own(settings: config.Config, efm: EFM, project: Path) -> None:
    path = project / "efm.onnx"
    Exporter().write(efm, path, "efm", efm.stride)
    bench = dataclasses.replace(settings.bench, side=32, warmup=1, calls=4, repeats=2)
    taken = measure([Case("efm", "fp32", engine, str(path)) for engine in ("openvino", "onnxruntime")], bench)
    rows = [summarize(case, bench, timing) for case, timing in taken.items()]
    assert [row["engine"] for row in rows] == ["openvino", "onnxruntime"]
    for row in rows:
        assert list(row) == list(LATENCY)
        assert 0 < float(row["median_ms"]) <= float(row["p90_ms"]) <= float(row["p99_ms"])
        assert float(row["fps"]) == pytest.approx(1000 / float(row["median_ms"]), rel=1e-2)
        assert 20 < float(row["peak_rss_mib"]) < 2000
        assert row["calls"] == 8


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


def test_a_failed_process_is_one_clear_line(settings: config.Config, project: Path) -> None:
    with pytest.raises(QdrError, match=r"timing openvino fp32 of no\.onnx failed: .*does not exist"):
        measure([Case("efm", "fp32", "openvino", "no.onnx")], settings.bench)


@pytest.mark.skipif(tensorrt.unavailable() is None, reason="TensorRT and a GPU are here: the engine would be built")
def test_without_tensorrt_the_jetson_stage_records_why(settings: config.Config, project: Path) -> None:
    jetson(settings)
    record = json.loads((project / "results" / "smoke" / "jetson.json").read_text())
    assert record["status"] == "not built"
    assert record["rows"] == []
    assert record["reason"]

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qdr.errors import QdrError
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.quant.layers import QuantConv2d
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite import config, paths
from qdr.suite.export.tensors import tensors, write_graph
from qdr.suite.report.load import GRAPH, load


@pytest.fixture(scope="module")
def model() -> EFM:
    """A small quantized EFM."""
    torch.manual_seed(0)
    efm = EFM((16, 32), (1, 1)).eval()
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax", weight_observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 32, 32)])
    return efm


@pytest.fixture(scope="module")
def engine(model: EFM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Q/DQ file."""
    path = tmp_path_factory.mktemp("engines") / "efm.onnx"
    Exporter().write(model, path, "efm", model.stride)
    return path


def test_every_quantized_tensor_has_a_row_with_its_scales(engine: Path, model: EFM) -> None:
    rows = {row["tensor"]: row for row in tensors(engine, 64)}
    weights = {name for name, row in rows.items() if row["kind"] == "weights"}
    assert weights == {name for name, module in model.named_modules() if isinstance(module, QuantConv2d)}
    stem = rows["stem"]
    assert (stem["operator"], stem["inputs"], stem["width"], stem["granularity"]) == ("Conv", "point_in", 8, "channel")
    assert (stem["scales"], stem["shape"]) == (16, "16x3x2x2")
    largest = model.stem.conv.weight.detach().abs().amax(dim=(1, 2, 3)).numpy() / 127
    assert float(stem["scale_max"]) == pytest.approx(float(largest.max()), rel=1e-4)
    assert float(stem["scale_median"]) == pytest.approx(float(np.median(largest)), rel=1e-4)
    point = rows["point_stem"]
    assert (point["operator"], point["granularity"], point["scales"]) == ("Conv Relu", "tensor", 1)
    assert point["shape"] == "1x16x32x32"
    assert rows["point_in"]["inputs"] == "image"


def test_a_sum_is_computed_from_both_of_its_terms(engine: Path) -> None:
    rows = {row["tensor"]: row for row in tensors(engine, 64)}
    assert rows["encoder.0.0.point2"]["operator"] == "Conv Add Relu"
    assert rows["encoder.0.0.point2"]["inputs"].split() == ["point_stem", "encoder.0.0.point1"]
    assert set(rows["ups.0.point2"]["inputs"].split()) == {"ups.0.point1", "encoder.0.0.point2"}  # the skip connection


def test_the_stage_writes_what_the_schema_says(engine: Path, settings: config.Config) -> None:
    place = paths.engines(settings.bench.task)
    place.mkdir(parents=True)
    shutil.copyfile(engine, place / "qdr-W8A8-all-s0.onnx")
    write_graph(settings)
    frame = load(paths.results(settings.profile) / "graph.csv", GRAPH)
    assert set(frame["task"]) == {settings.bench.task}
    assert frame["position"].tolist() == list(range(len(frame)))


def test_what_is_no_quantized_file_is_refused(efm: EFM, settings: config.Config, tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"qdr-W8A8-all-s0\.onnx does not exist: run `dvc repro export`"):
        write_graph(settings)
    Exporter().write(efm, tmp_path / "fp32.onnx", "fp32", efm.stride)
    with pytest.raises(QdrError, match=r"fp32\.onnx has no DequantizeLinear: not a Q/DQ file"):
        tensors(tmp_path / "fp32.onnx", 64)

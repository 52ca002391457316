"""Latency of the exported EFM per engine, what INT8 gains, and what the gates cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.references import Check, Work, convolution
from qdr.export.qdq import Exporter
from qdr.machine import has_bf16
from qdr.models.blocks import stride
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes.session import open_session
from qdr.suite import config
from qdr.suite.zoo import build_model

SIDE = 256


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FP32 and INT8 files of the active profile's models, weights at random: speed does not depend on them."""
    settings, folder = config.load(), tmp_path_factory.mktemp("engines")
    made = {}
    for name in ("efm", "efm-no-ldg"):
        torch.manual_seed(0)
        model = build_model(name, settings.model)
        for parameter in model.parameters():
            if parameter.dim() == 4:
                torch.nn.init.kaiming_normal_(parameter).data.mul_(0.5)
        made[f"{name} fp32"] = folder / f"{name}-fp32.onnx"
        Exporter().write(model, made[f"{name} fp32"], name, stride(model))
        prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
        calibrate(model, [torch.rand(1, 3, 64, 64)])
        made[f"{name} int8"] = folder / f"{name}-int8.onnx"
        Exporter().write(model, made[f"{name} int8"], name, stride(model))
    return made


def restoring(engine: str, path: Path, precision: str) -> Work:
    """One call of an engine on one thread."""
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    return partial(open_session(engine, path, precision, 1).run, image)


@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("openvino", "fp32"),
        pytest.param("openvino", "bf16", marks=pytest.mark.skipif(not has_bf16(), reason="this processor emulates bf16")),
        ("openvino", "int8"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    ],
)
def test_latency(perf: Check, model: Callable[[Work], Work], files: dict[str, Path], engine: str, precision: str) -> None:
    path = files[f"efm {'int8' if precision == 'int8' else 'fp32'}"]
    perf(f"latency: {engine} {precision}", model(restoring(engine, path, precision)), convolution(), 40)


def test_int8_is_worth_it(perf: Check, files: dict[str, Path]) -> None:
    int8, fp32 = (restoring("openvino", files[f"efm {precision}"], precision) for precision in ("int8", "fp32"))
    perf("model: INT8 over FP32, OpenVINO", int8, fp32, 30)


def test_gates_are_cheap(perf: Check, files: dict[str, Path]) -> None:
    with_gates, without = (restoring("openvino", files[f"{name} int8"], "int8") for name in ("efm", "efm-no-ldg"))
    perf("model: INT8 with gates over without", with_gates, without, 60)

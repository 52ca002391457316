"""An exported Edge-Friendly Model with random weights, FP32 and INT8: enough for everything but quality."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from qdr.models.peers.nafnet import NAFNet
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.suite.config import ModelConfig
from qdr.suite.zoo import build_model

MODEL = ModelConfig([32, 64, 96], [1, 1, 2])


def random_model(build: Callable[[], nn.Module] = lambda: build_model("efm", MODEL)) -> nn.Module:
    torch.manual_seed(0)
    model = build()
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(0.5)
    return model.eval()


@pytest.fixture(scope="session")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, model = tmp_path_factory.mktemp("engines") / "fp32.onnx", random_model()
    Exporter().write(model, path, "efm", stride(model))
    return path


@pytest.fixture(scope="session")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, model = tmp_path_factory.mktemp("engines") / "int8.onnx", random_model()
    prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(model, [torch.rand(1, 3, 64, 64)])
    Exporter().write(model, path, "efm", stride(model))
    return path


@pytest.fixture(scope="session")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, model = tmp_path_factory.mktemp("engines") / "nafnet.onnx", random_model(lambda: NAFNet(8, 1))
    Exporter().write(model, path, "nafnet", stride(model))
    return path


@pytest.fixture
def about() -> dict[str, str]:
    """The header of packaged weights of `int8`."""
    return {"task": "derain", "model": "efm", "model_config": json.dumps(vars(MODEL)), "licence": "Apache-2.0"}

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from qdr.errors import QdrError
from qdr.export import qdq
from qdr.export.file import read_onnx
from qdr.export.qdq import Exporter
from qdr.models.blocks import QuantPoint
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes.session import open_session
from tests.engines import skip_where_sums_saturate
from tests.networks import small_efm


class Chain(nn.Module):
    """Two convolutions with ReLU: every engine computes the same integers, but for a sum on a rounding boundary."""

    def __init__(self) -> None:
        super().__init__()
        self.point0, self.point1 = QuantPoint(), QuantPoint()
        self.conv0, self.conv1 = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1(self.point1(torch.relu(self.conv0(self.point0(x)))))


def prepared(model: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    prepare(model, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax", weight_observer="minmax"))
    calibrate(model, [torch.rand(1, 3, 32, 32) for _ in range(2)])
    return model


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_chain_is_exact_in_every_engine(tmp_path: Path, engine: str) -> None:
    torch.manual_seed(0)
    skip_where_sums_saturate(engine)
    model = prepared(Chain())
    Exporter().write(model, tmp_path / "chain.onnx", "chain", 8)
    image = torch.rand(1, 3, 32, 48)
    session = open_session(engine, tmp_path / "chain.onnx", "int8")
    with torch.no_grad():
        expected = model(image).numpy()
    wrong = np.abs(session.run(image.numpy()) - expected)
    assert np.mean(wrong > 2e-6) <= 0.05  # a flipped rounding reaches 3x3 pixels of 3 channels
    assert wrong.max() < 5e-3


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("size", [(32, 32), (24, 56)])
def test_the_efm_agrees_with_its_engines(efm: EFM, tmp_path: Path, engine: str, size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    Exporter().write(efm, tmp_path / "fp32.onnx", "fp32", efm.stride)
    with torch.no_grad():
        expected = efm(image).numpy()
    np.testing.assert_allclose(open_session(engine, tmp_path / "fp32.onnx").run(image.numpy()), expected, atol=1e-4)
    skip_where_sums_saturate(engine)
    model = prepared(efm)
    Exporter().write(model, tmp_path / "int8.onnx", "int8", efm.stride)
    with torch.no_grad():
        expected = model(image).numpy()
    restored = open_session(engine, tmp_path / "int8.onnx", "int8").run(image.numpy())
    assert np.abs(restored - expected).mean() < 0.5 / 255


@pytest.mark.parametrize(("network", "stride"), [(Chain, 8), (small_efm, 4)])
def test_a_second_model_of_an_architecture_is_not_traced_and_gets_its_own_values(
    network: Callable[[], nn.Module], stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte the file that a trace of its own gives."""
    first, second = prepared(network()), network()
    for parameter in second.parameters():
        parameter.data = torch.rand_like(parameter) - 0.5
    prepared(second)
    Exporter().write(first, tmp_path / "first.onnx", "network", stride)
    with monkeypatch.context() as patch:
        patch.setattr(qdq, "program", lambda *_: pytest.fail("traced again"))
        Exporter().write(second, tmp_path / "shared.onnx", "network", stride)
    monkeypatch.setattr(qdq, "_graphs", {})
    Exporter().write(second, tmp_path / "alone.onnx", "network", stride)
    assert (tmp_path / "shared.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()
    assert (tmp_path / "shared.onnx").read_bytes() != (tmp_path / "first.onnx").read_bytes()


def test_the_file_holds_integers_and_an_fp32_bias(tmp_path: Path) -> None:
    model = prepared(Chain())
    Exporter().write(model, tmp_path / "chain.onnx", "chain", 8)
    proto = onnx.load(tmp_path / "chain.onnx")
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    assert values["conv0.integers"].dtype == np.int8
    assert np.abs(values["conv0.integers"]).max() == 127
    assert values["conv0.bias"].dtype == np.float32
    np.testing.assert_allclose(values["conv0.scales"], model.conv0.quantizer.log_scale.detach().exp().flatten().numpy())


def test_what_is_not_onnx(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match="does not exist"):
        read_onnx(tmp_path / "no.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(QdrError, match="not an ONNX file"):
        read_onnx(tmp_path / "bad.onnx")

"""White, black and a grey ramp through engines: the pictures on which a wrong scale or a clipped range shows at once.

The parity stage compares engines on photographs only, and its rows keep that meaning; these three are a test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.runtimes.session import open_session, restore
from qdr.runtimes.torch_eager import TorchSession
from tests.engines import skip_where_sums_saturate
from tests.networks import quantized, small_efm

Image = np.ndarray
SIDE = 256
PLAIN: dict[str, Image] = {
    "white": np.full((32, SIDE, 3), 255, np.uint8),
    "black": np.zeros((32, SIDE, 3), np.uint8),
    "ramp": np.broadcast_to(np.arange(SIDE, dtype=np.uint8)[None, :, None], (32, SIDE, 3)).copy(),
}
ENGINES = ("openvino", "onnxruntime")


def calibration() -> list[torch.Tensor]:
    return [torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255) for image in PLAIN.values()]


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EFM whose head is zero, quantized: it must return what it is given."""
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1))
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    quantized(model, calibration())
    path = tmp_path_factory.mktemp("unchanged") / "efm.onnx"
    Exporter().write(model, path, "efm", 4)
    return path


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """An EFM with weights at random, quantized."""
    model = quantized(small_efm(0.3), calibration())
    path = tmp_path_factory.mktemp("changing") / "efm.onnx"
    Exporter().write(model, path, "efm", 4)
    return model, path


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PLAIN)
def test_what_changes_nothing_returns_every_level(unchanged: Path, engine: str, name: str) -> None:
    """White stays white, black black, and the ramp keeps its 256 steps: the global residual is not quantized."""
    session = open_session(engine, unchanged, "int8")
    assert np.array_equal(restore(session, PLAIN[name]), PLAIN[name])
    session.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PLAIN)
def test_engines_agree_with_fake_quantization(changing: tuple[torch.nn.Module, Path], engine: str, name: str) -> None:
    skip_where_sums_saturate(engine)
    model, path = changing
    session = open_session(engine, path, "int8")
    engines = restore(session, PLAIN[name]).astype(int)
    session.close()
    expected = restore(TorchSession(model, "fake-quant"), PLAIN[name]).astype(int)
    assert np.abs(engines - expected).max() <= 1
    if name == "ramp":
        assert (np.abs(expected - PLAIN[name]) > 2).mean() > 0.5  # it does change the picture
        rises, meant = np.diff(engines, axis=1), np.diff(expected, axis=1)
        assert rises[meant >= 0].min() >= -1  # where simulation rises, the engine does not fall

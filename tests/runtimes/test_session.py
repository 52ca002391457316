from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from qdr.errors import QdrError
from qdr.export.numerics import largest_products
from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.runtimes import tensorrt
from qdr.runtimes.census import Layer
from qdr.runtimes.session import InputSpec, open_session, restore
from qdr.runtimes.torch_eager import TorchSession


class Identity:
    """An engine that returns what it is given, and remembers the shape."""

    name = "identity"
    input_spec = InputSpec("image", (1, 3, None, None))

    def run(self, image: np.ndarray) -> np.ndarray:
        self.shape = image.shape
        return image

    def census(self) -> list[Layer]:
        return []

    def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1, 40), (50, 33)])
def test_any_size_passes_through_unchanged(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    session = Identity()
    assert np.array_equal(restore(session, image), image)
    assert session.shape[2] % 16 == session.shape[3] % 16 == 0


def test_the_result_is_clipped_and_rounded_half_to_even() -> None:
    class Constant(Identity):
        def __init__(self, value: float) -> None:
            self.value = np.float32(value)

        def run(self, image: np.ndarray) -> np.ndarray:
            return np.full_like(image, self.value)

    image = np.zeros((16, 16, 3), np.uint8)
    for value, level in ((-0.5, 0), (1.5, 255), (0.5, 128), (2.4 / 255, 2)):
        assert (restore(Constant(value), image) == level).all()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_restore_what_the_network_restores(efm: EFM, tmp_path: Path, engine: str) -> None:
    Exporter().write(efm, tmp_path / "efm.onnx", "efm", efm.stride)
    image = np.random.default_rng(1).integers(0, 256, (37, 50, 3), np.uint8)
    session = open_session(engine, tmp_path / "efm.onnx")
    difference = restore(session, image).astype(int) - restore(TorchSession(efm, "torch"), image)
    assert np.abs(difference).max() <= 1
    session.close()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_damaged_file_is_named(tmp_path: Path, engine: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(QdrError, match=r"cannot load .*bad\.onnx"):
        open_session(engine, tmp_path / "bad.onnx")


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").touch()
    with pytest.raises(QdrError, match="did you mean 'openvino'"):
        open_session("openvno", tmp_path / "x.onnx")
    with pytest.raises(QdrError, match="did you mean 'int8'"):
        open_session("openvino", tmp_path / "x.onnx", "int4")
    with pytest.raises(QdrError, match="has no bf16 mode"):
        open_session("onnxruntime", tmp_path / "x.onnx", "bf16")
    with pytest.raises(QdrError, match="export it first"):
        open_session("openvino", tmp_path / "no.onnx")


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        (None, "TensorRT is not installed (pip install -c constraints.txt -e '.[tensorrt]')"),
        (SimpleNamespace(__version__="8.6.1"), "TensorRT 8.6.1 is too old: 10 or later is needed"),
    ],
)
def test_tensorrt_says_why_it_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: object, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", installed)
    assert tensorrt.unavailable() == reason
    (tmp_path / "x.onnx").touch()
    with pytest.raises(QdrError, match=re.escape(f"tensorrt is unavailable: {reason}")):
        open_session("tensorrt", tmp_path / "x.onnx")


def test_the_names_used_of_tensorrt_exist() -> None:
    """TensorRT-RTX has the same Python interface and installs without a GPU."""
    trt = pytest.importorskip("tensorrt_rtx", reason="the extra trt-check is not installed")
    assert trt.ProfilingVerbosity.DETAILED
    assert trt.LayerInformationFormat.JSON
    for kind, names in {
        trt.IBuilderConfig: ("create_timing_cache", "set_timing_cache", "get_timing_cache", "add_optimization_profile"),
        trt.ITimingCache: ("serialize",),
        trt.ICudaEngine: ("create_engine_inspector", "get_tensor_profile_shape", "create_execution_context"),
        trt.EngineInspector: ("get_engine_information",),
        trt.IExecutionContext: ("set_input_shape", "set_tensor_address", "execute_async_v3"),
    }.items():
        assert all(hasattr(kind, name) for name in names)


def test_no_engine_leaves_anything_in_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry writes a database there when it is imported."""
    onnx.save(largest_products(), tmp_path / "m.onnx")
    code = "import sys; from pathlib import Path; from qdr.runtimes.session import open_session\n"
    code += "for engine in ('openvino', 'onnxruntime', 'exact'): open_session(engine, Path(sys.argv[1]), 'int8', 1).close()"
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": ""}
    (tmp_path / "home").mkdir()
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.onnx"], env=os.environ | home, check=True)
    assert list((tmp_path / "home").rglob("*")) == []

"""ONNX Runtime on a CPU.

It reads the same Q/DQ file as every other engine. It does not fuse a ReLU with the signed quantization after it, so as it
stands the file is slower than FP32. `precision="int8"` lowers it when it is loaded: the same values on integers, about
twice as fast as FP32 (`qdr.export.lower_ort`, docs/export.md), where the processor has VNNI or is ARM. Its threads do not
spin between calls: spinning ones slow down whatever runs next.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.export.lower_ort import lower
from qdr.provenance import machine
from qdr.runtimes.census import Layer, of_onnxruntime
from qdr.runtimes.session import InputSpec


def load_on_cpu(path: Path, threads: int, precision: str = "fp32", keep: Path | None = None) -> onnxruntime.InferenceSession:
    """Any ONNX file on the CPU execution provider; "int8" lowers it. `keep` is where the optimized graph is written.

    Raises:
        QdrError: when the file cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if keep is not None:
        options.optimized_model_filepath = str(keep)
    try:
        lowered = precision == "int8" and _multiplies_exactly()
        source = lower(onnx.load(path)).SerializeToString() if lowered else str(path)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds without a common base
        raise QdrError(f"ONNX Runtime cannot load {path}: {str(error).strip().splitlines()[-1]}") from error


def _multiplies_exactly() -> bool:
    """Whether uint8 times int8 is summed in 32 bits: x86 without VNNI adds two products in 16 bits, which saturate."""
    exact = {"avx512_vnni", "avx_vnni", "amx_int8", "asimd"}
    return platform.machine() in ("arm64", "aarch64") or not exact.isdisjoint(machine()["cpu_flags"])


class OrtSession:
    """A model on the CPU execution provider; shapes are free."""

    name = "onnxruntime"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        self._about = (path, threads, precision)
        self._session = load_on_cpu(*self._about)

    @property
    def input_spec(self) -> InputSpec:
        """The image it takes."""
        (image,) = self._session.get_inputs()
        return InputSpec(image.name, tuple(side if isinstance(side, int) else None for side in image.shape))

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore [n, 3, h, w] in [0, 1]."""
        result: NDArray[np.float32] = self._session.run(None, {"image": image})[0]
        return result

    def census(self) -> list[Layer]:
        """The layers it runs: the file is loaded once more, to have the optimized graph written."""
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "optimized.onnx"
            load_on_cpu(*self._about, keep=kept)
            return of_onnxruntime(onnx.load(kept))

    def close(self) -> None:
        """Release the session."""
        del self._session

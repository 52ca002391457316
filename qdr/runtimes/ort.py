"""ONNX Runtime on a CPU.

It reads the same Q/DQ file as every other engine. It does not fuse a ReLU with the signed quantization after it, so as it
stands the file is slower than FP32. `precision="int8"` lowers it when it is loaded: the same values on integers, about
twice as fast as FP32 (`qdr.export.lower_ort`, docs/export.md). Its threads do
not spin between calls: spinning ones slow down whatever runs next.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from qdr.errors import QdrError
from qdr.export.lower_ort import lower
from qdr.export.numerics import exact_session
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
        lowered = precision == "int8"
        source = lower(onnx.load(path), _saturates()).SerializeToString() if lowered else str(path)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds without a common base
        raise QdrError(f"ONNX Runtime cannot load {path}: {str(error).strip().splitlines()[-1]}") from error


@lru_cache(maxsize=1)
def _saturates() -> bool:
    """Whether sums of uint8 x int8 products saturate: x86 without VNNI adds two of them in 16 bits.

    Asked of ONNX Runtime itself by the largest products there are: what a processor says of itself need not be what a
    library makes of it, or what an emulator passes on.
    """
    depth = 64
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, depth])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, [4, depth])]
    weight = numpy_helper.from_array(np.full((depth, depth), 127, np.int8), "w")
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "sum", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = session.run(None, {"x": np.full((4, depth), 255, np.uint8)})[0]
    return not bool((sums == 255 * 127 * depth).all())


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
        result: NDArray[np.float32] = self._session.run(None, {self.input_spec.name: image})[0]
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


class ExactSession(OrtSession):
    """The Q/DQ arithmetic of the file in FP32 (`qdr.export.numerics`): right on every processor, as slow as FP32."""

    name = "exact"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        self._about = (path, threads, precision)
        self._session = exact_session(path, threads, optimized=True)

    def census(self) -> list[Layer]:
        """The nodes of the file, all computed in FP32."""
        return [Layer(node.name, node.op_type, "fp32") for node in onnx.load(self._about[0]).graph.node]

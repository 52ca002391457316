"""OpenVINO on a CPU: runs the exported Q/DQ file as it is, in INT8.

The LATENCY hint serves one image at a time. The precision of everything that is not quantized is stated, because on CPUs
with AMX or AVX512-BF16 OpenVINO otherwise computes it in bf16 without saying so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.runtimes.census import Layer, of_openvino
from qdr.runtimes.session import InputSpec

_HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}


def properties(precision: str, threads: int) -> dict[str, str | int]:
    """How every model is compiled here, to restore, to be profiled and to measure the machine's peak alike."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
    }


class OpenVinoSession:
    """A model compiled for the CPU; shapes are free."""

    name = "openvino"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        try:
            self._model = ov.Core().compile_model(str(path), "CPU", properties(precision, threads))
        except RuntimeError as error:
            raise QdrError(f"OpenVINO cannot load {path}: {str(error).strip().splitlines()[-1]}") from error

    @property
    def input_spec(self) -> InputSpec:
        """The image it takes."""
        image = self._model.inputs[0]
        sides = (None if side.is_dynamic else side.get_length() for side in image.get_partial_shape())
        return InputSpec(image.get_any_name(), tuple(sides))

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore [n, 3, h, w] in [0, 1]."""
        result: NDArray[np.float32] = self._model([image])[0]
        return result

    def census(self) -> list[Layer]:
        """The layers it runs, from its runtime model."""
        return of_openvino(self._model.get_runtime_model().get_ordered_ops())

    def close(self) -> None:
        """Release the compiled model."""
        del self._model

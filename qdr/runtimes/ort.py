"""ONNX Runtime on a CPU.

It runs the same Q/DQ file as every other engine. It does not fuse a ReLU with the signed quantization after it, so INT8
is no faster than FP32 here; the row is kept because it is what a user of the file would get, and because a second
engine checks the first. Its threads do not spin between calls: spinning ones slow down whatever runs next.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from qdr.errors import QdrError


def load_on_cpu(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Any ONNX file on the CPU execution provider.

    Raises:
        QdrError: when the file cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds without a common base
        raise QdrError(f"ONNX Runtime cannot load {path}: {str(error).strip().splitlines()[-1]}") from error


class OrtSession:
    """A model on the CPU execution provider; shapes are free."""

    name = "onnxruntime"

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        self._session = load_on_cpu(path, threads)

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore [n, 3, h, w] in [0, 1]."""
        result: NDArray[np.float32] = self._session.run(None, {"image": image})[0]
        return result

    def close(self) -> None:
        """Release the session."""
        del self._session

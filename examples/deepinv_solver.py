"""An INT8 file as a solver of deepinv's denoising benchmarks (github.com/deepinv/benchmarks, benchopt).

Copy this file into `solvers/` of a benchmark, e.g. cbsd68_gaussian_denoising, and name the file:

    QDR_FILE=denoise-int8.onnx benchopt run cbsd68_gaussian_denoising -s QDR-INT8

A solver there gets `train_dataset` and `physics` and returns a model of (y, physics); the objective then measures it. Here
the model is an engine on the CPU: pixels are those a device would give, and PSNR is what INT8 has. A network of one noise
level knows it; `physics` is not asked.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from benchopt import BaseSolver
from torch import Tensor, nn

import qdr


class Restored(nn.Module):
    """A file as a model of deepinv: y [n, c, h, w] about [0, 1], any size -> the same."""

    device = "cpu"

    def __init__(self, path: str, multiple: int = 16) -> None:
        super().__init__()
        self.run, self.multiple = qdr.open_session(path), multiple

    def forward(self, y: Tensor, physics: Any = None, **_: Any) -> Tensor:
        height, width = y.shape[2:]
        edge = (0, -width % self.multiple, 0, -height % self.multiple)
        return self.run(nn.functional.pad(y, edge, mode="replicate"))[..., :height, :width]


class Solver(BaseSolver):
    """Quantized restoration."""

    name = "QDR-INT8"
    parameters: ClassVar[dict[str, list[Any]]] = {}
    sampling_strategy = "run_once"
    requirements: ClassVar[list[str]] = ["pip::qdr"]

    def set_objective(self, train_dataset: Any = None, physics: Any = None) -> None:
        """Open the file that QDR_FILE names."""
        path = os.environ.get("QDR_FILE")
        if not path:
            raise qdr.QdrError("QDR_FILE names no file: set it to an INT8 file of `qdr quantize`")
        self.model = Restored(path)

    def run(self, stop_val: Any) -> None:
        """Nothing is iterated."""

    def get_result(self) -> dict[str, Any]:
        """The model, which the objective measures."""
        return {"model": self.model}

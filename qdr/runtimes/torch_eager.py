"""Eager PyTorch as an engine: the FP32 or fake-quantized network itself.

It is the reference that the exported engines are compared with, and the only "engine" for widths no runtime executes
(4 bits); its rows say `torch` or `fake-quant`, never the name of an integer engine.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qdr.runtimes.census import Layer
from qdr.runtimes.session import InputSpec


class TorchSession:
    """Runs a network in FP32 without gradients: [n, 3, h, w] in [0, 1] -> the same shape, not clipped."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.name = name
        self._model = model.eval()

    input_spec = InputSpec("image", (None, 3, None, None))

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            restored = self._model(torch.from_numpy(image))
        result: NDArray[np.float32] = restored.numpy()
        return result

    def census(self) -> list[Layer]:
        """The modules without parts, all computed in FP32: fake quantization rounds FP32 values."""
        leaves = [(name, module) for name, module in self._model.named_modules() if not any(module.children())]
        return [Layer(name, type(module).__name__, "fp32") for name, module in leaves]

    def close(self) -> None:
        """Nothing to release."""

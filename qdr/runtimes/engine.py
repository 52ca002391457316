"""An exported file as a function of images, in an engine that was shown to compute what the file says."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qdr.export.file import read_onnx
from qdr.export.graph import is_quantized
from qdr.runtimes.verify import open_right

Image = TypeVar("Image", Tensor, NDArray[np.float32])


class Engine:
    """A loaded file; a context that releases it, and a function: [n, c, h, w] in [0, 1] -> the restored images, not clipped.

    Args:
        path: an exported ONNX file.
        engine: "openvino", "onnxruntime", "exact" or "tensorrt"; None: the first that is right on this processor.
        threads: of the engine.

    Raises:
        QdrError: when the file is no model, or no engine computes what it says.
    """

    def __init__(self, path: str | Path, engine: str | None = None, threads: int = 2) -> None:
        path = Path(path)
        self._session = open_right(path, "int8" if is_quantized(read_onnx(path)) else "fp32", threads, engine)

    @property
    def name(self) -> str:
        """The engine that was taken."""
        return self._session.name

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()

    def __call__(self, image: Image) -> Image:
        """Restore images, one after the other; a tensor comes back on its device, an array as an array."""
        if isinstance(image, Tensor):
            return torch.from_numpy(self(image.detach().cpu().float().numpy())).to(image.device)
        batch = np.ascontiguousarray(image, np.float32)
        return np.concatenate([self._session.run(batch[i : i + 1]) for i in range(len(batch))])


def open_session(path: str | Path, engine: str | None = None, threads: int = 2) -> Engine:
    """A file as a function of images; arguments and errors are those of `Engine`.

    with open_session("model.onnx") as run:
        y = run(x)
    """
    return Engine(path, engine, threads)

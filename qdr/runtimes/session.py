"""An engine as the rest of qdr sees it: a float image in, a float image out.

`open_session` loads an exported ONNX file in a named engine and believes it; pictures and quality numbers come from
`qdr.runtimes.verify.open_right`. `restore` is the one way an 8-bit image passes through any of them, so that every engine's
quality is measured on its own 8-bit output, made the same way: divide by 255, extend to a multiple of the network's stride
by repeating the edge, run, cut, clip, round half to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError, check_choice
from qdr.machine import has_bf16

if TYPE_CHECKING:
    from qdr.runtimes.census import Layer

ENGINES = ("openvino", "onnxruntime", "exact", "tensorrt")
PRECISIONS = ("fp32", "bf16", "int8")
MULTIPLE = 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Batch = NDArray[np.float32]


@dataclass(frozen=True)
class InputSpec:
    """What a model takes: the tensor's name and its shape [n, 3, h, w], None where a side is free."""

    name: str
    shape: tuple[int | None, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an image of this shape fits.

        >>> InputSpec("image", (1, 3, None, 256)).accepts((1, 3, 64, 256))
        True
        """
        return len(shape) == len(self.shape) and all(b in (None, a) for a, b in zip(shape, self.shape, strict=True))


class Runs(Protocol):
    """What takes a float image to its restoration."""

    def run(self, image: Batch) -> Batch:
        """Restore [n, 3, h, w] in [0, 1], sides multiples of the stride; the result is not clipped."""
        ...


class Session(Runs, Protocol):
    """A loaded model: what it takes, run it, which layers it runs, release it."""

    name: str

    @property
    def input_spec(self) -> InputSpec:
        """The image it takes."""
        ...

    def census(self) -> list[Layer]:
        """The layers the engine runs, after fusion, with the precision of each."""
        ...

    def close(self) -> None:
        """Release the model."""
        ...


def open_session(engine: str, path: Path, precision: str = "fp32", threads: int = 2) -> Session:
    """Load an exported file. That the engine computes what the file says is for `qdr.runtimes.verify` to show.

    `precision` is what the engine computes in: "fp32", "bf16" (an FP32 file, OpenVINO only) or "int8" (a Q/DQ file).

    Raises:
        QdrError: on an unknown engine or precision, a missing or damaged file, or an engine that is not installed.
    """
    check_choice("engine", engine, ENGINES)
    check_choice("precision", precision, PRECISIONS)
    if not path.is_file():
        raise QdrError(f"{path} does not exist: export it first (`dvc repro export`)")
    if precision == "bf16" and engine != "openvino":
        raise QdrError(f"{engine} has no bf16 mode: use openvino")
    if precision == "bf16" and not has_bf16():
        raise QdrError("this processor has no bf16 instructions: use fp32")
    if engine == "openvino":
        from qdr.runtimes.openvino import OpenVinoSession

        return OpenVinoSession(path, precision, threads)
    if engine in ("onnxruntime", "exact"):
        from qdr.runtimes.ort import ExactSession, OrtSession

        return (ExactSession if engine == "exact" else OrtSession)(path, precision, threads)
    from qdr.runtimes.tensorrt import TensorRtSession

    return TensorRtSession(path)


def restore(session: Runs, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The engine's 8-bit restoration of an RGB image [h, w, 3] of any size."""
    height, width = image.shape[:2]
    extended = np.pad(image, ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)), mode="edge")
    return restore_block(session, extended)[:height, :width]


def restore_block(session: Runs, block: NDArray[Any]) -> NDArray[Any]:
    """The engine's restoration of uint8 or uint16 pixels whose sides are multiples of its stride; same shape and type.

    RGB [h, w, 3], or grey [h, w], which goes in as three equal channels and comes out as Rec. 601 luma.
    """
    grey, levels = block.ndim == 2, np.float32(np.iinfo(block.dtype).max)
    planes = np.broadcast_to(block, (3, *block.shape)) if grey else block.transpose(2, 0, 1)
    batch = np.ascontiguousarray(planes[None], dtype=np.float32) / levels
    restored = np.clip(session.run(batch)[0].transpose(1, 2, 0), 0, 1)
    return np.asarray(np.rint((restored @ _LUMA if grey else restored) * levels), block.dtype)

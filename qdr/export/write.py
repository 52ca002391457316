"""Export any network, quantized or not, to an ONNX file whose height and width are free where the network allows it.

What a quantized file holds is `qdr.export.qdq`'s: INT8 weights, signed Q/DQ pairs with zero point 0, FP32 bias. Height
and width are free in multiples of the least power of two up to 64 that the network takes; where torch.export finds that the
graph depends on the size, the file has the size of the example.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.check import check_tensorrt
from qdr.export.qdq import program
from qdr.files import replacing
from qdr.quant.prepare import freeze, quantized_layers, set_mode

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_SIDE, _LARGEST = 64, 8192


@dataclass(frozen=True)
class Exported:
    """A written file.

    Args:
        path: the file.
        multiple: what height and width must be multiples of; None where the file takes the example's size only.
        breaches: the rules of TensorRT that it breaks (a layer that was kept in floating point breaks one).
    """

    path: Path
    multiple: int | None
    breaches: list[str]


def export_onnx(model: nn.Module, path: str | Path, example: Tensor) -> Exported:
    """Write `model` to an ONNX file; the model stays as it is.

    Args:
        model: takes one image [n, c, h, w] and returns one; quantized by `qdr.quantize`, or not.
        path: the file to write, replaced if it is there.
        example: an image it takes; only its shape matters.

    Raises:
        QdrError: when a quantized model is not calibrated or is narrower than engines are, or torch cannot export it.
    """
    path = Path(path)
    frozen = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    if any(layer.mode == "observe" for layer in quantized_layers(frozen)):
        raise QdrError("the model is prepared but not calibrated: run images through `qdr.quantize` first")
    multiple, keeps_shape = _multiple(frozen, example)
    freeze(frozen)
    proto, multiple = _program(frozen, example, multiple)
    onnx.checker.check_model(proto, full_check=True)
    if keeps_shape:
        numerics.attach(proto)
    with replacing(path) as temporary:
        onnx.save(proto, temporary)
    return Exported(path, multiple, check_tensorrt(proto))


def _program(model: nn.Module, example: Tensor, multiple: int | None) -> tuple[onnx.ModelProto, int | None]:
    channels, sides = example.shape[1], tuple(example.shape[2:])
    if multiple is not None:
        count = -(-_SIDE // multiple)
        image = torch.zeros(1, channels, multiple * count, multiple * (count + 1))
        free = {
            axis: multiple * torch.export.Dim(name, min=2, max=_LARGEST // multiple) for axis, name in ((2, "H"), (3, "W"))
        }
        try:
            return program(model, image, free), multiple
        except Exception:  # torch.export raises many kinds where a graph depends on the size
            pass
    try:
        return program(model, torch.zeros(1, channels, *sides), {}), None
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise QdrError(f"torch cannot export the network: {reason}") from error


def _multiple(model: nn.Module, example: Tensor) -> tuple[int | None, bool]:
    """The least power of two whose odd multiples the network takes and answers in proportion; whether it keeps the shape."""
    set_mode(model, "float")
    with torch.no_grad():
        known = model(example.cpu())
        for multiple in _MULTIPLES:
            odd = -(-_SIDE // multiple) | 1
            height, width = multiple * odd, multiple * (odd + 2)
            try:
                got = model(torch.zeros(1, example.shape[1], height, width))
            except (RuntimeError, ValueError, AssertionError, IndexError):
                continue
            if all(
                a * e == b * k
                for a, b, e, k in zip(got.shape[2:], (height, width), example.shape[2:], known.shape[2:], strict=True)
            ):
                return multiple, known.shape == example.shape
    return None, known.shape == example.shape

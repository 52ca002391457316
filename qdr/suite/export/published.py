"""Published post-training quantization, run for real: ONNX Runtime's and NNCF's, on our FP32 file.

Both see the same calibration images as our own PTQ and write a Q/DQ file that the same engine runs. ONNX Runtime is set to
signed symmetric grids, per-channel weights and min-max, as its documentation advises for TensorRT. NNCF keeps its
defaults (mixed preset: symmetric weights, asymmetric activations), with fast bias correction. Their files keep these
tools' own choices, such as an INT32 bias, so TensorRT's rules are not asked of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor

from qdr.errors import QdrError, check_choice
from qdr.export import numerics
from qdr.export.file import read_onnx
from qdr.files import replacing

Images = list[NDArray[np.float32]]


def quantize_file(tool: str, source: Path, target: Path, images: Sequence[Tensor]) -> None:
    """Quantize the FP32 file `source` with a published tool, calibrated on `images` ([1, 3, h, w] in [0, 1])."""
    check_choice("quantization tool", tool, TOOLS)
    with replacing(target) as temporary:
        TOOLS[tool](source, temporary, [image.numpy() for image in images])
        model = read_onnx(temporary)
        numerics.attach(model)
        onnx.save(model, temporary)


def _onnxruntime(source: Path, target: Path, images: Images) -> None:
    from onnxruntime import quantization as ort

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image}

    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}
    kinds = {"weight_type": ort.QuantType.QInt8, "activation_type": ort.QuantType.QInt8}
    prepared = target.with_suffix(".prepared.onnx")
    logging.getLogger().setLevel(logging.ERROR)
    ort.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    ort.quantize_static(
        str(prepared),
        str(target),
        Reader(),
        quant_format=ort.QuantFormat.QDQ,
        per_channel=True,
        extra_options=symmetric,
        **kinds,
    )
    prepared.unlink()


def _nncf(source: Path, target: Path, images: Images) -> None:
    try:
        import nncf
    except ImportError as error:
        raise QdrError("the method ptq-nncf needs NNCF: pip install -c constraints.txt -e '.[nncf]'") from error
    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset(images, lambda image: {"image": image})
    quantized = nncf.quantize(read_onnx(source), data, subset_size=len(images))
    onnx.save(quantized, target)


TOOLS: dict[str, Callable[[Path, Path, Images], None]] = {"onnxruntime": _onnxruntime, "nncf": _nncf}

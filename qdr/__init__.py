"""Quantization-aware Distilled Restoration: a library, a tool, a benchmark.

The public names, each imported when it is first used:

    EFM             the Edge-Friendly Model; `EFM.from_pretrained("derain")`
    quantize        any network of one image, in place, with a `Report` of what runs in which precision
    Report          what `quantize` returns
    frozen_copy     a teacher of a network
    Distiller       Decoder-Free Distillation
    LMR             Learnable Magnitude Reweighting between losses
    parameters      groups for an optimizer: weights, and scales at a rate of their own
    export_onnx     a Q/DQ file that TensorRT, OpenVINO and ONNX Runtime read
    open_session    such a file as a function, in an engine that was shown to be right
    QdrError        what every mistake in the input raises

Threads of OpenMP that wait for one another sleep instead of spinning (OMP_WAIT_POLICY): beside other work on the same
cores a spinning thread holds the core that the thread it waits for needs. libgomp reads the variable when torch loads it,
so it is set here, which runs before any module of qdr imports torch, unless the environment sets it.

ONNX Runtime and OpenVINO keep files in the home folder and report, over the network, that they were imported. Both are kept
from it before they are: OpenVINO by hiding the package that reports.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, cast

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
cast("dict[str, object]", sys.modules).setdefault("openvino_telemetry", None)

if TYPE_CHECKING:
    from qdr.distill.distiller import Distiller, frozen_copy
    from qdr.distill.lmr import LMR
    from qdr.errors import QdrError
    from qdr.export.write import export_onnx
    from qdr.models.efm import EFM
    from qdr.quant.parameters import parameters
    from qdr.quant.quantize import quantize
    from qdr.quant.report import Report
    from qdr.runtimes.engine import open_session

_WHERE = {
    "EFM": "models.efm",
    "quantize": "quant.quantize",
    "Report": "quant.report",
    "frozen_copy": "distill.distiller",
    "Distiller": "distill.distiller",
    "LMR": "distill.lmr",
    "parameters": "quant.parameters",
    "export_onnx": "export.write",
    "open_session": "runtimes.engine",
    "QdrError": "errors",
}
__all__ = [  # noqa: RUF022, the order of use
    "EFM",
    "quantize",
    "Report",
    "frozen_copy",
    "Distiller",
    "LMR",
    "parameters",
    "export_onnx",
    "open_session",
    "QdrError",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'qdr' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"qdr.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

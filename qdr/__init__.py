"""Quantization-aware Distilled Restoration: benchmark suite and reference implementation.

Threads of OpenMP that wait for one another sleep instead of spinning (OMP_WAIT_POLICY): beside other work on the same
cores a spinning thread holds the core that the thread it waits for needs. libgomp reads the variable when torch loads it,
so it is set here, which runs before any module of qdr imports torch, unless the environment sets it.

ONNX Runtime and OpenVINO keep files in the home folder and report, over the network, that they were imported. Both are kept
from it before they are: OpenVINO by hiding the package that reports.
"""

import os
import sys
from typing import cast

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
cast("dict[str, object]", sys.modules).setdefault("openvino_telemetry", None)

"""The processor and the versions of the libraries that decide figures.

No host name, user name, path or time of day: two runs on one machine give the same record.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "pandas", "onnx", "onnxscript", "onnxruntime", "openvino", "matplotlib", "dvc")
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
)


def versions() -> dict[str, str | None]:
    """Of qdr, Python and the libraries that decide figures; None where one is not installed."""
    return {"qdr": _version("qdr"), "python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def processor() -> dict[str, Any]:
    """The processor: model, instruction sets that matter for INT8 and bf16, logical cores."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "cpu_flags": [flag for flag in FLAGS if flag in flags],
        "cpu_count": os.cpu_count(),
        "system": platform.system(),
        "machine": platform.machine(),
    }


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself; others emulate it, several times slower than FP32.

    With ONEDNN_MAX_CPU_ISA below those instructions it counts as one that does not.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    capped = limit not in ("ALL", "DEFAULT") and not any(name in limit for name in ("BF16", "FP16", "AMX", "AVX10"))
    return not capped and any("bf16" in flag for flag in processor()["cpu_flags"])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

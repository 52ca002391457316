"""Who made these figures: revision, versions, machine and seeds, recorded beside every result.

No host name, user name, path or time of day: two runs on one machine give the same record.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qdr import paths

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


def collect(profile: str, seeds: list[int], threads: int) -> dict[str, Any]:
    """The record of a set of results; revision and changes are None where the project is no git repository."""
    import torch

    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "qdr", "params.yaml")
    return {
        "profile": profile,
        "seeds": seeds,
        "threads": threads,
        "git_revision": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "versions": {name: number for name, number in versions().items() if name != "qdr"},
        "capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": True,
    } | machine()


def versions() -> dict[str, str | None]:
    """Of qdr, Python and the libraries that decide figures; None where one is not installed."""
    return {"qdr": _version("qdr"), "python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def machine() -> dict[str, Any]:
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
    return not capped and any("bf16" in flag for flag in machine()["cpu_flags"])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of the project; None without git or a repository, also where one merely lies around the project."""
    root = paths.project_root()
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

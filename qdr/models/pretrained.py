"""FP32 weights that come with the package: `qdr/weights/<task>-FP32.safetensors`.

The network's arguments (`channels`, `blocks`, `gating`) stand in the file's metadata as JSON, under one key, because
safetensors writes several in any order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from qdr.errors import QdrError, nearest

FOLDER = Path(__file__).resolve().parents[1] / "weights"
KEY = "network"


def load(task: str, folder: Path = FOLDER) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments and weights of a task's FP32 network.

    Raises:
        QdrError: when there is no such file, or it is damaged.
    """
    path = folder / f"{task}-FP32.safetensors"
    if not path.is_file():
        there = [file.name.removesuffix("-FP32.safetensors") for file in folder.glob("*-FP32.safetensors")]
        hint = nearest(task, there) if there else "this installation has none: train with `qdr train`"
        raise QdrError(f"no FP32 weights for task {task!r} ({path.name} is missing): {hint}")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(json.loads(about[KEY])), weights
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise QdrError(f"{path} is damaged ({error}): install qdr again") from error

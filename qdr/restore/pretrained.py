"""Packaged weights: `qdr/weights/<task>-<scheme>.onnx`, the exported INT8 files themselves, as they were measured.

Two per task: W8A8, and W7A8 for processors on which 8-bit weights overflow (`qdr.quant.policy`). Each carries, in its
metadata, the record that engines are held against (`qdr.export.numerics`), and under `qdr.weights` what it is: task, model,
method, training data, scores, revision, licence.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx

import qdr
from qdr.errors import QdrError, check_choice
from qdr.export import numerics
from qdr.export.file import read_onnx
from qdr.models import TASKS
from qdr.rows import check_keys

FOLDER = Path(qdr.__file__).parent / "weights"
SCHEMES = ("W8A8", "W7A8")  # the first is taken where an engine computes it
KEY = "qdr.weights"


def packaged(task: str) -> list[Path]:
    """The files of a task in this installation, each checked, in the order of `SCHEMES`.

    Raises:
        QdrError: on an unknown task, or weights that are not packaged or damaged.
    """
    check_choice("task", task, TASKS)
    files = [FOLDER / f"{task}-{scheme}.onnx" for scheme in SCHEMES]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise QdrError(
            f"no packaged weights for task {task!r} ({missing[0]} is missing): name an exported model with "
            "--model FILE.onnx, or train and pack them with `make repro` and `qdr release`"
        )
    for path in files:
        about(path)
    return files


def about(path: Path) -> dict[str, str]:
    """What packaged weights are.

    Raises:
        QdrError: when the file is damaged, changed since it was exported, or no packaged file.
    """
    try:
        model = read_onnx(path)
        if numerics.read(model, path.name) is None:
            raise QdrError("its graph is not the one that was exported")
        text = numerics.metadata(model, KEY)
        found = json.loads(text or "{}")
        check_keys(found, path.name, task=str, bits=str, model=str, licence=str)
    except (QdrError, ValueError) as error:
        raise QdrError(f"{path} is damaged ({error}): install qdr again") from error
    return dict(found)


def pack(model: onnx.ModelProto, header: dict[str, str]) -> bytes:
    """An exported model with its header, as the bytes of a packaged file; the same input gives the same bytes."""
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    numerics.set_metadata(packed, KEY, json.dumps(header, sort_keys=True))
    return packed.SerializeToString(deterministic=True)

"""Packaged weights: `qdr/weights/<task>.safetensors`, the numbers that the INT8 engine of a trained model stores.

A file holds the initializers of an exported W8A8 model by name: INT8 weights, their scales, the snapped FP32 biases and one
scale per quantization point; some hundred kilobytes. Its header says what they belong to (model, configuration), where they
come from, how good they were measured to be, and the sha256 of the tensors.

`onnx_file` makes the ONNX file from it: the exporter writes the architecture, and the stored initializers replace its
values, so that integers, scales and biases are the exported ones bit for bit. The file is kept in the cache folder
(XDG_CACHE_HOME, default ~/.cache) under the sha256 of the weights and of the code that builds the graph; the next call
finds it there and imports no PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

import qdr
from qdr.config import TASKS, ModelConfig
from qdr.errors import QdrError, check_choice
from qdr.paths import replacing
from qdr.rows import check_keys
from qdr.strict import build, parse_yaml

if TYPE_CHECKING:
    from torch import nn

    from qdr.export.qdq import Exporter

ROOT = Path(qdr.__file__).parent
FOLDER = ROOT / "weights"
LAYOUT = "qdr W8A8 initializers, 1"
_GRAPH_CODE = ("models", "quant", "export")  # what decides the graph
Tensors = Mapping[str, NDArray[Any]]


def onnx_file(task: str) -> Path:
    """The INT8 ONNX file of a task's packaged weights, from the cache, or built on first use (a few seconds).

    Raises:
        QdrError: on an unknown task, weights that are not packaged or damaged, or a cache that cannot be written.
    """
    weights = packaged(task)
    target = cache() / f"{task}-{_key(weights)}.onnx"
    if not target.is_file():
        about, tensors = load(weights)
        write_onnx(about, tensors, target)
    return target


def packaged(task: str) -> Path:
    """The weights of a task in this installation."""
    check_choice("task", task, TASKS)
    path = FOLDER / f"{task}.safetensors"
    if not path.is_file():
        raise QdrError(
            f"no packaged weights for task {task!r} ({path} is missing): name an exported model with --model FILE.onnx, "
            "or train and pack them with `make repro` and `qdr release`"
        )
    return path


def load(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Header and tensors of a weights file, checked against the header's sha256.

    Raises:
        QdrError: when it is damaged or of another layout.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise QdrError(f"{path} is damaged ({error}): install qdr again") from error
    check_keys(about, f"{path}: its header")
    if about.get("layout") != LAYOUT:
        raise QdrError(f"{path} has layout {about.get('layout')!r}, this qdr reads {LAYOUT!r}: install qdr again")
    if about.get("sha256") != digest(tensors):
        raise QdrError(f"{path} is damaged (its tensors are not those of its sha256): install qdr again")
    check_keys(about, f"{path}: its header", task=str, model=str, model_config=str)
    return about, tensors


def save(about: Mapping[str, str], tensors: Tensors, path: Path) -> None:
    """Write a weights file; `layout` and `sha256` are added to the header. The same input gives the same bytes: safetensors
    writes entries of the header in no fixed order, so ours is one entry, `about`, a JSON object.
    """
    header = json.dumps(dict(about) | {"layout": LAYOUT, "sha256": digest(tensors)}, sort_keys=True)
    plain = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(serialize(plain, metadata={"about": header}))


def digest(tensors: Tensors) -> str:
    """The sha256 of names, types, shapes and bytes, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tensor.shape} ".encode() + tensor.tobytes())
    return total.hexdigest()


def initializers(path: Path, about: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The model's own tensors in an exported file, without the constants of the graph.

    Raises:
        QdrError: when the file is not an export of the model that `about` names.
    """
    from qdr.export.qdq import read_onnx

    found = {t.name: numpy_helper.to_array(t) for t in read_onnx(path).graph.initializer}
    model = _skeleton(about)
    buffers = {name for name, _ in model.named_buffers()}
    names = buffers | ({name for name, _ in model.named_parameters()} & found.keys())
    if missing := sorted(names - found.keys()):
        raise QdrError(f"{path} is not an INT8 export of {about['model']}: it has no {missing[0]}")
    return {name: found[name] for name in names}


def write_onnx(about: Mapping[str, str], tensors: Tensors, target: Path, exporter: Exporter | None = None) -> None:
    """Write the ONNX file of a header and its tensors; an `exporter` of before has traced the model already.

    Raises:
        QdrError: when the tensors are not those of the model that the header names.
    """
    from qdr.export.check import check_tensorrt
    from qdr.export.qdq import Exporter, read_onnx
    from qdr.models.zoo import stride

    model = _skeleton(about)
    with replacing(target) as temporary:
        (exporter or Exporter()).write(model, temporary, about["model"], stride(model))
        proto = read_onnx(temporary)
        places = {t.name: t for t in proto.graph.initializer}
        for name, tensor in tensors.items():
            if name not in places or tuple(places[name].dims) != tensor.shape:
                raise QdrError(
                    f"the weights of task {about['task']!r} do not fit {about['model']} ({name}): install qdr again"
                )
            places[name].CopyFrom(numpy_helper.from_array(tensor, name))
        if broken := check_tensorrt(proto):
            raise QdrError(f"the weights of task {about['task']!r} break TensorRT's rules: {'; '.join(broken)}")
        onnx.save(proto, temporary)


def _skeleton(about: Mapping[str, str]) -> nn.Module:
    """The quantized network that a header names, its values not set."""
    import torch

    from qdr.methods import Recipe
    from qdr.models.zoo import build_model
    from qdr.quant.prepare import link, prepare

    config = build(ModelConfig, parse_yaml(about["model_config"], "model_config"), "model_config")
    model = build_model(about["model"], config)
    prepare(model.eval(), "W8A8", Recipe("", quantizer="lsq"))
    link(model, torch.zeros(1, 3, 64, 64))
    return model


def _key(weights: Path) -> str:
    total = hashlib.sha256(weights.read_bytes())
    for part in _GRAPH_CODE:
        for path in sorted((ROOT / part).rglob("*.py")):
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def cache() -> Path:
    """The folder of what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdr"

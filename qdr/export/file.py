"""Opens every ONNX file. It needs no PyTorch.

ONNX is protobuf, which runs nothing when it is parsed. Refused besides what is no protobuf: a file without a graph, and one
larger than any model here. Tensors that are kept in other files, as exporters write large models, are read from files in the
model's own folder alone: an ONNX file may name any path for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from qdr.errors import QdrError

LARGEST = 2**30  # bytes; protobuf ends at twice that


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an exported file.

    Raises:
        QdrError: when it is missing, too large, not an ONNX file, or keeps tensors in files that are missing, damaged or
            outside its folder.
    """
    if not path.is_file():
        raise QdrError(f"{path} does not exist: export it first (`dvc repro export`)")
    if path.stat().st_size > LARGEST:
        raise QdrError(f"{path} has more than {LARGEST} bytes: it is no model of qdr")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise QdrError(f"{path} is not an ONNX file: export it again (`dvc repro -f export`)") from error
    if not model.graph.node:
        raise QdrError(f"{path} is not an ONNX file, or one without a graph: export it again (`dvc repro -f export`)")
    beside = {_beside(path, tensor) for tensor in _tensors(model.graph) if uses_external_data(tensor)}
    if sum(file.stat().st_size for file in beside) > LARGEST:
        raise QdrError(f"{path} keeps more than {LARGEST} bytes in other files: it is too large a model")
    try:
        if beside:
            load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # whatever a file that is too short raises
        raise QdrError(
            f"{path} does not go with {', '.join(sorted(f.name for f in beside))} ({error}): copy both"
        ) from error
    return model


def external(path: Path) -> list[Path]:
    """The files in which an ONNX file keeps tensors, sorted; none where it cannot be read."""
    try:
        graph = onnx.load(path, format="protobuf", load_external_data=False).graph
        return sorted({_beside(path, tensor) for tensor in _tensors(graph) if uses_external_data(tensor)})
    except (DecodeError, ValueError, OSError, QdrError):
        return []


def _beside(path: Path, tensor: onnx.TensorProto) -> Path:
    """The file of a tensor, which must be in the model's folder."""
    location = ExternalDataInfo(tensor).location
    file = path.parent / location
    if path.parent.resolve() not in file.resolve().parents:
        raise QdrError(f"{path} keeps its tensor {tensor.name!r} in another file: export it as one file")
    if not file.is_file():
        raise QdrError(f"{path} keeps its weights in {location}, which is not beside it: copy that file there")
    return file


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor of a graph and of the graphs inside it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)

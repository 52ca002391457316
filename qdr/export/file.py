"""The one door through which an ONNX file comes in. It needs no PyTorch.

ONNX is protobuf, which runs nothing when it is parsed. Refused besides what is no protobuf: a file without a graph, one
larger than any model here, and tensors that are kept in other files (an ONNX file may name any path for them).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data

from qdr.errors import QdrError

LARGEST = 2**30  # bytes; protobuf ends at twice that


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an exported file.

    Raises:
        QdrError: when it is missing, too large, not an ONNX file, or keeps tensors elsewhere.
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
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            raise QdrError(f"{path} keeps its tensor {tensor.name!r} in another file: export it as one file")
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor of a graph and of the graphs inside it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)

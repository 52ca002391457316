"""An ONNX file that somebody brings, in the form of qdr's own: float32 [n, 3, h, w] in [0, 1] in and out, in one file.

What differs is mended in the graph, so that every engine, and the exact arithmetic they are held against, runs one model:

    weights in other files      read in, where they lie beside the file
    weights among the inputs    (old exporters) taken off the list
    [n, h, w, 3]                transposed
    float16, uint8              cast, uint8 after rounding
    0-255, or -1 to 1           scaled and shifted
    BGR                         swapped
    a batch of n                the image n times, of which the first result is taken

A file says what it takes by types and shapes, by the entries Image.NominalPixelRange and Image.BitmapPixelFormat of its
metadata (MetadataProps.md of ONNX), and by what it does first and last: x / 255 takes 0-255, 2 x takes 0-1, tanh gives -1 to
1. What it does not say is taken to be 0-1, and a note says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdr.errors import QdrError, check_choice
from qdr.export import numerics
from qdr.export.file import external, read_onnx
from qdr.export.graph import Graph

SPANS = {"0-1": (1.0, 0.0), "0-255": (255.0, 0.0), "signed": (2.0, -1.0)}  # value = gain * x + shift of x in [0, 1]
_NOMINAL = {"Normalized_0_1": "0-1", "NominalRange_0_255": "0-255", "Normalized_1_1": "signed"}
_TYPES = {TensorProto.FLOAT: "float", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # permutations between [n, c, h, w] and [n, h, w, c]
_SWAP = np.array([2, 1, 0])
_WIDE = 16  # a constant beyond it, or below its inverse, belongs to values of 0-255
Step = tuple[str, Any, dict[str, Any]]  # an operation, its constant (or None), its attributes
Sides = tuple[int | None, int | None]


@dataclass
class Model:
    """A file in the form of qdr's own.

    Args:
        path: of the file to open; the user's own where nothing had to be mended.
        sides: height and width that it takes, None where they are free.
        notes: what a user should know.
        own: whether qdr exported the file.
    """

    path: Path
    sides: Sides
    notes: list[str] = field(default_factory=list)
    own: bool = False


@dataclass(frozen=True)
class _End:
    """The input or the output of a file: its name, its shape (None where a side is free), type, layout and values."""

    name: str
    shape: tuple[int | None, ...]
    kind: int
    last: bool
    span: str | None

    @property
    def sides(self) -> Sides:
        height, width = self.shape[1:3] if self.last else self.shape[2:]
        return height, width


@contextmanager
def own_form(path: Path, values: str | None = None) -> Iterator[Model]:
    """The file in the form of qdr's own, which is there inside the block; errors inside name the user's file.

    Args:
        path: an ONNX file.
        values: what its values run over, a key of `SPANS`, or two joined by ":" where input and output differ; None: what
            the file says.

    Raises:
        QdrError: when the file cannot be read, takes or gives something else than an RGB image, or `values` is unknown.
    """
    model = read_onnx(path)
    found = Model(path, (None, None), own=numerics.metadata(model, numerics.KEY) is not None)
    if not _mend(model, found, values) and not external(path):
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="qdr-") as folder:
        found.path = Path(folder) / path.name
        found.path.write_bytes(model.SerializeToString(deterministic=True))
        try:
            yield found
        except QdrError as error:
            raise QdrError(str(error).replace(str(found.path), str(path))) from error


def _mend(model: onnx.ModelProto, found: Model, values: str | None) -> bool:
    """Bring a model to qdr's form in place and fill in what was found; whether anything had to be changed."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs, outputs = [value for value in model.graph.input if value.name not in stored], list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        taken, given = (", ".join(repr(value.name) for value in ends) or "nothing" for ends in (inputs, outputs))
        raise QdrError(f"{found.path} takes {taken} and gives {given}: a model of one picture in and one out is needed")
    graph = Graph(model)
    image = _end(found.path, "takes", inputs[0], _span_in(model, graph, inputs[0]))
    restored = _end(found.path, "gives", outputs[0], _span_out(graph, outputs[0]), image)
    spans = _asked(values) if values else (image.span or restored.span or "0-1", restored.span or image.span or "0-1")
    if not values and image.span is None and not found.own:
        found.notes.append(f"{found.path} does not say what its values run over: {spans[0]} is assumed (--values says it)")
    found.sides = image.sides
    swapped = (numerics.metadata(model, "Image.BitmapPixelFormat") or "").startswith("Bgr")
    batch = image.shape[0] if (image.shape[0] or 1) > 1 else None
    before = list(_inward(SPANS[spans[0]], image, batch, swapped))
    after = list(_outward(SPANS[spans[1]], restored, batch, swapped))
    if not before and not after and len(inputs) == len(model.graph.input):
        return False
    ends = "qdr.image" if before else image.name, "qdr.restored" if after else restored.name
    nodes = [*_chain(model, before, ends[0], image.name), *model.graph.node, *_chain(model, after, restored.name, ends[1])]
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    count = 1 if batch else image.shape[0]
    model.graph.input.append(_value(ends[0], count, image.sides))
    model.graph.output.append(_value(ends[1], count, restored.sides))
    return True


def _end(path: Path, verb: str, value: onnx.ValueInfoProto, span: str | None, like: _End | None = None) -> _End:
    """Check one end of a file; an output without a shape is laid out like the input."""
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    if like is not None and not shape:
        shape = (like.shape[0], None, None, None)
    last = len(shape) == 4 and shape[1] != 3 and (shape[3] == 3 or (shape[3] is None and like is not None and like.last))
    if len(shape) != 4 or shape[3 if last else 1] not in (3, None):
        shown = ", ".join("?" if side is None else str(side) for side in shape)
        raise QdrError(f"{path} {verb} {value.name!r} of [{shown}]: an RGB picture, [n, 3, h, w] or [n, h, w, 3], is needed")
    if tensor.elem_type not in _TYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise QdrError(f"{path} {verb} {value.name!r} of type {kind}: {', '.join(_TYPES.values())} are run here")
    return _End(value.name, shape, tensor.elem_type, last, "0-255" if tensor.elem_type == TensorProto.UINT8 else span)


def _asked(values: str) -> tuple[str, str]:
    spans = values.split(":", 1)
    for span in spans:
        check_choice("range of values", span, SPANS)
    return spans[0], spans[-1]


def _span_in(model: onnx.ModelProto, graph: Graph, image: onnx.ValueInfoProto) -> str | None:
    """What the input's values run over, where the file says it."""
    if (said := numerics.metadata(model, "Image.NominalPixelRange")) in _NOMINAL:
        return _NOMINAL[said or ""]
    for node in graph.readers(image.name):
        constant = graph.constant(node, 1) if node.input[0] == image.name else None
        if constant is None and node.op_type in ("Mul", "Add"):
            constant = graph.constant(node, 0)
        size = _largest(constant)
        if {"Div": size > _WIDE, "Sub": size > _WIDE, "Add": size > _WIDE, "Mul": 0 < size < 1 / _WIDE}.get(node.op_type):
            return "0-255"
        if node.op_type == "Mul" and size > 1:
            return "0-1"
    return None


def _span_out(graph: Graph, restored: onnx.ValueInfoProto) -> str | None:
    """What the output's values run over, where the file's last operation says it."""
    if (node := graph.maker(restored.name)) is None:
        return None
    size = max(_largest(graph.constant(node, place)) for place in range(len(node.input)))
    if {"Mul": size > _WIDE, "Div": 0 < size < 1 / _WIDE}.get(node.op_type):
        return "0-255"
    return {"Tanh": "signed", "Sigmoid": "0-1"}.get(node.op_type)


def _largest(constant: Any) -> float:
    return 0.0 if constant is None or not constant.size else float(np.abs(constant.astype(np.float64)).max())


def _inward(span: tuple[float, float], image: _End, batch: int | None, swapped: bool) -> Iterator[Step]:
    """What takes float [n, 3, h, w] in [0, 1] to the file's own input."""
    yield from _affine(*span)
    if swapped:
        yield "Gather", _SWAP, {"axis": 1}
    if batch:
        yield "Expand", np.array([batch, 1, 1, 1]), {}
    if image.kind == TensorProto.UINT8:
        yield "Add", np.float32(0.5), {}
        yield "Floor", None, {}
    if image.kind != TensorProto.FLOAT:
        yield "Cast", None, {"to": image.kind}
    if image.last:
        yield "Transpose", None, {"perm": _TO_LAST}


def _outward(span: tuple[float, float], restored: _End, batch: int | None, swapped: bool) -> Iterator[Step]:
    """What takes the file's own output to float [n, 3, h, w], in [0, 1] where it is in range."""
    gain, shift = span
    if restored.last:
        yield "Transpose", None, {"perm": _TO_FIRST}
    if restored.kind != TensorProto.FLOAT:
        yield "Cast", None, {"to": TensorProto.FLOAT}
    if batch:
        yield "Gather", np.array([0]), {"axis": 0}
    if swapped:
        yield "Gather", _SWAP, {"axis": 1}
    yield from _affine(1 / gain, -shift / gain)


def _affine(gain: float, shift: float) -> Iterator[Step]:
    if gain != 1:
        yield "Mul", np.float32(gain), {}
    if shift:
        yield "Add", np.float32(shift), {}


def _chain(model: onnx.ModelProto, steps: list[Step], first: str, last: str) -> Iterator[onnx.NodeProto]:
    """The nodes of some steps from one tensor to another; their constants go into the model."""
    for i, (kind, constant, attributes) in enumerate(steps):
        made = last if i == len(steps) - 1 else f"qdr.{last}.{i}"
        given = [first]
        if constant is not None:
            given.append(f"{made}.constant")
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(constant), given[1]))
        yield helper.make_node(kind, given, [made], **attributes)
        first = made


def _value(name: str, count: int | None, sides: Sides) -> onnx.ValueInfoProto:
    height, width = sides
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [count or "n", 3, height or "h", width or "w"])

"""Export to ONNX: an FP32 file, or one with real Q/DQ that TensorRT, OpenVINO and ONNX Runtime read.

What the file holds: INT8 weights as initializers behind a per-channel DequantizeLinear (axis 0), a signed Q/DQ pair
with zero point 0 at each quantization point, FP32 bias (TensorRT refuses an INT32 bias behind a DequantizeLinear), opset
19, height and width free in multiples of the model's stride, and the record that engines are held against
(`qdr.export.numerics`).

Tracing a network takes seconds and gives the same graph for every set of weights, so a process traces each architecture
once and afterwards only exchanges the initializers, which carry the names of the module's tensors.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from qdr.export import numerics
from qdr.export.outline import outline
from qdr.files import replacing
from qdr.quant.prepare import freeze, quantized_layers, set_mode

OPSET = 19
_graphs: dict[Hashable, onnx.ModelProto] = {}  # traced by this process, by outline and stride


class Exporter:
    """Writes models to ONNX.

    Args:
        graphs: by the name of their architecture, those that other processes have traced.
    """

    def __init__(self, graphs: dict[str, onnx.ModelProto] | None = None) -> None:
        self._graphs = dict(graphs or {})

    def write(self, model: nn.Module, path: Path, architecture: str, stride: int) -> None:
        """Write `model` ([n, 3, h, w] in [0, 1] to the same shape, h and w multiples of `stride`) to `path`.

        `architecture` names the graph: two models of one name differ in the values of their tensors only.
        """
        graph = self._graphs.get(architecture) or trace(model, stride)
        model.eval()
        freeze(model)
        proto = onnx.ModelProto()
        proto.CopyFrom(graph)
        _fill(proto, _exported(model))
        set_mode(model)
        onnx.checker.check_model(proto, full_check=True)
        numerics.attach(proto)
        with replacing(path) as temporary:
            onnx.save(proto, temporary)


def trace(model: nn.Module, stride: int) -> onnx.ModelProto:
    """The graph of a model's architecture without the values of its tensors. A process makes it once; leave it as it is."""
    model.eval()
    freeze(model)
    drawn = outline(model)
    key = drawn and (drawn, stride)
    graph = _graphs.get(key)
    if graph is None:
        image = torch.zeros(1, 3, 8 * stride, 6 * stride)
        graph = program(_distinct(model), image, {2: stride * _free("H"), 3: stride * _free("W")})
        _empty(graph, set(_exported(model)))
        if key:
            _graphs[key] = graph
    set_mode(model)
    return graph


def _free(name: str) -> Any:
    return torch.export.Dim(name, min=2, max=512)


def program(model: nn.Module, image: Tensor, free: dict[int, Any]) -> onnx.ModelProto:
    """The graph that torch.onnx.export makes of a model for an image, `free` naming the sides that may vary."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            model,
            (image,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["restored"],
            dynamic_shapes=(free,),
            verbose=False,
        )
    if made is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return _without_traces(made.model_proto)


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes, which hold source lines and paths of the machine and a fifth of the bytes."""
    graph = proto.graph
    parts: list[Any] = [graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
    return proto


def _exported(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that become initializers: the frozen buffers of quantized layers, the parameters of all others."""
    inside = {id(p) for layer in quantized_layers(model) for p in layer.parameters()}
    plain = {name: p for name, p in model.named_parameters() if id(p) not in inside}
    return plain | dict(model.named_buffers())


def _distinct(model: nn.Module) -> nn.Module:
    """A copy in which no two tensors are equal: the exporter would merge equal initializers under one name."""
    copied = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    for tensor in _exported(copied).values():
        values = torch.rand(tensor.shape, generator=generator) + 0.5
        tensor.data = values if tensor.is_floating_point() else (values * 60).to(tensor.dtype)
    return copied


def _empty(proto: onnx.ModelProto, names: set[str]) -> None:
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")


def _fill(proto: onnx.ModelProto, values: dict[str, Tensor]) -> None:
    left = set(values)
    for tensor in proto.graph.initializer:
        if tensor.name in left:
            value = values[tensor.name].detach().contiguous().numpy()
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
            left.remove(tensor.name)
    if left:
        raise RuntimeError(f"the exported graph has no initializer for {', '.join(sorted(left))}")

"""Which tensors a network that marks none itself keeps in 8 bits: the input of every layer, and of additions that agree.

An engine fuses a layer with the addition behind it where the other operand is quantized, and keeps a tensor in 8 bits where
all its readers want it so. An addition therefore reads the quantized tensor if one operand is the result of a layer that
nothing else reads, and every reader of the other is a layer or such an addition. The last addition, of the image and what is
restored in it, stays in floating point: quantized it alone would cost half a grey level.

An addition stands in the forward of some module: torch.fx rewrites it there, with the module's parts as they are. Where it
cannot be traced, additions stay in floating point.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch
from torch import fx, nn

from qdr.quant.record import Key, Op, Recording

_ADDS = (operator.add, torch.add)


def shared_inputs(recording: Recording, quantized: set[nn.Module]) -> set[Key]:
    """Tensors that additions read in 8 bits, beside the `quantized` layers that read them."""
    pairs = {}  # an addition that can fuse -> the operand that its layer does not make
    for op in recording.ops:
        operands = [key for key in op.inputs if not _fusible(recording, key, quantized)]
        if op.kind == "add" and len(op.inputs) == 2 and len(operands) == 1 and operands[0] not in recording.given:
            pairs[op] = operands[0]
    while True:
        wrong = [
            op
            for op, key in pairs.items()
            if not all(_wants(reader, key, pairs, quantized) for reader in recording.readers[key])
            or not any(reader.module in quantized for reader in recording.readers[key])
        ]
        if not wrong:
            return set(pairs.values())
        for op in wrong:
            del pairs[op]


def place(
    model: nn.Module, recording: Recording, tensors: set[Key], quantized: set[nn.Module], make: Callable[[], nn.Module]
) -> tuple[set[nn.Module], int]:
    """Put a quantizer made by `make` on each of `tensors`, in the modules whose graphs add it, in place.

    Returns:
        The layers that now read such a quantizer and need none of their own, and how many additions read one.
    """
    fed: set[nn.Module] = set()
    additions = 0
    modules = dict(model.named_modules())
    for name, graph in recording.graphs.items():
        module = modules[name]
        adds = [node for node in graph.nodes if node.op == "call_function" and node.target in _ADDS]
        sources = {n: None for add in adds for n in add.all_input_nodes if recording.tensors.get(n) in tensors}
        for node in sources:
            layers = [user for user in node.users if _reads(user, node, modules, name, quantized, recording)]
            adding = [user for user in node.users if user in adds]
            point = next(f"point{i}" for i in range(len(modules) + 1) if not hasattr(module, f"point{i}"))
            module.add_module(point, make())
            with graph.inserting_after(node):
                made = graph.call_module(point, (node,))
            additions += len(adding)
            for user in (*layers, *adding):
                user.replace_input_with(node, made)
            fed |= {modules[_join(name, str(user.target))] for user in layers}
        if sources:
            _rewrite(module, graph)
    return fed, additions


def _fusible(recording: Recording, key: Key, quantized: set[nn.Module]) -> bool:
    """Whether a tensor is the result of a quantized layer that has another behind it, and is read once."""
    maker = recording.makers.get(key)
    if maker is None or maker.module not in quantized or maker in recording.last:
        return False
    return len(recording.readers[key]) == 1 and key not in recording.result


def _wants(reader: Op, key: Key, pairs: dict[Op, Key], quantized: set[nn.Module]) -> bool:
    return reader.module in quantized or pairs.get(reader) == key


def _reads(
    user: fx.Node, node: fx.Node, modules: dict[str, nn.Module], name: str, quantized: set[nn.Module], recording: Recording
) -> bool:
    """Whether a node is the one call of a quantized layer."""
    layer = modules.get(_join(name, str(user.target))) if user.op == "call_module" else None
    return layer is not None and layer in quantized and recording.calls[layer] == 1 and user.args == (node,)


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _rewrite(module: nn.Module, graph: fx.Graph) -> None:
    """Make a graph the forward of a module."""
    graph.lint()
    kind = type(module)
    module.__class__ = type(kind.__name__, (kind,), {"forward": type(fx.GraphModule(module, graph)).forward})

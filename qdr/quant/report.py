"""What a quantized network computes in which precision, operation by operation, and why where it is floating point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

from qdr.quant.layers import QuantConv2d
from qdr.quant.prepare import refusal
from qdr.quant.record import Op, Recording


@dataclass(frozen=True)
class Layer:
    """One multiply-accumulate operation.

    Args:
        name: of the layer, or of the module whose forward calls the function.
        kind: class of the layer or name of the function.
        macs: multiply-accumulates for the example.
        weights: bits, None in floating point.
        activations: bits of its input, None in floating point.
        why: the reason where it stays in floating point.
    """

    name: str
    kind: str
    macs: int
    weights: int | None
    activations: int | None
    why: str = ""

    @property
    def quantized(self) -> bool:
        """Whether it multiplies integers."""
        return self.weights is not None


@dataclass(frozen=True)
class Report:
    """What `quantize` did.

    Args:
        scheme: e.g. "W8A8".
        layers: every multiply-accumulate operation in the order of execution.
        folded: batch normalizations that became part of a layer, with its name.
        additions: how many additions read 8-bit tensors.
        others: counts of the operations that stay in floating point by kind.
        unused: layers that the example did not reach; they stay as they are.
    """

    scheme: str
    layers: list[Layer]
    folded: dict[str, str]
    additions: int
    others: dict[str, int]
    unused: list[str]

    @property
    def floats(self) -> list[Layer]:
        """Multiply-accumulate operations that stay in floating point."""
        return [layer for layer in self.layers if not layer.quantized]

    @property
    def share(self) -> float:
        """The share of the multiply-accumulates that are of integers."""
        total = sum(layer.macs for layer in self.layers)
        return sum(layer.macs for layer in self.layers if layer.quantized) / max(1, total)

    def __str__(self) -> str:
        count = len(self.layers) - len(self.floats)
        lines = [
            f"{self.scheme}: {count} of {len(self.layers)} layers, {100 * self.share:.1f} % of the multiply-accumulates"
        ]
        for layer in self.layers:
            bits = f"W{layer.weights}A{layer.activations}" if layer.quantized else f"float: {layer.why}"
            lines.append(f"  {layer.name or '(root)'} ({layer.kind}, {layer.macs / 1e6:.2f} MMAC): {bits}")
        lines += [f"  {norm}: folded into {layer}" for norm, layer in self.folded.items()]
        lines += [f"  {name}: never ran, left as it is" for name in self.unused]
        if self.additions:
            lines.append(f"  additions that read 8-bit tensors: {self.additions}")
        if self.others:
            lines.append("  in float: " + ", ".join(f"{kind} x{n}" for kind, n in self.others.items()))
        return "\n".join(lines)


def report(
    model: nn.Module, scheme: str, before: Recording, folded: dict[str, str], additions: int, keep: Collection[str]
) -> Report:
    """Compare what ran `before` with the quantized layers of `model` now."""
    made = {layer.conv: layer for layer in model.modules() if isinstance(layer, QuantConv2d)}
    layers = [_layer(op, made, keep) for op in _merged(before)]
    others = Counter(op.kind for op in before.ops if not op.macs and op.kind not in _SILENT)
    ran = {op.module for op in before.ops}
    unused = [
        name for name, module in model.named_modules() if refusal(module) == "" and module not in ran and module not in made
    ]
    return Report(scheme, layers, folded, additions, dict(others), unused)


def _merged(before: Recording) -> list[Op]:
    """Operations that multiply; a layer that runs several times, or a function of one module, once."""
    found: dict[object, Op] = {}
    for op in before.ops:
        if op.macs:
            key = op.module or (op.name, op.kind)
            known = found.get(key)
            macs = op.macs + (known.macs if known else 0)
            found[key] = Op(op.name, op.kind, op.module, op.inputs, op.outputs, macs)
    return list(found.values())


def _layer(op: Op, made: dict[nn.Module, QuantConv2d], keep: Collection[str]) -> Layer:
    layer = made.get(op.module) if op.module is not None else None
    if layer is not None:
        source = layer.source
        return Layer(op.name, op.kind, op.macs, layer.bits, source.bits if source else None)
    return Layer(op.name, op.kind, op.macs, None, None, "kept by request" if op.name in keep else refusal(op.module))


_SILENT = (  # operations that move no number
    *("Identity", "QuantPoint", "view", "reshape", "flatten", "unflatten", "transpose", "permute", "chunk", "split"),
    *("getitem", "contiguous", "clone", "detach", "unsqueeze", "squeeze", "expand", "view_as", "to", "type", "float"),
)

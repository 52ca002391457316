"""Turn an FP32 network into a quantized one: insert the layers, find each convolution's source, calibrate.

`insert` replaces each `QuantPoint` by an `ActivationQuantizer` and each `nn.Conv2d` by a `QuantConv2d`, in place.
`calibrate` runs images through it once: the observers see the values, and the pass also finds which quantizer feeds
which convolution, by tensor identity. A convolution that no quantizer feeds is an error, because an engine would run
it in FP32 unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from qdr.errors import QdrError
from qdr.models.blocks import QuantPoint
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import decide


def insert(model: nn.Module, scheme: str, observer: str) -> nn.Module:
    """Replace points and convolutions in `model` by quantized layers, by the scheme's rules. Returns `model`."""
    for name, module in list(model.named_modules()):
        rule = decide(name, scheme)
        if isinstance(module, QuantPoint):
            _replace(model, name, ActivationQuantizer(rule.activations, observer))
        elif isinstance(module, nn.Conv2d):
            _replace(model, name, QuantConv2d(module, rule.weights, observer))
    return model


def calibrate(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Set every scale from FP32 activations on `images` ([n, 3, h, w] in [0, 1]) and from the weights."""
    model.eval()
    with torch.no_grad():
        for image in images:
            link(model, image)
    for module in model.modules():
        if isinstance(module, ActivationQuantizer | QuantConv2d):
            module.settle()


def link(model: nn.Module, image: Tensor) -> None:
    """Tell each convolution which quantizer its input comes from, by one forward pass."""
    made: dict[int, tuple[Tensor, ActivationQuantizer]] = {}
    names = {module: name for name, module in model.named_modules()}

    def remember(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        fresh = output.view_as(output)  # an observing quantizer returns its input: give each its own tensor
        assert isinstance(module, ActivationQuantizer)
        made[id(fresh)] = (fresh, module)
        return fresh

    def find(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, QuantConv2d)
        if id(inputs[0]) not in made:
            raise QdrError(f"convolution {names[module]!r} has an input that no QuantPoint makes: add one in the model")
        module.feed_from(made[id(inputs[0])][1])

    hooks = []
    for module in model.modules():
        if isinstance(module, ActivationQuantizer):
            hooks.append(module.register_forward_hook(remember))
        elif isinstance(module, QuantConv2d):
            hooks.append(module.register_forward_pre_hook(find))
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()


def freeze(model: nn.Module) -> None:
    """Switch to export mode: layers emit ONNX Q/DQ with their present weights and scales."""
    for module in model.modules():
        if isinstance(module, ActivationQuantizer | QuantConv2d):
            module.freeze()


def thaw(model: nn.Module) -> None:
    """Switch to fake quantization with the scales as they are; what observers saw is forgotten."""
    for module in model.modules():
        if isinstance(module, ActivationQuantizer | QuantConv2d):
            module.mode = "quantize"
        if isinstance(module, ActivationQuantizer):
            module.seen = []


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)

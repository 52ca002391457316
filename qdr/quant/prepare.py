"""Turn an FP32 network into a quantized one: insert the layers, find each convolution's source, calibrate.

A network made for integer engines marks its 8-bit tensors itself with `QuantPoint`s, and `prepare` puts a quantizer at
each. Any other network, unmodified, gets one in front of each convolution: every input of a convolution is then on a grid,
and what lies between (normalization, gates) stays in FP32. A batch normalization right after a convolution, in one
`nn.Sequential` with it, is folded into it first: the quantized weights are then those that an engine multiplies by.

`calibrate` runs images through the network once: the observers see the values, and the pass also finds which quantizer
feeds which convolution, by tensor identity. A convolution that no quantizer feeds is an error, because an engine would
run it in FP32 unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from qdr.data.calibration import measurable
from qdr.errors import QdrError
from qdr.methods import Recipe
from qdr.models.blocks import QuantPoint
from qdr.models.peers.norm import BatchNorm
from qdr.quant.layers import ActivationQuantizer, Mode, QuantConv2d
from qdr.quant.policy import FLOAT, decide


def prepare(model: nn.Module, scheme: str, recipe: Recipe) -> nn.Module:
    """Insert quantized layers into `model`, in place, by the scheme's rules and the recipe's quantizer. Returns `model`."""
    fold(model)
    marked = any(isinstance(module, QuantPoint) for module in model.modules())
    for name, module in list(model.named_modules()):
        rule = decide(name, scheme)
        point = ActivationQuantizer(recipe.quantizer, rule.activations, recipe.observer, rule.unsigned)
        if isinstance(module, QuantPoint) and rule.activations != FLOAT:
            _replace(model, name, point)
        elif isinstance(module, nn.Conv2d) and rule.weights != FLOAT:
            channelwise = recipe.granularity == "channel"
            conv = QuantConv2d(module, recipe.quantizer, rule.weights, recipe.weight_observer, channelwise)
            _replace(model, name, conv if marked else nn.Sequential(point, conv))
    return model


def fold(model: nn.Module) -> None:
    """Multiply batch normalizations, with their running statistics, into the convolutions before them, in place."""
    for chain in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for i, (conv, norm) in enumerate(pairwise(chain)):
            if not isinstance(conv, nn.Conv2d) or not isinstance(norm, BatchNorm | nn.BatchNorm2d):
                continue
            with torch.no_grad():
                mean, gain, shift = _affine(norm)
                bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
                conv.bias = nn.Parameter((bias - mean) * gain + shift)
                conv.weight.mul_(gain.reshape(-1, 1, 1, 1))
            chain[i + 1] = nn.Identity()


def calibrate(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Set every scale from FP32 activations on `images` ([n, c, h, w], as the network takes them) and from the weights.

    Raises:
        QdrError: when nothing can be measured on the images (`qdr.data.calibration`), or a scale is no positive number.
    """
    model.eval()
    with torch.no_grad():
        for image in measurable(images):
            link(model, image)
    for module in quantized_layers(model):
        module.settle()
    check_scales(model)


def check_scales(model: nn.Module) -> None:
    """Refuse scales that no engine computes with: zero, negative, infinite or no numbers.

    Raises:
        QdrError: naming the layer.
    """
    for name, module in model.named_modules():
        if isinstance(module, ActivationQuantizer | QuantConv2d):
            x = module.conv.weight if isinstance(module, QuantConv2d) else torch.empty(0)
            scale = module.quantizer.scale(x).detach()
            if not (torch.isfinite(scale) & (scale > 0)).all():
                raise QdrError(
                    f"the scale of {name!r} is {float(scale[~((scale > 0) & scale.isfinite())].flatten()[0])}: the model's "
                    "weights or its training broke, start from weights that restore a picture"
                )


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
    for module in quantized_layers(model):
        if isinstance(module, ActivationQuantizer):
            hooks.append(module.register_forward_hook(remember))
        else:
            hooks.append(module.register_forward_pre_hook(find))
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()


def quantized_layers(model: nn.Module) -> list[ActivationQuantizer | QuantConv2d]:
    """The quantized layers, in the order of their registration."""
    return [module for module in model.modules() if isinstance(module, ActivationQuantizer | QuantConv2d)]


def freeze(model: nn.Module) -> None:
    """Switch to export mode: layers emit ONNX Q/DQ with their present weights and scales.

    Raises:
        QdrError: when a scale is no positive number, or a quantizer has no form that engines run.
    """
    check_scales(model)
    for module in quantized_layers(model):
        module.freeze()


def thaw(model: nn.Module, mode: Mode = "quantize") -> None:
    """Switch to fake quantization with the scales as they are (or to FP32, mode "float"); forget what observers saw."""
    for module in quantized_layers(model):
        module.mode = mode
        if isinstance(module, ActivationQuantizer):
            module.forget()


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _affine(norm: BatchNorm | nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor]:
    """A normalization in evaluation, (x - mean) * gain + shift, [c] each."""
    if isinstance(norm, BatchNorm):
        return norm.mean.flatten(), (norm.weight / norm.deviation).flatten(), norm.bias.flatten()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    deviation = (norm.running_var + norm.eps).sqrt()
    gain, shift = (norm.weight, norm.bias) if norm.affine else (torch.ones_like(deviation), torch.zeros_like(deviation))
    return norm.running_mean, gain / deviation, shift

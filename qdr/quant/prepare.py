"""Turn an FP32 network into a quantized one: insert the layers, find each convolution's source, calibrate.

A network made for integer engines marks its 8-bit tensors itself with `QuantPoint`s, and `prepare` puts a quantizer at
each. Any other network, unmodified, gets one in front of each convolution, transposed convolution and linear layer, which
an addition shares where engines then fuse it (`qdr.quant.place`); what lies between (normalization, attention, gates) stays
in FP32. Batch normalizations are folded first (`qdr.quant.fold`). One pass over the network shows which layers run, which
are first and last, and what multiplies without being a layer (`qdr.quant.record`). A second one shows that, before any
rounding, the network computes what it did.

`calibrate` runs images through the network once: the observers see the values, and the pass also finds which quantizer
feeds which convolution, by tensor identity. A convolution that no quantizer feeds is an error, because an engine would
run it in FP32 unnoticed.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from qdr.errors import QdrError
from qdr.images.calibration import measurable
from qdr.models.blocks import QuantPoint
from qdr.quant.fold import fold, replace
from qdr.quant.layers import ActivationQuantizer, Mode, QuantConv2d, QuantConvTranspose2d, QuantLinear
from qdr.quant.place import place, shared_inputs
from qdr.quant.policy import Place, QuantizerConfig, Rule, decide
from qdr.quant.record import Op, Recording, evaluation, record

LAYERS: dict[type[nn.Module], type[QuantConv2d]] = {
    nn.Conv2d: QuantConv2d,
    nn.ConvTranspose2d: QuantConvTranspose2d,
    nn.Linear: QuantLinear,
}
_SIDE = 64
_SAME = 1e-3  # of the largest value


class Pad(nn.Module):
    """Pad images by other values than zeros, before they are quantized.

    Padding in circles is cut and joined, because OpenVINO does not know it (Pad's mode "wrap" of ONNX).

    Args:
        amounts: left, right, top, bottom.
        mode: "reflect", "replicate" or "circular".
    """

    def __init__(self, amounts: list[int], mode: str) -> None:
        super().__init__()
        self.amounts, self.mode = amounts, mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode != "circular":
            return F.pad(x, self.amounts, self.mode)
        left, right, top, bottom = self.amounts
        x = torch.cat([x[..., x.shape[-1] - left :], x, x[..., :right]], dim=-1)
        return torch.cat([x[..., x.shape[-2] - top :, :], x, x[..., :bottom, :]], dim=-2)


def prepare(
    model: nn.Module, scheme: str, config: QuantizerConfig, example: Tensor | None = None, keep: Collection[str] = ()
) -> nn.Module:
    """Insert quantized layers into `model`, in place, by the scheme's rules and the configured quantizer. Returns `model`.

    `example` is an image [n, c, h, w] the network takes (zeros [1, 3, 64, 64]); the rest as of `insert`.
    """
    insert(model, scheme, config, torch.zeros(1, 3, _SIDE, _SIDE) if example is None else example, keep)
    return model


def insert(
    model: nn.Module, scheme: str, config: QuantizerConfig, example: Tensor, keep: Collection[str] = (), strict: bool = False
) -> tuple[Recording, dict[str, str], int]:
    """Insert quantized layers into `model`, in place.

    Args:
        model: any network of one image; classes of its modules may change to subclasses of themselves.
        scheme: e.g. "W8A8".
        config: quantizer, observers and granularity.
        example: an image [n, c, h, w] the network takes.
        keep: names of layers that stay in FP32.
        strict: refuse operations that would multiply in FP32, before any layer is replaced.

    Returns:
        What the network did (batch normalizations folded), which normalizations were folded into which layers, and how
        many additions read quantized tensors.

    Raises:
        QdrError: on an unknown scheme, or if the network would compute something else.
    """
    usual = decide("every", scheme)
    device = next(model.parameters(), torch.empty(0)).device
    image = example.to(device)
    if type(model) in LAYERS:
        _nest(model)
    before = _run(model, image)
    folded = fold(model, record(model, image, traced=False))
    if config.additions == "float":
        _unmark(model)
    marked = any(isinstance(module, QuantPoint) for module in model.modules())
    recording = record(model, image, traced=not marked)
    if strict:
        _refuse_floats(recording, keep)
    layers = {op.module: op for op in recording.ops if refusal(op.module) == "" and op.name not in keep}
    quantized = {layer for layer in layers if layer is not None}
    make = partial(_point, config, device)
    share = not marked and usual.activations == 8 and config.additions == "int8"
    tensors = shared_inputs(recording, quantized) if share else set()
    fed, additions = place(model, recording, tensors, quantized, partial(make, usual))
    for op in recording.ops:
        if isinstance(op.module, QuantPoint):
            replace(model, op.module, make(decide("image" if op in recording.first else "every", scheme)))
    for layer, op in layers.items():
        assert layer is not None
        rule, channelwise = decide(_place(op, recording), scheme), config.granularity == "channel"
        bare = marked or layer in fed
        pad = [] if bare else _take_padding(layer)
        inner = LAYERS[type(layer)](layer, config.quantizer, rule.weights, config.weight_observer, channelwise)
        point = make(decide("image" if op in recording.first else "every", scheme))
        chain = OrderedDict([*pad, ("point", point), ("layer", inner)])
        replace(model, layer, inner if bare else nn.Sequential(chain))
    _check_same(model, image, before)
    return recording, folded, additions


def refusal(module: nn.Module | None) -> str:
    """Why a module is not quantized; "" if it is."""
    if module is None:
        return "a function, not a layer"
    plain = type(module) in LAYERS or (
        parametrize.is_parametrized(module) and any(isinstance(module, kind) for kind in LAYERS)
    )
    if not plain:
        return f"{type(module).__name__} is no plain Conv2d, ConvTranspose2d or Linear"
    if parametrize.is_parametrized(module) or module._forward_pre_hooks or module._forward_hooks:
        return "its weight is computed (weight or spectral norm) or it has hooks: remove them first"
    return ""


def calibrate(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Set every scale from FP32 activations on `images` ([n, c, h, w], as the network takes them) and from the weights.

    Raises:
        QdrError: when nothing can be measured on the images (`qdr.images.calibration`), a layer saw none of them, or a scale
            is no positive number.
    """
    model.eval()
    device = next(model.parameters(), torch.empty(0)).device
    with torch.no_grad():
        for image in measurable(images):
            link(model, image.to(device))
    names = {module: name for name, module in model.named_modules()}
    for module in quantized_layers(model):
        if isinstance(module, ActivationQuantizer) and not module.seen:
            raise QdrError(f"no calibration image reached {names[module]!r}: calibrate on at least one that does")
        module.finish_calibration()
    check_scales(model)


def check_scales(model: nn.Module) -> None:
    """Refuse scales that no engine computes with: zero, negative, infinite or no numbers.

    Raises:
        QdrError: naming the layer.
    """
    for name, module in model.named_modules():
        if isinstance(module, ActivationQuantizer | QuantConv2d):
            x = module.weight if isinstance(module, QuantConv2d) else torch.empty(0)
            scale = module.quantizer.scale(x).detach()
            if not (torch.isfinite(scale) & (scale > 0)).all():
                raise QdrError(
                    f"the scale of {name!r} is {float(scale[~((scale > 0) & scale.isfinite())].flatten()[0])}: the model's "
                    "weights or its training broke, start from weights that restore a picture"
                )


def link(model: nn.Module, image: Tensor) -> None:
    """Tell each convolution which quantizer its input comes from, by one forward pass.

    Raises:
        QdrError: when none makes it, or two do.
    """
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
        source = made[id(inputs[0])][1]
        if module.source not in (None, source):
            both = f"{names[module.source]!r} and {names[source]!r}"
            raise QdrError(f"convolution {names[module]!r} runs twice, behind {both}: give both one QuantPoint")
        module.feed_from(source)

    hooks = []
    for module in quantized_layers(model):
        if isinstance(module, ActivationQuantizer):
            hooks.append(module.register_forward_hook(remember))
        else:
            module._source = ()
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


def set_mode(model: nn.Module, mode: Mode = "quantize") -> None:
    """Switch to fake quantization with the scales as they are (or to FP32, mode "float"); forget what observers saw."""
    for module in quantized_layers(model):
        module.mode = mode
        if isinstance(module, ActivationQuantizer):
            module.forget()


def _unmark(model: nn.Module) -> None:
    """Take a network's own marks out of it."""
    for point in [module for module in model.modules() if isinstance(module, QuantPoint)]:
        replace(model, point, nn.Identity())


def _point(config: QuantizerConfig, device: torch.device, rule: Rule) -> ActivationQuantizer:
    return ActivationQuantizer(config.quantizer, rule.activations, config.observer, rule.unsigned).to(device)


def _place(op: Op, recording: Recording) -> Place:
    return "first" if op in recording.first else "last" if op in recording.last else "every"


def _refuse_floats(recording: Recording, keep: Collection[str]) -> None:
    floats = {
        f"{op.name or '(root)'} ({op.kind}): {'kept by request' if op.name in keep else refusal(op.module)}": None
        for op in recording.ops
        if op.macs and (refusal(op.module) != "" or op.name in keep)
    }
    if floats:
        raise QdrError(f"strict: {len(floats)} operations would multiply in floating point: {'; '.join(floats)}")


def _take_padding(layer: nn.Module) -> list[tuple[str, nn.Module]]:
    """The padding of a convolution by other values than zeros, taken out of it."""
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode == "zeros":
        return []
    pad = Pad(list(layer._reversed_padding_repeated_twice), layer.padding_mode)
    layer.padding_mode, layer.padding = "zeros", (0, 0)
    return [("padding", pad)]


def _nest(layer: nn.Module) -> None:
    """Make a network that is a single layer a chain of one, in place."""
    inner = copy.copy(layer)
    layer.__class__ = nn.Sequential
    layer.__dict__.clear()
    nn.Module.__init__(layer)
    layer.add_module("0", inner)


def _run(model: nn.Module, image: Tensor) -> Tensor:
    with evaluation(model), torch.no_grad():
        result = model(image)
    if not isinstance(result, Tensor):
        raise QdrError(f"the network returns {type(result).__name__}, not one tensor: wrap it so that it returns the image")
    return result


def _check_same(model: nn.Module, image: Tensor, before: Tensor) -> None:
    """Hold the prepared network, before any rounding, against what it was."""
    if not bool(before.isfinite().all()):
        raise QdrError("the network gives values that are no numbers: start from weights that restore a picture")
    modes = [(layer, layer.mode) for layer in quantized_layers(model)]
    for layer, _ in modes:
        layer.mode = "float"
    try:
        after = _run(model, image)
    except (AttributeError, TypeError) as error:
        raise QdrError(f"the network reads what its layers no longer have ({error}): it cannot be quantized") from error
    finally:
        for layer, mode in modes:
            layer.mode = mode
    off = float((after - before).abs().max() / before.abs().max().clamp(min=1e-6))
    if not off <= _SAME:
        raise QdrError(f"prepared for quantization the network computes something else ({off:.1e} of its largest value)")

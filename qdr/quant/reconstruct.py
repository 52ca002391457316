"""Reconstruct a calibrated network part by part, without labels: learned rounding, and activation steps that follow.

A part of the quantized network is fitted to give on the calibration images what the same part gives in FP32, part after part
in the order they run, each on inputs as the parts before leave them. Three methods:

- `adaround`, layer by layer (Nagel et al., ICML 2020, arXiv 2004.10568, eq. 21 to 25). A weight takes the integer below or
  above: w_hat = s clamp(floor(w / s) + h(v), low, high) with the rectified sigmoid h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1).
  Loss: squared error of the layer's output, after a ReLU where one follows at once, and f_reg = sum 1 - |2 h(v) - 1|^beta,
  whose beta falls from 20 to 2 after a warm-up and drives every h to 0 or 1. Activation steps stay as calibrated.
- `brecq`, block by block (Li et al., ICLR 2021, arXiv 2102.05426). The error of a block's output is weighted by the squared
  gradient of the network's loss (eq. 10). READING: without labels that loss is the squared difference of the quantized and
  the FP32 network's outputs, its gradient is taken once, in the calibrated network, and activation steps (LSQ) are learned
  beside the rounding, not after it.
- `qdrop`, block by block (Wei et al., ICLR 2022, arXiv 2203.05740, section 4): each value that a block reads is, with
  probability 1/2, that of the FP32 network, and each that is quantized inside it the one before its quantizer. Activation
  steps are learned; no weighting.

READING: the paper's 20,000 steps a part are `STEPS` here, at learning rates that let h and log-scales get as far; losses are
divided by the error of rounding to nearest, so that `STRENGTH` holds whatever the values' scale. A block is the outermost
module below the network that holds at most `MOST` quantized layers, takes tensors and returns one. A quantizer that stands
in no block, such as the first of the EFM, keeps its calibrated step.

Measured at W4A4: packaged EFMs, 32 calibration images, PSNR of 40 held-out crops of 192 pixels under rain (FP32 26.64 dB)
and noise (33.89). Calibration alone 24.85 and 25.93 dB; equalised and biases corrected 25.91 and 26.57; `adaround` 25.86 and
27.47; `brecq` 26.26 and 27.58; `qdrop` 26.67 and 27.80. At W8A8 under noise 32.96 and, by
`qdrop`, 33.37. Each fit took 46 to 75 s of one core of a Xeon.

Learned integers end in the weights themselves, w = s q: the ordinary quantizer gives q back, and everything after
(export, numerics, engines) knows nothing of it.

`correct_biases` moves each bias by the mean error of the layer's output (Nagel et al., ICCV 2019, arXiv 1906.04721,
section 4.2, with measured means, appendix D).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from qdr.errors import QdrError, check_choice
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.prepare import check_scales, set_mode
from qdr.quant.record import record

Show = Callable[[int, int], None]
STEPS = 300  # of a part
BATCH, FORWARD = 4, 16  # tiles of a step; of a pass without gradients
SIDE = 64  # pixels of a tile of a calibration image
TILES = 64
MOST = 8
LR_ROUNDING, LR_SCALES = 5e-2, 1e-2
STRENGTH = 10.0  # of f_reg's mean over the weights of a part
WARMUP = 0.2  # share of the steps without f_reg
BETA = (20.0, 2.0)
_LOW, _HIGH = -0.1, 1.1  # gamma and zeta of the rectified sigmoid


@dataclass(frozen=True)
class Method:
    """What is fitted and how.

    Args:
        blocks: fit blocks, not single layers.
        steps: learn the activation steps inside a part.
        drop: probability of the FP32 value in place of the quantized one.
        weighted: weight errors by the squared gradient at a part's output.
    """

    blocks: bool
    steps: bool = False
    drop: float = 0.0
    weighted: bool = False


METHODS = {
    "adaround": Method(blocks=False),
    "brecq": Method(blocks=True, steps=True, weighted=True),
    "qdrop": Method(blocks=True, steps=True, drop=0.5),
}


@dataclass
class _Seen:
    """What a part read and gave in one pass, [n, ...] each; a part that runs several times has all its calls in n."""

    inputs: list[Tensor]
    output: Tensor


class _Reached(Exception):
    """The part has run: the rest of the pass is not needed."""


def reconstruct(
    model: nn.Module,
    images: Sequence[Tensor],
    method: str,
    seed: int = 0,
    steps: int = STEPS,
    show: Show = lambda done, of: None,
) -> None:
    """Fit a calibrated `model` to its own FP32 form, in place, on the device it is on; it ends in fake quantization.

    Args:
        model: calibrated by `qdr.quant.prepare.calibrate`, weights as in FP32.
        images: as it was calibrated on, [n, c, h, w] each; tiles of up to 64 pixels of them are used.
        method: a name of `METHODS`.
        seed: of the batches and of what is dropped.
        steps: of each part.
        show: called after each part with how many are done, of how many.

    Raises:
        QdrError: on an unknown method, or a quantizer whose scales follow the weights (DoReFa, PACT), which would undo
            learned integers.
    """
    how = METHODS[check_choice("reconstruction", method, METHODS)]
    original, data = _reference(model, images)
    parts = _parts(original, data[:2], how.blocks)
    rectified = set() if how.blocks else _rectified(original, data[:2], set(parts))
    gradients = _gradients(model, original, data, parts) if how.weighted else {}
    random = torch.Generator(data.device).manual_seed(seed)
    for done, (name, calls) in enumerate(parts.items(), 1):
        real = _pass(original, name, calls, data)
        read = _pass(model, name, calls, data).inputs
        weight = gradients.get(name, torch.ones_like(real.output[:1]))
        _fit(model.get_submodule(name), how, real, read, weight, name in rectified, steps, random)
        show(done, len(parts))
    check_scales(model)


def correct_biases(model: nn.Module, images: Sequence[Tensor]) -> None:
    """Add to every bias of a calibrated `model`, in place and in order, what its layer's mean output [out] is off by.

    `images` as of `reconstruct`. A layer without a bias stays as it is.
    """
    original, data = _reference(model, images)
    for name, calls in _parts(original, data[:2], blocks=False).items():
        layer = model.get_submodule(name)
        assert isinstance(layer, QuantConv2d)
        if layer.real_bias is not None:
            off = _pass(original, name, calls, data).output - _pass(model, name, calls, data).output
            axis = 1 if layer.weight.dim() == 4 else off.dim() - 1  # of the channels
            with torch.no_grad():
                layer.real_bias.add_(off.mean(dim=[d for d in range(off.dim()) if d != axis]))


def _reference(model: nn.Module, images: Sequence[Tensor]) -> tuple[nn.Module, Tensor]:
    """The FP32 form of a calibrated `model`, which goes to fake quantization, and tiles of the images, on its device."""
    model.eval()
    set_mode(model)
    original = copy.deepcopy(model).requires_grad_(False)
    set_mode(original, "float")
    return original, _tiles(images).to(next(model.parameters()).device)


def soft(v: Tensor) -> Tensor:
    """The rectified sigmoid h(v), in [0, 1].

    >>> soft(torch.tensor([-9.0, 0.0, 9.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (torch.sigmoid(v) * (_HIGH - _LOW) + _LOW).clamp(0, 1)


class Rounding:
    """The learned rounding of a layer's weights.

    Args:
        layer: calibrated; its present weight is where the rounding starts, h(v) = w / s - floor(w / s).
    """

    def __init__(self, layer: QuantConv2d) -> None:
        self.layer, quantizer = layer, layer.quantizer
        self.low, self.high = quantizer.low, quantizer.high
        with torch.no_grad():
            weight = layer.weight.detach()
            self.scale = quantizer.scale(weight)
            self.nearest = quantizer.integers(weight) * self.scale
            self.floor = torch.floor(weight / self.scale)
            share = (weight / self.scale - self.floor - _LOW) / (_HIGH - _LOW)
            self.v = torch.log(share / (1 - share)).requires_grad_()

    def weight(self) -> Tensor:
        """The weight at the present h(v)."""
        return (self.floor + soft(self.v)).clamp(self.low, self.high) * self.scale

    def undecided(self, beta: float) -> Tensor:
        """f_reg, summed over the weights."""
        return (1 - (2 * soft(self.v) - 1).abs().pow(beta)).sum()

    def finish(self) -> None:
        """Write s q into the layer's weight.

        Raises:
            QdrError: where the layer's quantizer does not give q back.
        """
        with torch.no_grad():
            integers = (self.floor + (self.v > 0)).clamp(self.low, self.high)
            self.layer.weight.copy_(integers * self.scale)
            if not torch.equal(self.layer.quantizer.integers(self.layer.weight), integers):
                raise QdrError("this quantizer's scales follow the weights: learned rounding needs LSQ, LSQ+ or ste")


def _fit(
    part: nn.Module,
    how: Method,
    real: _Seen,
    read: list[Tensor],
    weight: Tensor,
    rectified: bool,
    steps: int,
    random: torch.Generator,
) -> None:
    """Fit one part to `real`, on the inputs `read` that it has in the quantized network."""
    layers = {name: module for name, module in part.named_modules() if isinstance(module, QuantConv2d)}
    points = [module for module in part.modules() if isinstance(module, ActivationQuantizer)]
    roundings = {f"{name}.conv.weight".removeprefix("."): Rounding(layer) for name, layer in layers.items()}
    scales = [p for point in points for p in point.parameters() if p.requires_grad] if how.steps else []
    count = sum(rounding.v.numel() for rounding in roundings.values())
    each = weight.expand_as(real.output)

    def run(weights: dict[str, Tensor], inputs: list[Tensor]) -> Tensor:
        output: Tensor = functional_call(part, weights, tuple(inputs))
        return F.relu(output) if rectified else output

    def dropped(real_value: Tensor, value: Tensor) -> Tensor:
        chosen = torch.rand(value.shape, generator=random, device=value.device) < how.drop
        return torch.where(chosen, real_value, value)

    target = F.relu(real.output) if rectified else real.output
    for layer in layers.values():
        layer.mode = "float"  # soft weights lie on no grid
    nearest = {name: rounding.nearest for name, rounding in roundings.items()}
    with torch.no_grad():
        batches = torch.split(torch.arange(len(target), device=target.device), BATCH)
        errors = [((run(nearest, [x[i] for x in read]) - target[i]).square() * each[i]).mean() for i in batches]
    unit = torch.stack(errors).mean().clamp(min=1e-20)
    hooks = [p.register_forward_hook(lambda _, x, y: dropped(x[0], y)) for p in points if how.drop]
    groups = [{"params": [r.v for r in roundings.values()], "lr": LR_ROUNDING}, {"params": scales, "lr": LR_SCALES}]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]])
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, [lambda _: 1.0, lambda step: 1 - step / steps][: len(optimizer.param_groups)]
    )
    moving = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(steps):
        index = torch.randint(len(target), (min(BATCH, len(target)),), generator=random, device=target.device)
        inputs = [x[index] for x in read]
        if how.drop:
            inputs = [dropped(x[index], y) for x, y in zip(real.inputs, inputs, strict=True)]
        output = run({name: rounding.weight() for name, rounding in roundings.items()}, inputs)
        loss = ((output - target[index]).square() * each[index]).mean() / unit
        warm = WARMUP * steps
        if step >= warm:
            beta = BETA[1] + (BETA[0] - BETA[1]) * (1 - (step - warm) / (steps - warm))
            loss = loss + STRENGTH / count * sum(rounding.undecided(beta) for rounding in roundings.values())
        for parameter, gradient in zip(moving, torch.autograd.grad(loss, moving, allow_unused=True), strict=True):
            parameter.grad = gradient
        optimizer.step()
        decay.step()
    for hook in hooks:
        hook.remove()
    for rounding in roundings.values():
        rounding.finish()
        rounding.layer.mode = "quantize"
    for p in scales:
        p.grad = None


def _tiles(images: Sequence[Tensor]) -> Tensor:
    """Squares cut side by side from the images, `TILES` of them spread over all, [n, c, s, s]."""
    side = min(SIDE, *(min(image.shape[2:]) for image in images))
    cut = [image.unfold(2, side, side).unfold(3, side, side) for image in images]  # [n, c, rows, columns, s, s]
    tiles = torch.cat([x.permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1], side, side) for x in cut])
    return tiles[torch.linspace(0, len(tiles) - 1, min(TILES, len(tiles))).round().long()]


def _parts(model: nn.Module, example: Tensor, blocks: bool) -> dict[str, int]:
    """Names of the parts in the order they run, and how often each does."""
    calls: dict[nn.Module, int] = {}
    odd = set()  # modules that cannot be run by themselves

    def look(module: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: object) -> None:
        calls[module] = calls.get(module, 0) + 1
        tensors = [x for x in (*inputs, output) if isinstance(x, Tensor)]
        if named or len(tensors) <= len(inputs) or len({x.shape[:1] for x in tensors}) > 1:
            odd.add(module)

    hooks = [module.register_forward_hook(look, with_kwargs=True) for module in model.modules()]
    with torch.no_grad():
        model(example)
    for hook in hooks:
        hook.remove()
    found: dict[str, int] = {}

    def visit(name: str, module: nn.Module) -> None:
        held = sum(isinstance(part, QuantConv2d) for part in module.modules())
        whole = blocks and module is not model and 0 < held <= MOST and module in calls and module not in odd
        if whole or isinstance(module, QuantConv2d):
            found[name] = calls.get(module, 0)
        elif held:
            for child, part in module.named_children():
                visit(f"{name}.{child}".removeprefix("."), part)

    visit("", model)
    order = {module: place for place, module in enumerate(calls)}
    ran = [name for name in found if found[name]]
    return {name: found[name] for name in sorted(ran, key=lambda name: order[model.get_submodule(name)])}


def _pass(model: nn.Module, name: str, calls: int, data: Tensor) -> _Seen:
    """Run `model` on `data` as far as the part `name` and note what it reads and gives."""
    seen: list[tuple[tuple[Tensor, ...], Tensor]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((inputs, output.clone()))  # what comes after may write into it
        if len(seen) % calls == 0:
            raise _Reached

    hook = model.get_submodule(name).register_forward_hook(note)
    with torch.no_grad():
        for batch in torch.split(data, FORWARD):
            with suppress(_Reached):
                model(batch)
    hook.remove()
    return _Seen([torch.cat(x) for x in zip(*(inputs for inputs, _ in seen), strict=True)], torch.cat([y for _, y in seen]))


def _gradients(model: nn.Module, original: nn.Module, data: Tensor, parts: dict[str, int]) -> dict[str, Tensor]:
    """The squared gradient of the squared difference of the two networks' outputs by each part's output, over its mean."""
    outputs: dict[str, list[Tensor]] = {}
    found: dict[str, list[Tensor]] = {name: [] for name in parts}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: outputs.setdefault(name, []).append(y))
        for name in parts
    ]
    for batch in torch.split(data, FORWARD):
        outputs.clear()
        loss = (model(batch) - original(batch)).square().sum()
        made = [(name, y) for name, all_ in outputs.items() for y in all_]
        for (name, y), g in zip(made, torch.autograd.grad(loss, [y for _, y in made], allow_unused=True), strict=True):
            found[name].append(torch.zeros_like(y) if g is None else g.square())
    for hook in hooks:
        hook.remove()
    stacked = {name: torch.cat(rows) for name, rows in found.items()}
    return {name: g / g.mean().clamp(min=1e-20) for name, g in stacked.items()}


def _rectified(model: nn.Module, example: Tensor, names: set[str]) -> set[str]:
    """Layers whose result goes into ReLUs and nowhere else; `model` in FP32 mode."""
    recording = record(model, example, traced=False)
    results = {op.name: op.outputs[0] for op in recording.ops if op.macs and op.name in names}
    readers = {name: recording.readers.get(key, []) for name, key in results.items()}
    return {name for name, ops in readers.items() if ops and all(op.kind in ("relu", "relu_") for op in ops)}

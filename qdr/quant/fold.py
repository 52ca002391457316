"""Batch normalizations become part of the layers before them: the quantized weights are those an engine multiplies by.

y = (W x + b - mean) * gain + shift, so W <- W * gain and b <- (b - mean) * gain + shift, per output channel. Jacob et al.,
CVPR 2018 (arXiv 1712.05877), section 3.2, with the running statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.models.peers.norm import BatchNorm
from qdr.quant.record import NORMS, Recording

FOLDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def fold(model: nn.Module, recording: Recording) -> dict[str, str]:
    """Fold every normalization whose inputs are all one layer's results, which nothing else reads, in place.

    Returns:
        The name of each folded normalization and of the layer that took it.
    """
    folded = {}
    names = {module: name for name, module in model.named_modules()}
    for norm in [module for module in recording.calls if isinstance(module, NORMS)]:
        layers = {_before(recording, op.inputs[0]) for op in recording.ops if op.module is norm}
        layer = layers.pop()
        if layers or layer is None or recording.calls[layer] != recording.calls[norm] or _statistics(norm) is None:
            continue
        _merge(layer, norm)
        replace(model, norm, nn.Identity())
        folded[names[norm]] = names[layer]
    return folded


def replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in another's place, under every name it has."""
    for parent in list(model.modules()):
        if parent is not new:
            for name in [name for name, module in parent._modules.items() if module is old]:
                setattr(parent, name, new)


def _before(recording: Recording, tensor: tuple[int, int]) -> nn.Module | None:
    """The plain layer that makes a tensor, if its only reader is the normalization."""
    maker = recording.makers.get(tensor)
    lone = len(recording.readers[tensor]) == 1 and tensor not in recording.result
    layer = maker.module if maker is not None and lone else None
    return layer if isinstance(layer, FOLDS) and type(layer) in FOLDS else None


def _merge(layer: nn.Module, norm: nn.Module) -> None:
    statistics = _statistics(norm)
    assert statistics is not None
    assert isinstance(layer, FOLDS)
    mean, gain, shift = statistics
    groups = layer.groups if isinstance(layer, nn.ConvTranspose2d) else 1
    with torch.no_grad():
        bias = torch.zeros_like(mean) if layer.bias is None else layer.bias
        layer.bias = nn.Parameter((bias - mean) * gain + shift)
        if isinstance(layer, nn.ConvTranspose2d):  # [in, out / groups, kh, kw]
            rows = layer.weight.shape[0] // groups
            layer.weight.mul_(gain.view(groups, 1, -1).expand(-1, rows, -1).reshape(*layer.weight.shape[:2], 1, 1))
        else:
            layer.weight.mul_(gain.reshape(-1, *[1] * (layer.weight.dim() - 1)))


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor, Tensor] | None:
    """A normalization in evaluation, (x - mean) * gain + shift, [c] each; None without running statistics."""
    if isinstance(norm, BatchNorm):
        return norm.mean.flatten(), (norm.weight / norm.deviation).flatten(), norm.bias.flatten()
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    if norm.running_mean is None or norm.running_var is None:
        return None
    deviation = (norm.running_var + norm.eps).sqrt()
    gain, shift = (norm.weight, norm.bias) if norm.affine else (torch.ones_like(deviation), torch.zeros_like(deviation))
    return norm.running_mean, gain / deviation, shift

"""Cross-layer equalisation: channels between two layers are rescaled so that both layers' weights have equal ranges.

Nagel et al., ICCV 2019 (arXiv 1906.04721), section 4.1. Between layers W1 and W2 stands a ReLU, for which relu(s x) =
s relu(x), s > 0. Dividing channel i of W1 and b1 by s_i and multiplying channel i of W2's input by it leaves the function
as it is, and

    s_i = sqrt(r1_i / r2_i),      r1_i = max |W1[i]|, r2_i = max |W2[:, i]|

makes both ranges sqrt(r1_i r2_i) (eq. 11). Chains are swept until nothing moves. Left out: absorbing large biases (section
4.1.3), which rests on statistics of batch normalization. With a weight scale for each output channel W1's own error does
not change: what changes is the spread within W2's rows and among the channels of the activation, which has one step.

In the packaged EFMs 8 of 26 layers come first in a pair.

Pairs are found in one recorded pass (`qdr.quant.record`): a convolution that nothing but a ReLU, and behind it nothing but
one convolution without groups, reads. A residual stream or a gate that reads the tensor too bars a pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.quant.fold import fold
from qdr.quant.record import Key, Recording, record

_SWEEPS = 40
_STILL = 1e-4  # of log s
_RELUS = ("relu", "relu_")


def equalize(model: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Equalise an FP32 `model` in place, batch normalizations folded first; its function stays.

    Args:
        model: before `qdr.quant.prepare.prepare`, in FP32.
        example: an image [n, c, h, w] it takes.

    Returns:
        The names of the layers of each pair; none where there is no pair.
    """
    fold(model, record(model, example, traced=False))
    recording = record(model, example, traced=False)
    found = pairs(recording)
    for _ in range(_SWEEPS):
        if max((_balance(first, second) for first, second in found), default=0.0) < _STILL:
            break
    names = {module: name for name, module in model.named_modules()}
    return [(names[first], names[second]) for first, second in found]


def pairs(recording: Recording) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    """Convolutions between which channels can be rescaled, in the order they run."""
    nexts: dict[nn.Conv2d, set[nn.Conv2d | None]] = {}
    for op in recording.ops:
        if isinstance(op.module, nn.Conv2d) and type(op.module) is nn.Conv2d:
            nexts.setdefault(op.module, set()).add(_next(recording, op.outputs[0]))
    lone = [(first, second) for first, seconds in nexts.items() if len(seconds) == 1 for second in seconds]
    calls = recording.calls
    return [(first, second) for first, second in lone if second is not None and calls[first] == calls[second]]


def _next(recording: Recording, tensor: Key) -> nn.Conv2d | None:
    """The one convolution that reads a tensor through a ReLU, if nothing else does."""
    rectified = False
    while tensor not in recording.result:
        readers = [op for op in recording.readers.get(tensor, []) if op.inputs != op.outputs]  # a QuantPoint gives its input
        if len(readers) != 1:
            return None
        (op,) = readers
        if type(op.module) is nn.Conv2d:
            return op.module if rectified and op.module.groups == 1 else None
        if op.kind not in _RELUS:
            return None
        rectified, tensor = True, op.outputs[0]
    return None


def _balance(first: nn.Conv2d, second: nn.Conv2d) -> float:
    """Equalise one pair; returns the largest |log s|. Channels without weights on either side stay."""
    with torch.no_grad():
        before, after = first.weight.abs().amax((1, 2, 3)), second.weight.abs().amax((0, 2, 3))
        s = torch.where((before > 0) & (after > 0), (before / after).sqrt(), 1.0)
        first.weight /= s.reshape(-1, 1, 1, 1)
        if first.bias is not None:
            first.bias /= s
        second.weight *= s.reshape(1, -1, 1, 1)
    return float(s.log().abs().max())

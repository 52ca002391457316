"""Quantize any network of one image in place, and say what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from qdr.errors import QdrError
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, insert
from qdr.quant.report import Report, report

DEFAULT = QuantizerConfig()


def quantize(
    model: nn.Module,
    images: Sequence[Tensor],
    scheme: str = "W8A8",
    strict: bool = False,
    keep: Collection[str] = (),
    config: QuantizerConfig = DEFAULT,
) -> Report:
    """Quantize `model` in place and calibrate it; it then computes fake quantization with scales that can be trained (LSQ).

    Args:
        model: a network of one image, in FP32, on any device; its layers are replaced, batch normalizations folded.
        images: for calibration, [n, c, h, w] each, as the network takes them; a few typical ones do.
        scheme: "W8A8", "W7A8" (overflows on no processor), "W4A8", "W6A6" or "W4A4". Below 8 bits the first and the last
            layer, found in the graph, keep 8.
        strict: refuse a network of which a multiply-accumulate operation would stay in floating point.
        keep: names of layers to leave in floating point.
        config: quantizer and observers; LSQ and least squared error by default.

    Returns:
        What is quantized, and what is not and why.

    Raises:
        QdrError: on an unknown scheme or layer, no image, a network that returns more than one tensor or would compute
            something else, and with `strict` on operations in floating point.
    """
    if not images:
        raise QdrError("calibration needs at least one image")
    unknown = set(keep) - {name for name, _ in model.named_modules()}
    if unknown:
        raise QdrError(f"the network has no layer {', '.join(map(repr, sorted(unknown)))} to keep in floating point")
    before, folded, additions = insert(model, scheme, config, images[0][:1], keep, strict)
    calibrate(model, images)
    return report(model, scheme, before, folded, additions, keep)

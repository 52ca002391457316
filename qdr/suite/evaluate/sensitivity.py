"""Which layers suffer from few bits: one layer at a time is quantized, all others stay in FP32.

A layer is a convolution (its weights) or a tensor (its activations). For each, after calibration and without training:
SQNR = 10 log10(sum f^2 / sum (q - f)^2) in dB of the network's output (what it adds to the image), and the PSNR lost.
Measured on validation scenes, never on test images.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from qdr.images.tensor import to_tensor
from qdr.quant.layers import QuantConv2d
from qdr.quant.prepare import calibrate, prepare, quantized_layers, set_mode
from qdr.rows import write_rows
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.loader import PairSet
from qdr.suite.methods import catalogue
from qdr.suite.train.plan import Run, teacher
from qdr.suite.train.run import calibration_images, load_model

METHOD = "ptq"
IMAGES = 2
SCHEMES_SHOWN = ("W8A8", "W4A4")


def sensitivity(config: Config, task: str) -> None:
    """Write the sensitivity rows of a task's FP32 teacher."""
    rows = [row for scheme in SCHEMES_SHOWN for row in _rows(config, task, scheme)]
    write_rows(paths.rows("sensitivity", task), rows)


def _rows(config: Config, task: str, scheme: str) -> list[dict[str, Any]]:
    validation = PairSet.load(task, "val")
    pairs = list(zip(validation.inputs, validation.targets, strict=True))[:IMAGES]
    images = [(to_tensor(degraded), to_tensor(target)) for degraded, target in pairs]
    model = load_model(config, teacher(task, "fp32"))
    calibrate(
        prepare(model, scheme, catalogue()[METHOD].quantization),
        calibration_images(config, Run(task, METHOD, scheme, "all", 0)),
    )
    set_mode(model, "float")
    reference = [_restore(model, degraded) for degraded, _ in images]
    rows = []
    names = {module: name for name, module in model.named_modules()}
    for layer in quantized_layers(model):
        layer.mode = "quantize"
        restored = [_restore(model, degraded) for degraded, _ in images]
        layer.mode = "float"
        about = {"profile": config.profile, "task": task, "bits": scheme, "layer": names[layer]}
        about |= {"kind": "weights" if isinstance(layer, QuantConv2d) else "activations", "width": str(layer.bits)}
        about |= {"sqnr_db": f"{_sqnr(restored, reference, images):.4f}"}
        rows.append(about | {"psnr_drop_db": f"{_drop(restored, reference, images):.5f}"})
    return rows


def _restore(model: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        restored: Tensor = model(image)
    return restored


def _sqnr(restored: list[Tensor], reference: list[Tensor], images: list[tuple[Tensor, Tensor]]) -> float:
    signal = sum(float((f - degraded).square().sum()) for f, (degraded, _) in zip(reference, images, strict=True))
    noise = sum(float((q - f).square().sum()) for q, f in zip(restored, reference, strict=True))
    return 10 * math.log10(signal / max(noise, 1e-20))


def _drop(restored: list[Tensor], reference: list[Tensor], images: list[tuple[Tensor, Tensor]]) -> float:
    drops = []
    for q, f, (_, target) in zip(restored, reference, images, strict=True):
        errors = [float((x.clamp(0, 1) - target).square().mean()) for x in (f, q)]
        drops.append(10 * math.log10(errors[1] / errors[0]))
    return sum(drops) / len(drops)

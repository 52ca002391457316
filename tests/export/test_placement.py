"""Where quantizers stand, per scheme, against golden lists: a moved Q/DQ pair is a change of every result.

After a wanted change: `python tests/export/test_placement.py` writes the lists anew; read the difference.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import SCHEMES, QuantizerConfig
from qdr.quant.prepare import calibrate, prepare, quantized_layers
from qdr.suite.export.engines import ENGINE_BITS

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def network(scheme: str) -> EFM:
    torch.manual_seed(0)
    model = EFM((16, 32), (1, 1))
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter).data.mul_(0.6)
    prepare(model, scheme, QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(model, [torch.rand(1, 3, 32, 32)])
    return model


def layers(model: EFM) -> list[str]:
    """One line per quantized layer: name, bits, grid, and what feeds a convolution."""
    names = {module: name for name, module in model.named_modules()}
    lines = []
    for layer in quantized_layers(model):
        grid = f"{layer.bits} bit [{layer.quantizer.low}, {layer.quantizer.high}]"
        if isinstance(layer, QuantConv2d):
            (source,) = layer._source
            grid += f" x{layer.quantizer.log_scale.numel()} from {names[source]}"
        lines.append(f"{'tensor' if isinstance(layer, ActivationQuantizer) else 'conv'} {names[layer]}: {grid}")
    return lines


def graph(path: Path) -> list[str]:
    """One line per convolution and addition of a file: the chain of operations behind each input, up to the last Q."""
    proto = onnx.load(path).graph
    made = {name: node for node in proto.node for name in node.output}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer}

    def chain(name: str) -> str:
        if name not in made:
            return f"{values[name].dtype}" if name in values else "image"
        node = made[name]
        if node.op_type == "QuantizeLinear":
            return "Q"
        return f"{node.op_type}<{chain(node.input[0])}"

    shown = [node for node in proto.node if node.op_type in ("Conv", "Add")]
    return [f"{node.op_type}: {' | '.join(chain(name) for name in node.input)}" for node in shown]


def described(scheme: str, folder: Path) -> str:
    model = network(scheme)
    lines = layers(model)
    if scheme in ENGINE_BITS:
        Exporter().write(model, folder / "model.onnx", scheme, model.stride)
        lines += graph(folder / "model.onnx")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_quantizer_is_where_it_was(scheme: str, tmp_path: Path) -> None:
    assert described(scheme, tmp_path) == (GOLDEN / f"placement-{scheme}.txt").read_text()


if __name__ == "__main__":
    import tempfile

    for name in SCHEMES:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"placement-{name}.txt").write_text(described(name, Path(folder)))

"""Lower a Q/DQ file for ONNX Runtime: the same values, in operations its CPU kernels run on integers.

ONNX Runtime fuses DQ -> Conv -> Q into one integer convolution only where both activations are uint8, and never where a
ReLU stands before a signed Q. A residual block's second convolution is not followed by a Q at all (the sum is quantized,
not its parts), and its FP32 result is what makes the file's arithmetic: another Q there would cost about one grey level
(docs/export.md). So three changes, none of which changes a value beyond the last bit of a float:

- codes: int8 q with zero point 0 becomes uint8 q + 128 with zero point 128. After a ReLU q is in [0, 127] and becomes uint8
  with zero point 0, which takes over the ReLU; such a grid would reach 255, so a Clip at 127 keeps the saturation.
- wide convolutions, those whose result stays FP32: nine shifted slices of the padded codes side by side times the
  integer weight, as one `MatMulIntegerToFloat` of ONNX Runtime (sums exact in int32, then scale and bias). A
  convolution this does not fit (grouped, strided, dilated) keeps FP32 arithmetic with its weight dequantized beforehand.
- nearest-neighbour up-sampling moves before the DQ: it copies codes instead of floats.

On x86 without VNNI products of uint8 and int8 are added in pairs in 16 bits. After a ReLU nothing overflows, since codes end
at 127: 2 * 127 * 127 < 32768. Where the zero point is 128 codes reach 255 and the sums saturate; there (3 of the EFM's 22
convolutions) `saturating` stores the weight as uint8 q + 128 with zero point 128, whose products are added in 32 bits.

What is left differs from the unlowered file only in the order of float sums; where a value stands on a rounding boundary
that flips a code, as between any two engines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from qdr.export.graph import DEQUANTIZE, QUANTIZE, Array, Graph, attribute, integers, is_quantized
from qdr.export.mixed import drop_unread

TOP = 127  # the largest code of the signed grid
CONTRIB = "com.microsoft"
MIDDLE = "zero_in_the_middle"


def lower(model: onnx.ModelProto, saturating: bool = False) -> onnx.ModelProto:
    """A lowered copy of an exported file; a file without signed Q/DQ comes back unchanged.

    `saturating` says that the processor adds pairs of uint8 x int8 products in 16 bits.
    """
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    graph = Graph(model)
    if is_quantized(model):
        made = _Lowering(graph, saturating)
        for node in graph.nodes:
            made.add(node)
        del lowered.graph.node[:], lowered.graph.value_info[:]
        lowered.graph.node.extend(made.nodes)
        lowered.graph.initializer.extend(made.constants.values())
        lowered.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        drop_unread(lowered)
    return lowered


class _Lowering:
    """The nodes and constants of the lowered graph, written in the order of the old one."""

    def __init__(self, graph: Graph, saturating: bool) -> None:
        self.graph, self.saturating = graph, saturating
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.zeros: dict[str, str] = {}  # codes of an activation -> their new zero point

    def add(self, node: onnx.NodeProto) -> None:
        if node.op_type == QUANTIZE and self._signed(node):
            self._quantize(node)
        elif node.op_type == DEQUANTIZE and node.input[0] in self.zeros:
            self._op(DEQUANTIZE, [*node.input[:2], self.zeros[node.input[0]]], node.output[0], node.name)
        elif node.op_type == "Relu" and self._read_by_one_quantizer(node):
            pass  # its Q starts at 0
        elif node.op_type == "Resize" and self._copies(node):
            self._resize(node)
        elif node.op_type == "Conv" and self._is_quantized(node) and not self._fuses(node):
            self._wide(node) if self._is_plain(node) else self._with_fp32_weight(node)
        elif node.op_type == "Conv" and self._is_quantized(node):
            self._fused(node)
        else:
            self.nodes.append(node)

    def _quantize(self, node: onnx.NodeProto) -> None:
        relu = self.graph.maker(node.input[0], "Relu")
        codes = node.output[0]
        if relu is not None and self._read_by_one_quantizer(relu):
            zero = self.zeros[codes] = self._constant("zero_after_relu", np.uint8(0))
            self._op(QUANTIZE, [relu.input[0], node.input[1], zero], f"{codes}.wide", node.name)
            top = self._constant("top_code", np.uint8(TOP))
            self._op("Clip", [f"{codes}.wide", "", top], codes, f"{node.name}.saturate")
        else:
            zero = self.zeros[codes] = self._constant(MIDDLE, np.uint8(128))
            self._op(QUANTIZE, [*node.input[:2], zero], codes, node.name)

    def _resize(self, node: onnx.NodeProto) -> None:
        source = self.graph.maker(node.input[0], DEQUANTIZE)
        assert source is not None
        codes, out = source.input[0], node.output[0]
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        moved.input[0], moved.output[0] = codes, f"{out}.codes"
        self.nodes.append(moved)
        self._op(DEQUANTIZE, [f"{out}.codes", source.input[1], self.zeros[codes]], out, f"{node.name}.dequantize")

    def _wide(self, node: onnx.NodeProto) -> None:
        """[n, c, h, w] codes times [out, c, k, k] integers -> FP32 [n, out, h, w]."""
        data, weight = (self.graph.maker(name, DEQUANTIZE) for name in node.input[:2])
        assert data is not None
        assert weight is not None
        name, zero = node.name, self.zeros[data.input[0]]
        kernel = self._weight(weight)
        out, channels, side = kernel.shape[:3]
        columns = self._op("Transpose", [data.input[0]], f"{name}.codes", f"{name}.to_nhwc", perm=[0, 2, 3, 1])
        if side > 1:
            pad = integers(node, "pads", [0] * 4)
            pads = self._constant(f"pads_{'_'.join(map(str, pad))}", np.array([0, *pad[:2], 0, 0, *pad[2:], 0]))
            columns = self._op("Pad", [columns, pads, zero], f"{name}.padded", f"{name}.pad")
            for axis in (2, 1):  # side by side along the width, then along the height
                columns = self._side_by_side(columns, side, axis, name)
        rows = kernel.transpose(2, 3, 1, 0).reshape(side * side * channels, out)
        scales = np.broadcast_to(self.graph.values[weight.input[1]], (out,))
        arguments = [
            columns,
            self._constant(f"{name}.weight", self._shifted(np.ascontiguousarray(rows), zero)),
            data.input[1],
            self._constant(f"{name}.scales", np.array(scales)),
            zero,
            self._constant(f"{name}.zeros", self._shifted(np.zeros(out, np.int8), zero)),
            *node.input[2:3],
        ]
        product = self._op("MatMulIntegerToFloat", arguments, f"{name}.nhwc", name, domain=CONTRIB)
        self._op("Transpose", [product], node.output[0], f"{name}.to_nchw", perm=[0, 3, 1, 2])

    def _fused(self, node: onnx.NodeProto) -> None:
        """A convolution that ONNX Runtime fuses with its Q/DQ; where sums would saturate its weight gets another type."""
        data, weight = (self.graph.maker(name, DEQUANTIZE) for name in node.input[:2])
        assert data is not None
        assert weight is not None
        codes, zero = self._weight(weight), self.zeros[data.input[0]]
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        if (shifted := self._shifted(codes, zero)) is not codes:
            zeros = self._shifted(np.zeros(self.graph.values[weight.input[1]].shape, np.int8), zero)
            inputs = [self._constant(f"{node.name}.weight", shifted), weight.input[1]]
            inputs.append(self._constant(f"{node.name}.zeros", zeros))
            kept.input[1] = self._op(DEQUANTIZE, inputs, f"{node.name}.dequantized", f"{node.name}.dequantize", axis=0)
        self.nodes.append(kept)

    def _shifted(self, codes: Array, zero: str) -> Array:
        """Weight codes as they are stored beside activations of a zero point: int8, or uint8 q + 128."""
        if self.saturating and zero.endswith(MIDDLE):
            return (codes.astype(np.int16) + 128).astype(np.uint8)
        return codes

    def _side_by_side(self, source: str, side: int, axis: int, name: str) -> str:
        """`side` slices of an NHWC tensor, each shifted by one along `axis`, next to each other as channels."""
        along, parts = self._constant(f"axis_{axis}", np.array([axis])), []
        for shift in range(side):
            end = shift + 1 - side or np.iinfo(np.int64).max
            bounds = [self._constant(f"at_{value}", np.array([value])) for value in (shift, end)]
            parts.append(self._op("Slice", [source, *bounds, along], f"{name}.{axis}.{shift}", f"{name}.slice{axis}{shift}"))
        return self._op("Concat", parts, f"{name}.columns{axis}", f"{name}.concat{axis}", axis=3)

    def _with_fp32_weight(self, node: onnx.NodeProto) -> None:
        weight = self.graph.maker(node.input[1], DEQUANTIZE)
        assert weight is not None
        scales = self.graph.values[weight.input[1]].astype(np.float32).reshape(-1, 1, 1, 1)
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[1] = self._constant(f"{node.name}.weight", scales * self._weight(weight))
        self.nodes.append(kept)

    def _signed(self, quantize: onnx.NodeProto) -> bool:
        zero = self.graph.constant(quantize, 2)
        scale = self.graph.constant(quantize, 1)
        return zero is not None and zero.dtype == np.int8 and not zero.any() and scale is not None and scale.size == 1

    def _read_by_one_quantizer(self, relu: onnx.NodeProto) -> bool:
        reader = self.graph.only_reader(relu.output[0], QUANTIZE)
        return reader is not None and self._signed(reader)

    def _copies(self, resize: onnx.NodeProto) -> bool:
        source = self.graph.maker(resize.input[0], DEQUANTIZE)
        mode = next((a.s for a in resize.attribute if a.name == "mode"), b"nearest")
        return source is not None and source.input[0] in self.zeros and mode == b"nearest"

    def _is_quantized(self, conv: onnx.NodeProto) -> bool:
        data, weight = (self.graph.maker(name, DEQUANTIZE) for name in conv.input[:2])
        if data is None or weight is None or data.input[0] not in self.zeros:
            return False
        codes, scale, zero = (self.graph.constant(weight, i) for i in range(3))
        shifted = len(weight.input) > 2 and (zero is None or zero.any())
        return codes is not None and codes.dtype == np.int8 and scale is not None and not shifted

    def _fuses(self, conv: onnx.NodeProto) -> bool:
        """Whether ONNX Runtime makes one integer convolution of it: its result is quantized, at most a ReLU between."""
        relu = self.graph.only_reader(conv.output[0], "Relu")
        reader = self.graph.only_reader((relu or conv).output[0], QUANTIZE)
        return reader is not None and self._signed(reader)

    def _is_plain(self, conv: onnx.NodeProto) -> bool:
        ones = all(step == 1 for name in ("strides", "dilations") for step in integers(conv, name, [1]))
        padded = not any(a.name == "auto_pad" and a.s not in (b"NOTSET", b"") for a in conv.attribute)
        shape = self.graph.values[self._stored(conv)].shape
        return ones and padded and attribute(conv, "group", 1) == 1 and len(shape) == 4 and shape[2] == shape[3]

    def _stored(self, conv: onnx.NodeProto) -> str:
        weight = self.graph.maker(conv.input[1], DEQUANTIZE)
        assert weight is not None
        return str(weight.input[0])

    def _weight(self, dequantize: onnx.NodeProto) -> NDArray[np.int8]:
        return self.graph.values[dequantize.input[0]].astype(np.int8)

    def _constant(self, name: str, value: Array | np.generic) -> str:
        full = f"ort.{name}"
        if full not in self.constants:
            self.constants[full] = numpy_helper.from_array(np.asarray(value), full)
        return full

    def _op(self, kind: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

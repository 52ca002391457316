"""A program of torch.export (.pt2) as a network of layers that can be quantized and trained.

torch.export flattens a network into calls of functions; where a convolution, transposed convolution, linear layer or batch
normalization reads stored weights, the layer is put back under its old name. What the network was is kept: the same
functions in the same order, the sizes it was exported for.

Reading one is less safe than reading a checkpoint, and torch itself says never to load one from an untrusted source. Refused
here, before torch reads anything: pickled weights and constants (torch would unpickle them without `weights_only`), sample
inputs that are no plain tensors, compiled code, and expressions of sizes that call anything but arithmetic (torch evaluates
them). What is left to torch: its own parser of the graph, which looks up the operators that the file names.
"""

from __future__ import annotations

import io
import json
import operator
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from qdr.errors import QdrError

SUFFIX = ".pt2"
_ATEN = torch.ops.aten
_PARTS = ("/data/weights/", "/data/constants/", "/data/sample_inputs/", "/models/", "/.data/")
_NAMES = ("/archive_format", "/archive_version", "/byteorder", "/version")
_ARITHMETIC = {"Symbol", "Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CeilDiv"}
_LARGEST = 2**30


@dataclass(frozen=True)
class Program:
    """A program that was read.

    Args:
        model: a network of layers, in evaluation mode.
        channels: of its image.
        side: height and width it takes, equal; None where they are free.
        batch: how many images it takes at once.
    """

    model: nn.Module
    channels: int
    side: int | None
    batch: int


def read_program(path: Path) -> Program:
    """Read a .pt2 file.

    Raises:
        QdrError: when it is no such file, holds more than graph and tensors, or is no network of one image.
    """
    _check(path)
    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises many kinds without a common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise QdrError(
            f"{path} cannot be read as a torch.export program ({reason}): export it again with this torch"
        ) from error
    names = program.graph_signature.user_inputs
    shape: Any = next((node.meta["val"].shape for node in program.graph.nodes if node.name in names), ())
    if len(names) != 1 or len(shape) != 4:
        raise QdrError(f"{path} is no network of one image [n, c, h, w]: wrap it so that it takes the image alone")
    height, width = ((side if isinstance(side, int) else None) for side in shape[2:])
    if height != width:
        raise QdrError(f"{path} was exported for images of {height}x{width}: export it for a square, or with free sides")
    batch = shape[0] if isinstance(shape[0], int) else 4
    return Program(with_layers(program.module(check_guards=False)), int(shape[1]), height, int(batch))


def with_layers(module: fx.GraphModule) -> nn.Module:
    """The network with its layers put back, in evaluation mode."""
    graph, root = module.graph, nn.Module()
    found: dict[tuple[Any, ...], str] = {}  # a layer that runs several times is one layer
    for node in list(graph.nodes):
        stored = [module_tensor(module, argument) for argument in node.args[1:5]] if node.op == "call_function" else []
        made = _layer(node, stored)
        if made is not None:
            key = node.target, *node.args[1:]
            name = found.get(key) or _free_name(root, str(node.args[1].target).rpartition(".")[0])
            if key not in found:
                found[key] = name
                _put(root, name, made)
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.call_module(name, (node.args[0],)))
            graph.erase_node(node)
        elif node.target is _ATEN.add.Tensor and not node.kwargs:
            node.target = operator.add
    graph.eliminate_dead_code()
    graph.set_codegen(fx.graph.CodeGen())
    (result,) = (node for node in graph.nodes if node.op == "output")
    given: Any = result.args[0]
    result.args = (given[0] if isinstance(given, tuple | list) and len(given) == 1 else given,)
    for node in graph.nodes:
        if node.op == "get_attr":
            _put(root, node.target, module_tensor(module, node))
    whole = fx.GraphModule(root, graph)  # which prints every exception: its forward alone is taken
    root.__class__ = type("Program", (nn.Module,), {"forward": type(whole).forward})
    return root.eval()


def module_tensor(module: nn.Module, node: Any) -> Any:
    """The tensor that a node fetches from a module; None for anything else."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


def _layer(node: fx.Node, stored: list[Any]) -> nn.Module | None:
    """The layer that a call of stored weights is."""
    if node.kwargs or not stored or stored[0] is None:
        return None
    rest: list[Any] = list(node.args[3:])
    weight, bias = stored[0], stored[1] if len(stored) > 1 else None
    if len(node.args) > 2 and node.args[2] is not None and bias is None:
        return None  # a bias that is computed
    if node.target is _ATEN.linear.default:
        return _filled(nn.Linear(weight.shape[1], weight.shape[0], bias is not None), weight, bias)
    if node.target is _ATEN.conv2d.default:
        usual: list[Any] = [[1, 1], [0, 0], [1, 1], 1]
        stride, padding, dilation, groups = rest + usual[len(rest) :]
        if isinstance(padding, str):
            return None
        about: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        inputs, outputs, kernel = weight.shape[1] * groups, weight.shape[0], weight.shape[2:]
        return _filled(nn.Conv2d(inputs, outputs, kernel, bias=bias is not None, **_pairs(about)), weight, bias)
    if node.target is _ATEN.conv_transpose2d.input:
        usual = [[1, 1], [0, 0], [0, 0], 1, [1, 1]]
        stride, padding, extra, groups, dilation = rest + usual[len(rest) :]
        about = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
        inputs, outputs, kernel = weight.shape[0], weight.shape[1] * groups, weight.shape[2:]
        return _filled(nn.ConvTranspose2d(inputs, outputs, kernel, bias=bias is not None, **_pairs(about)), weight, bias)
    if node.target is _ATEN.batch_norm.default and len(stored) == 4 and all(value is not None for value in stored):
        eps: Any = node.args[7]
        norm = nn.BatchNorm2d(len(weight), eps=float(eps))
        norm.running_mean, norm.running_var = stored[2], stored[3]
        return _filled(norm, weight, bias)
    return None


def _filled(layer: nn.Module, weight: Any, bias: Any) -> nn.Module:
    layer.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
    if bias is not None:
        layer.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias)
    return layer


def _pairs(about: dict[str, Any]) -> dict[str, Any]:
    """Lists of one or two numbers as layers take them."""
    return {k: (tuple(v) if len(v) == 2 else (v[0], v[0])) if isinstance(v, list | tuple) else v for k, v in about.items()}


def _free_name(root: nn.Module, name: str) -> str:
    name, taken = name or "layer", dict(root.named_modules())
    return next(tried for tried in (name, *(f"{name}_{i}" for i in range(1, len(taken) + 2))) if tried not in taken)


def _put(root: nn.Module, name: str, value: Any) -> None:
    """Put a layer or a tensor under a dotted name."""
    *parents, last = name.split(".")
    for part in parents:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        root.register_buffer(last, value)
    else:
        setattr(root, last, value)


def _check(path: Path) -> None:
    """Refuse what torch would execute, before it reads the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise QdrError(f"{path} has more than {_LARGEST} bytes unpacked: it is too large a model")
            for name in archive.namelist():
                inner = "/" + name.partition("/")[2]
                if not inner.startswith(_PARTS) and inner not in _NAMES:
                    raise QdrError(f"{path} holds {name}, which is neither graph nor tensor: export the plain network")
                if inner.endswith("_config.json"):
                    _check_payloads(path, json.loads(archive.read(name)))
                elif inner.startswith("/models/"):
                    _check_sizes(path, json.loads(archive.read(name)))
                elif inner.startswith("/data/sample_inputs/"):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                elif inner.endswith(".pt"):
                    raise QdrError(f"{path} holds pickled tensors ({name}): export it again with torch.export.save")
    except (
        zipfile.BadZipFile,
        json.JSONDecodeError,
        UnicodeDecodeError,
        pickle.UnpicklingError,
        OSError,
        RuntimeError,
    ) as error:
        raise QdrError(
            f"{path} is no torch.export program ({str(error).splitlines()[0]}): make it with torch.export.save"
        ) from error


def _check_payloads(path: Path, config: Any) -> None:
    for name, payload in config.get("config", {}).items():
        file = str(payload.get("path_name", ""))
        if payload.get("use_pickle") or file.startswith(("custom_obj_", "opaque_obj_")):
            raise QdrError(f"{path} pickles {name}, which could run code when it is read: export a network of plain tensors")


def _check_sizes(path: Path, graph: Any) -> None:
    for expression in _expressions(graph):
        bare = re.sub(r"Symbol\('\w+'", "Symbol(", expression)
        calls = set(re.findall(r"(\w+)\s*\(", bare))
        if not re.fullmatch(r"[\w\s+\-*/%(),<>=]*", bare) or calls - _ARITHMETIC or "__" in bare:
            raise QdrError(f"{path} computes a size by {expression[:60]!r}, which is more than arithmetic: export it again")


def _expressions(value: Any) -> Iterator[str]:
    """Every expression of sizes in a serialized graph."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr_str" and isinstance(inner, str):
                yield inner
            yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)

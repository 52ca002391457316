"""What a network does with its tensors: one forward pass, written down operation by operation.

Layers count as one operation each, everything else as the torch functions that run. Tensors are told apart by identity and
by how often they were written to, so that an in-place ReLU makes a tensor of its own. The pass works for any Python; of
modules whose forward torch.fx can trace (their parts taken whole, the same in training and evaluation) it also finds which
tensor each node of their graph is, so that `qdr.quant.place` can put a quantizer there.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from qdr.models.blocks import QuantPoint
from qdr.models.peers.norm import BatchNorm

NORMS = (_BatchNorm, BatchNorm)
WHOLE = (_ConvNd, nn.Linear, nn.LayerNorm, nn.GroupNorm, QuantPoint, *NORMS)
Key = tuple[int, int]  # identity and version of a tensor


@dataclass(eq=False)
class Op:
    """One operation.

    Args:
        name: of the layer, or of the module in whose forward a function runs ("" in the root).
        kind: class of the layer or name of the function.
        module: the layer; None for a function.
        inputs: tensors it reads.
        outputs: tensors it makes.
        macs: multiply-accumulates.
    """

    name: str
    kind: str
    module: nn.Module | None
    inputs: list[Key]
    outputs: list[Key]
    macs: int = 0


@dataclass
class Recording:
    """The operations of a pass in their order.

    Args:
        ops: operations.
        given: the network's inputs.
        result: its outputs.
        graphs: torch.fx graphs of the modules that have one, by name.
        tensors: which tensor a node of such a graph is; where a module ran several times, None.
    """

    ops: list[Op] = field(default_factory=list)
    given: list[Key] = field(default_factory=list)
    result: list[Key] = field(default_factory=list)
    graphs: dict[str, fx.Graph] = field(default_factory=dict)
    tensors: dict[fx.Node, Key | None] = field(default_factory=dict)

    @cached_property
    def makers(self) -> dict[Key, Op]:
        """The operation that makes a tensor."""
        return {key: op for op in self.ops for key in op.outputs if key not in op.inputs}

    @cached_property
    def readers(self) -> dict[Key, list[Op]]:
        """The operations that read a tensor."""
        found: dict[Key, list[Op]] = {}
        for op in self.ops:
            for key in dict.fromkeys(op.inputs):
                found.setdefault(key, []).append(op)
        return found

    @cached_property
    def calls(self) -> Counter[nn.Module]:
        """How often each layer ran."""
        return Counter(op.module for op in self.ops if op.module is not None)

    @cached_property
    def first(self) -> set[Op]:
        """Operations that no multiply-accumulate layer stands before."""
        return _outer([(op, op.inputs, op.outputs) for op in self.ops])

    @cached_property
    def last(self) -> set[Op]:
        """Operations that no multiply-accumulate layer stands behind."""
        return _outer([(op, op.outputs, op.inputs) for op in reversed(self.ops)])


def _outer(order: list[tuple[Op, list[Key], list[Key]]]) -> set[Op]:
    """Operations that are reached through no multiply-accumulate layer; each comes with its tensors on the side that it is
    reached from, and on the other.
    """
    beyond: set[Key] = set()
    found = set()
    for op, near, far in order:
        inner = not beyond.isdisjoint(near)
        if not inner:
            found.add(op)
        if inner or op.macs:
            beyond.update(far)
    return found


def record(model: nn.Module, example: Tensor, traced: bool = True) -> Recording:
    """Run `model` on `example` in evaluation mode without gradients, and write down what it does."""
    pass_ = _Pass({module: name for name, module in model.named_modules()})
    with ExitStack() as stack:
        stack.enter_context(evaluation(model))
        stack.enter_context(torch.no_grad())
        for module, name in pass_.names.items():
            graph = _graph(module) if traced else None
            if graph is not None:
                pass_.found.graphs[name] = graph
                module.forward = partial(pass_.interpret, module, graph)
                stack.callback(module.__dict__.pop, "forward")
            stack.callback(module.register_forward_pre_hook(pass_.enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(pass_.leave, with_kwargs=True, always_call=True).remove)
        stack.enter_context(pass_.counter)
        stack.enter_context(pass_)
        given = pass_.keys(example)
        output = model(example)
        pass_.found.given, pass_.found.result = given, pass_.keys(output)
    return pass_.found


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode inside the block, and as it was afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Floating-point operations by torch's formulas; its FlopCounterMode would load the compiler, which takes seconds."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


class _Pass(TorchFunctionMode):
    def __init__(self, names: dict[nn.Module, str]) -> None:
        super().__init__()
        self.names, self.found = names, Recording()
        self.counter = _Counter()  # type: ignore[no-untyped-call]
        self.inside: nn.Module | None = None  # the layer that runs
        self.stack: list[nn.Module] = []
        self.flops: list[int] = []
        self.alive: list[Tensor] = []  # so that no identity is used twice
        self.versions: dict[int, int] = {}

    def keys(self, *values: Any) -> list[Key]:
        """Tensors among some values; one that was written to behind our back is linked to what it was."""
        found = []
        for tensor in (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)):
            key = id(tensor), tensor._version
            before = self.versions.get(key[0])
            if before is None:
                self.alive.append(tensor)
            elif before != key[1]:
                self.found.ops.append(Op(self.where, "in place", None, [(key[0], before)], [key]))
            self.versions[key[0]] = key[1]
            found.append(key)
        return list(dict.fromkeys(found))

    @property
    def where(self) -> str:
        return self.names[self.stack[-1]] if self.stack else ""

    def enter(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.stack.append(module)
        if self.inside is None and isinstance(module, WHOLE):
            self.inside = module
            self.flops.append(self.counter.total)
            self.read = self.keys(inputs, named)

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        self.stack.pop()
        if self.inside is module:
            self.inside = None
            macs = (self.counter.total - self.flops.pop()) // 2
            kind, made = type(module).__name__, self.keys(output)
            self.found.ops.append(Op(self.names[module], kind, module, self.read, made, macs))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside is not None:
            return function(*args, **kwargs)
        read, flops = self.keys(args, kwargs), self.counter.total
        output = function(*args, **kwargs)
        for leaf in tree_leaves((args, kwargs, output)):
            if isinstance(leaf, Tensor) and id(leaf) in self.versions:
                self.versions[id(leaf)] = leaf._version  # what the function itself wrote to
        made = [key for key in self.keys(args, kwargs, output) if key not in read]
        if made:
            macs = (self.counter.total - flops) // 2
            self.found.ops.append(Op(self.where, _name(function), None, read, made, macs))
        return output

    def interpret(self, module: nn.Module, graph: fx.Graph, *args: Any, **kwargs: Any) -> Any:
        """Run a module by its graph, noting the tensors of its nodes."""
        bound = inspect.signature(type(module).forward).bind(module, *args, **kwargs)
        bound.apply_defaults()
        return _Noting(module, graph, self).run(*list(bound.arguments.values())[1:])


class _Noting(fx.Interpreter):
    def __init__(self, module: nn.Module, graph: fx.Graph, pass_: _Pass) -> None:
        super().__init__(module, garbage_collect_values=False, graph=graph)
        self.pass_ = pass_

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor) and n.op != "output":
            tensors = self.pass_.found.tensors
            tensors[n] = None if n in tensors else self.pass_.keys(value)[0]
        return value


class _Whole(fx.Tracer):
    """Parts are taken whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _graph(module: nn.Module) -> fx.Graph | None:
    """The graph of a module's own forward, if it has parts, no optional arguments, and does the same in training."""
    arguments = inspect.signature(type(module).forward).parameters.values()
    optional = any(argument.default is not argument.empty for argument in arguments)
    if isinstance(module, WHOLE) or optional or not any(module.children()):
        return None
    texts = set()
    before = module.training
    try:
        for mode in (True, False):
            module.training = mode
            graph = _Whole().trace(module)
            texts.add(graph.python_code("self").src)
    except Exception:  # what tracing raises has no common base: such a module is run as it is
        return None
    finally:
        module.training = before
    constants = {str(node.target) for node in graph.nodes if str(node.target).startswith("_tensor_constant")}
    for name in constants & module.__dict__.keys():  # the tracer leaves tensors made in forward with the module
        delattr(module, name)
    return graph if len(texts) == 1 and not constants else None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", function)).strip("_")

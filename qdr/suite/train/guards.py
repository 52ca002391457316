"""What a training watches: values that are not finite, scales that collapse, channels that die.

A loss that is not finite stops the run before the step is taken, or the step is skipped and counted (`on_nonfinite`). A
state whose weights are not finite is never saved, so that the last one can be gone on from. Stopping leaves a report
beside it: where the first value was not finite, the losses before, gradients and scales.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qdr.errors import QdrError
from qdr.files import replacing
from qdr.quant.layers import QuantConv2d
from qdr.quant.quantizers import Quantizer
from qdr.suite.train.checkpoint import Progress

SKIP = "skip"
LIMIT = 20  # skipped steps in a row that end a run all the same
COLLAPSE = 1000.0  # a scale this many times smaller or larger than at the start has collapsed
_RECENT = 50
_LARGEST = 10


@contextmanager
def flushed() -> Iterator[None]:
    """Numbers below 1.2e-38 are zero in this thread and those that it starts, inside the block or the decorated function.

    Moments of weights that get no gradient (dead channels) decay to such subnormal numbers within some 700 steps and never
    to zero; x86 computes with them a hundred times slower. Measured at step 3500 of a low-light teacher: 1.67 s a step, 0.77
    with this.
    """
    before = float(torch.full((1,), 1e-38) / 1e3) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class Guard:
    """Decides whether a step is taken, and knows how the scales began; part of a run's saved state.

    Args:
        policy: "stop" or "skip", what to do with a step that is not finite.
        model: as it starts, calibrated.
    """

    def __init__(self, policy: str, model: nn.Module) -> None:
        self.policy = policy
        self.skipped = self.in_a_row = 0
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.start = scales(model)

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "recent": list(self.recent), "start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.skipped, self.in_a_row, self.start = state["skipped"], state["in_a_row"], state["start"]
        self.recent = deque(state["recent"], maxlen=_RECENT)

    def admits(self, loss: float, model: nn.Module) -> bool:
        """Whether a step of this loss is taken; if not it is counted, up to `LIMIT` in a row."""
        self.recent.append(loss)
        if math.isfinite(loss) and (self.policy != SKIP or finite(p.grad for p in model.parameters() if p.grad is not None)):
            self.in_a_row = 0
            return True
        self.skipped += 1
        self.in_a_row += 1
        return False

    def gives_up(self) -> bool:
        """Whether a step that was not admitted ends the run."""
        return self.policy != SKIP or self.in_a_row >= LIMIT

    def stop(self, model: nn.Module, degraded: Tensor, step: int, progress: Progress) -> QdrError:
        """Write the report and return the error to raise."""
        place = first_nonfinite(model, degraded)
        report = {
            "step": step,
            "first_not_finite": place,
            "skipped_steps": self.skipped,
            "losses": [str(loss) for loss in self.recent],
            "largest_gradients": _largest_gradients(model),
            "scales": {name: {"start": _span(self.start[name]), "now": _span(now)} for name, now in scales(model).items()},
            "last_state": progress.last(),
        }
        with replacing(progress.report) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return QdrError(
            f"the loss is {self.recent[-1]} at step {step}, first in {place}: lower the learning rate; the last good state "
            f"is {progress.last()}, the report {progress.report}"
        )

    def health(self, model: nn.Module) -> dict[str, int]:
        """What is wrong with a network, counted; nothing where nothing is."""
        counts = {
            "skipped_steps": self.skipped,
            "collapsed_scales": len(collapsed(self.start, scales(model))),
            "dead_channels": dead_channels(model),
        }
        return {name: count for name, count in counts.items() if count}


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every value of the tensors is finite; one transfer from the device for all of them."""
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    return not floating or bool(torch.stack(torch._foreach_norm(floating)).isfinite().all())


def scales(model: nn.Module) -> dict[str, Tensor]:
    """The quantizers' logarithmic scales by name, on the CPU."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, Quantizer)}
    return {name: module.log_scale.detach().cpu().clone() for name, module in found.items()}


def collapsed(start: dict[str, Tensor], now: dict[str, Tensor]) -> list[str]:
    """Names of quantizers with a scale `COLLAPSE` times smaller or larger than at the start."""
    return [name for name in now if bool(((now[name] - start[name]).abs() > math.log(COLLAPSE)).any())]


def dead_channels(model: nn.Module) -> int:
    """Output channels whose weights are all zero on their grid."""
    convolutions = [module for module in model.modules() if isinstance(module, QuantConv2d)]
    with torch.no_grad():
        integers = [module.quantizer.integers(module.weight) for module in convolutions]
    return sum(int((weights.flatten(1) == 0).all(dim=1).sum()) for weights in integers)


def first_nonfinite(model: nn.Module, degraded: Tensor) -> str:
    """Where the first value that is not finite is: a tensor of the model, a layer's output on `degraded`, or later."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            return f"the tensor {name!r}"
    if not bool(degraded.isfinite().all()):
        return "the input"
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not bool(output.isfinite().all()):
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(degraded)
    finally:
        for handle in hooks:
            handle.remove()
    return f"the output of layer {found[0]!r}" if found else "the loss"


def _largest_gradients(model: nn.Module) -> dict[str, str]:
    norms = {name: float(p.grad.float().norm()) for name, p in model.named_parameters() if p.grad is not None}
    first = sorted(norms, key=lambda name: (math.isfinite(norms[name]), -norms[name]))[:_LARGEST]
    return {name: f"{norms[name]:.4g}" for name in first}


def _span(log_scale: Tensor) -> list[str]:
    values = log_scale.exp()
    return [f"{float(values.min()):.4g}", f"{float(values.max()):.4g}"]

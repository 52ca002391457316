"""Processes that train one model together, started by torchrun; with one process every function here does nothing.

torch.distributed's collectives are used directly, not DistributedDataParallel or Lightning Fabric: those average gradients
in hooks of one backward pass per forward pass, and a balancer takes several (each loss at the bottleneck, PCGrad each loss
at every parameter). Gradients are averaged once, after the balancer has put them together.

The processes share a file system (checkpoints and models are written by the first and read by all).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from qdr.errors import QdrError


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0 on."""
    return distributed.get_rank() if world() > 1 else 0


def device() -> torch.device:
    """Where this process trains: its CUDA device, or the CPU where there is none or QDR_DEVICE=cpu."""
    if torch.cuda.is_available() and os.environ.get("QDR_DEVICE", "cuda") != "cpu":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def device_name() -> str:
    """What the device is called, with what else decides its bits: "cpu", or a card with the versions of CUDA and cuDNN."""
    where = device()
    if where.type == "cpu":
        return "cpu"
    parts = torch.cuda.get_device_name(where), f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]
    deterministic = ", deterministic" if torch.are_deterministic_algorithms_enabled() else ""
    return ", ".join(parts) + deterministic


@contextmanager
def together() -> Iterator[None]:
    """Join the processes that torchrun started (it sets WORLD_SIZE), with NCCL on CUDA devices and Gloo else."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or world() > 1:
        yield
        return
    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share_of(batch: int, parts: int = 1) -> tuple[int, int]:
    """The patches of a global batch that this process takes: first and behind the last.

    Args:
        batch: patches of a step, over all processes.
        parts: equal pieces in which a process works its share off (gradient accumulation).

    Raises:
        QdrError: when the batch cannot be dealt out evenly.
    """
    if batch % (world() * parts):
        raise QdrError(f"batch {batch} cannot be dealt out to {world()} processes x {parts}: change batch or accumulate")
    each = batch // world()
    return rank() * each, (rank() + 1) * each


def mean(values: Tensor) -> Tensor:
    """The mean over processes, of a tensor of equal shape in each."""
    if world() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / world()


def joined(rows: Tensor) -> Tensor:
    """The processes' rows [k, n] side by side, [k, n * world]."""
    if world() == 1:
        return rows
    pieces = [torch.empty_like(rows) for _ in range(world())]
    distributed.all_gather(pieces, rows.contiguous())
    return torch.cat(pieces, dim=1)


def average_gradients(parameters: Iterable[nn.Parameter], parts: int = 1) -> None:
    """Turn gradients that each process summed over its `parts` into those of the mean over processes and parts, in place."""
    found = [p.grad for p in parameters if p.grad is not None]
    if parts > 1:
        torch._foreach_div_(found, float(parts))
    if world() == 1 or not found:
        return
    flat = torch.cat([gradient.flatten() for gradient in found])
    distributed.all_reduce(flat)
    flat /= world()
    for gradient, piece in zip(found, torch.split(flat, [g.numel() for g in found]), strict=True):
        gradient.copy_(piece.view_as(gradient))


def same_everywhere(module: nn.Module) -> None:
    """Give every process the first one's weights, scales and statistics."""
    if world() > 1:
        state = {name: tensor.to(device()).contiguous() for name, tensor in module.state_dict().items()}
        for tensor in state.values():
            distributed.broadcast(tensor, 0)
        module.load_state_dict(state)


def agreed(value: int) -> int:
    """The largest value that any process gives: a signal that one of them saw, an exit that one of them takes."""
    if world() == 1:
        return value
    shared = torch.tensor(value, device=device())
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


def wait() -> None:
    """Go on when all have come here."""
    if world() > 1:
        distributed.barrier()

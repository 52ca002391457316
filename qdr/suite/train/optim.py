"""The optimizer and its schedule: AdamW, linear warm-up, cosine decay to zero.

Scales and balancers' parameters are logarithms, so they get their own learning rates and no weight decay.

AdamW moves a parameter by about its learning rate a step, a log-scale by that share of the scale: over 200 steps of a cosine
a factor of e at 1e-2, of 1.1 at 1e-3. Gradients of scales are sums of rounding errors; those of 8-bit weights lie near
AdamW's default eps of 1e-8, which would hold the scales back, so that their group has 1e-15.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from qdr.quant.parameters import EPS
from qdr.quant.quantizers import Quantizer
from qdr.suite.train.muon import Muon, is_matrix


def learning_rate(step: int, steps: int, warmup: int) -> float:
    """Factor of the base learning rate at `step` (0-based), in (0, 1].

    >>> [round(learning_rate(s, 10, 2), 3) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.038]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(
    model: nn.Module,
    objective: nn.Module,
    lr: float,
    weight_decay: float,
    lr_scales: float,
    lr_balance: float,
    muon: float = 0.0,
    lr_offsets: float = 1e-2,
) -> torch.optim.AdamW:
    """AdamW over the weights, the quantizers' scales and offsets, and the balancer's parameters, a group each.

    The weights are the model's and those of the objective's regressors, which stand between features of different widths.
    With a learning rate `muon` above 0 the weights of layers between many channels take Muon's steps
    (`qdr.suite.train.muon`).
    """
    quantizers = [m for m in model.modules() if isinstance(m, Quantizer)]
    scales = {id(m.log_scale): m.log_scale for m in quantizers}
    offsets = {id(p): p for m in quantizers for p in m.parameters() if id(p) not in scales}
    regressors = {id(p): p for name, p in objective.named_parameters() if name.startswith("regressors.")}
    weights = [p for p in model.parameters() if id(p) not in scales | offsets]
    matrices = {id(p): p for p in weights if muon and is_matrix(p)}
    vectors = [p for p in weights if id(p) not in matrices]
    balance = [p for p in objective.parameters() if id(p) not in regressors]
    groups = [
        {"params": [*vectors, *regressors.values()], "lr": lr, "weight_decay": weight_decay},
        {"params": list(matrices.values()), "lr": muon, "weight_decay": weight_decay, "matrices": True},
        {"params": [p for p in scales.values() if p.requires_grad], "lr": lr_scales, "weight_decay": 0.0, "eps": EPS},
        {"params": list(offsets.values()), "lr": lr_offsets, "weight_decay": 0.0, "eps": EPS},
        {"params": balance, "lr": lr_balance, "weight_decay": 0.0},
    ]
    groups = [group | {"base": group["lr"]} for group in groups if group["params"]]
    return (Muon if matrices else torch.optim.AdamW)(groups, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's base learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor

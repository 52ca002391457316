"""Learnable Magnitude Reweighting in anybody's loop: losses in, gradients in the parameters out.

The method, FACT and READING, is in `qdr.distill.balancers.lmr`; here its two parameters have an optimizer of their own.

    lmr = LMR(share=1.0)
    optimizer.zero_grad()
    log = lmr.backward({"rec": rec, "kd": kd.loss}, kd.feature)     # the first loss is the anchor
    optimizer.step()
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdr.distill.balancers.lmr import Balance
from qdr.errors import QdrError


class LMR:
    """Weighs losses so that their gradients at a tensor have given magnitudes.

    Args:
        share: of the gradient at the tensor that each loss but the first should have, in units of the first loss's.
        every: steps between two measurements of the gradients.
        lr: learning rate of the logarithms of the magnitudes.
    """

    def __init__(self, share: float = 1.0, every: int = 5, lr: float = 0.05) -> None:
        if share <= 0:
            raise QdrError(f"a share is above 0, got {share}: to leave a loss out, do not give it")
        self.share, self.every, self.lr = share, every, lr
        self.balance: Balance | None = None
        self.fade = 1.0
        self._step = 0

    def backward(self, losses: dict[str, Tensor], feature: Tensor) -> dict[str, float]:
        """Add the gradients of the weighted sum to the parameters' `grad`; a step of LMR's own parameters.

        Args:
            losses: scalars with gradients, by name; the first is the anchor.
            feature: the tensor where they meet, part of the graph of each.

        Returns:
            Losses, weights and magnitudes of the gradients, for a log.

        Raises:
            QdrError: when the number of losses changes, or one of them does not reach the tensor.
        """
        if self.balance is None:
            self.balance = Balance(len(losses), self.share, self.every)
            self.optimizer = torch.optim.AdamW(self.balance.parameters(), lr=self.lr, weight_decay=0.0)
        if len(losses) != self.balance.terms:
            raise QdrError(f"LMR was started with {self.balance.terms} losses, got {len(losses)}: make another one")
        self.balance.fade = self.fade
        self.optimizer.zero_grad()
        log = self.balance.backward(losses, feature, nn.Module(), self._step)
        self.optimizer.step()
        self._step += 1
        return log

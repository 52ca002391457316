"""Learnable Magnitude Reweighting in anybody's loop: losses in, gradients in the parameters out.

The method, FACT and READING, is in `qdr.distill.balancers.lmr`; here its two parameters have an optimizer of their own.

    lmr = LMR(share=1.0)
    optimizer.zero_grad()
    log = lmr.backward({"rec": rec, "kd": kd.loss}, kd.feature)     # the first loss is the anchor
    optimizer.step()
"""

from __future__ import annotations

from typing import Any

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

    def state_dict(self) -> dict[str, Any]:
        """What a training that goes on later needs of this object, as torch saves it."""
        if self.balance is None:
            return {"step": self._step}
        parts = {"balance": self.balance.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"step": self._step, "terms": self.balance.terms} | parts

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._step = int(state["step"])
        if "balance" in state:
            self._start(int(state["terms"])).load_state_dict(state["balance"])
            self.optimizer.load_state_dict(state["optimizer"])

    def _start(self, terms: int) -> Balance:
        self.balance = Balance(terms, self.share, self.every)
        self.optimizer = torch.optim.AdamW(self.balance.parameters(), lr=self.lr, weight_decay=0.0)
        return self.balance

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
        balance = self.balance or self._start(len(losses))
        if len(losses) != balance.terms:
            raise QdrError(f"LMR was started with {balance.terms} losses, got {len(losses)}: make another one")
        balance.fade = self.fade
        self.optimizer.zero_grad()
        log = balance.backward(losses, feature, nn.Module(), self._step)
        self.optimizer.step()
        self._step += 1
        return log

"""Training batches made on the device that trains, their degradations drawn anew for every step.

A fixed copy of a degraded image is memorized in a long training. Here the images of a prepared split lie on the device
as bytes; a batch is one gather of random crops, mirrored and turned, which `qdr.suite.data.degrade.batched` then degrades.
Real pairs (`PAIRS`) are cut as they are.
Batch k depends on (seed, k), the batch's size and the kind of device.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from qdr.errors import QdrError, check_choice
from qdr.suite.data.degrade.batched import BATCHED, TARGETS
from qdr.suite.data.loader import PairSet

PAIRS = "pairs"


class OnlineSet:
    """The images of a split on a device: clean ones with their truth maps, or pairs.

    Args:
        pairs: the prepared split.
        kind: a degradation of `qdr.suite.data.degrade.batched`, or `PAIRS`, which takes the degraded inputs as they are.
        device: where the images lie and the batches are made.
    """

    def __init__(self, pairs: PairSet, kind: str, device: torch.device) -> None:
        check_choice("degradation of batches", kind, [*BATCHED, PAIRS])
        self.pairs, self.kind, self.device = pairs, kind, device
        beside = pairs.inputs if kind == PAIRS else [pairs.truth(name) for name in pairs.names]
        stacked = [np.dstack(sides) for sides in zip(pairs.targets, beside, strict=True)]
        flat = np.concatenate([image.reshape(-1, image.shape[2]) for image in stacked])
        self._pixels = torch.from_numpy(flat).to(device)
        self._sizes = torch.tensor([image.shape[:2] for image in stacked])
        self._starts = torch.tensor([0, *(image.shape[0] * image.shape[1] for image in stacked)]).cumsum(0)

    def batches(
        self, steps: int, batch: int, patch: int, seed: int, start: int = 0, share: tuple[int, int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches `start` to `start + steps`: input and target, [batch, 3, patch, patch] in [0, 1], on the device.

        `share` takes of each batch the patches from the first number to before the second, as `PairSet.batches` does.

        Raises:
            QdrError: when an image is smaller than the patch, or the patch no multiple of JPEG's blocks of 8.
        """
        if patch % 8:
            raise QdrError(f"patch must be a multiple of 8 pixels, got {patch}")
        if int(self._sizes.min()) < patch:
            name = self.pairs.names[int(self._sizes.amin(dim=1).argmin())]
            raise QdrError(f"{self.pairs.folder}: {name!r} is smaller than the patch of {patch} pixels: lower `patch`")
        for step in range(start, start + steps):
            rng = torch.Generator(self.device).manual_seed(int(np.random.SeedSequence((seed, step)).generate_state(1)[0]))
            places = self._places(np.random.default_rng((seed, step)), batch, patch)
            crops = self._pixels[places].permute(0, 3, 1, 2).float().div(255)
            clean, beside = crops[:, :3].contiguous(), crops[:, 3:]
            if self.kind in TARGETS:
                clean = TARGETS[self.kind](rng, clean)
            degraded = beside if self.kind == PAIRS else BATCHED[self.kind](rng, clean, beside)
            taken = slice(*share) if share else slice(None)
            yield degraded[taken], clean[taken]

    def _places(self, rng: np.random.Generator, batch: int, patch: int) -> Tensor:
        """Where the pixels of random crops lie, [batch, patch, patch]; larger images are drawn more often."""
        areas = np.diff(self._starts.numpy())
        chosen = torch.from_numpy(rng.choice(len(areas), batch, p=areas / areas.sum()))
        widths, corner = self._sizes[chosen, 1], torch.from_numpy(rng.random((batch, 2))) * (self._sizes[chosen] - patch + 1)
        first = self._starts[chosen] + corner[:, 0].long() * widths + corner[:, 1].long()
        flips = torch.from_numpy(rng.integers(0, 2, (3, batch)))
        drawn = torch.stack([first, widths, *flips]).to(self.device).reshape(5, batch, 1, 1)
        first, widths, turned, down, across = drawn
        side = torch.arange(patch, device=self.device)
        rows, columns = side[:, None], side[None]
        y, x = torch.where(turned == 1, columns, rows), torch.where(turned == 1, rows, columns)
        y, x = torch.where(down == 1, patch - 1 - y, y), torch.where(across == 1, patch - 1 - x, x)
        places: Tensor = first + y * widths + x
        return places

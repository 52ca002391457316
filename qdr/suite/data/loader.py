"""A split in memory, and its random patches.

Batch k depends on (seed, k) alone, whichever batches were drawn before: a run that goes on after an interruption sees
what it would have seen. Patches are cropped, mirrored and turned at random, the same way in input and target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qdr.errors import QdrError
from qdr.images.pairs import match, read_grey, read_pair, with_targets
from qdr.suite import paths


class Batches(Protocol):
    """What a training draws its batches from."""

    def batches(
        self, steps: int, batch: int, patch: int, seed: int, start: int = 0, share: tuple[int, int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches `start` to `start + steps`: input and target, [batch, 3, patch, patch] in [0, 1]."""


@dataclass(frozen=True)
class PairSet:
    """The pairs of one split: names, degraded inputs and clean targets, uint8 RGB [h, w, 3] each."""

    folder: Path
    names: list[str]
    inputs: list[NDArray[np.uint8]]
    targets: list[NDArray[np.uint8]]

    @classmethod
    def load(cls, task: str, split: str) -> PairSet:
        """Read a prepared split."""
        folder = paths.prepared(task, split)
        found = match(folder)
        pairs = [read_pair(*entry) for entry in found]
        return cls(folder, [name for name, _, _ in found], [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    @classmethod
    def read(cls, images: Path, targets: Path | None) -> PairSet:
        """The images of a folder, with the targets of the same names, or with none (they stand for themselves)."""
        degraded, clean = with_targets(images, targets)
        pairs = [read_pair(name, path, clean[name]) for name, path in degraded.items()]
        return cls(images, list(degraded), [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def draw(self, count: int, seed: int) -> PairSet:
        """`count` pairs drawn at random, in the order of their names; those of a smaller draw are among a larger's.

        Raises:
            QdrError: when there are fewer.
        """
        if count > len(self.names):
            raise QdrError(f"{self.folder} holds {len(self.names)} pairs, {count} are asked for: lower `images`")
        drawn = sorted(int(i) for i in np.random.default_rng(seed).permutation(len(self.names))[:count])
        inputs, targets = ([side[i] for i in drawn] for side in (self.inputs, self.targets))
        return PairSet(self.folder, [self.names[i] for i in drawn], inputs, targets)

    @cached_property
    def digest(self) -> str:
        """Checksum of all pixels: what a run was trained on."""
        total = hashlib.sha256()
        for image in (*self.inputs, *self.targets):
            total.update(image.tobytes())
        return total.hexdigest()

    def truth(self, name: str) -> NDArray[np.uint8]:
        """The degradation map of an image, uint8 [h, w]."""
        return read_grey(self.folder / "truth" / f"{name}.png")

    def batches(
        self, steps: int, batch: int, patch: int, seed: int, start: int = 0, share: tuple[int, int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches `start` to `start + steps` of patches: input and target, [batch, 3, patch, patch] in [0, 1].

        `share` takes of each batch the patches from the first number to before the second: what one of several processes
        trains on. The patches of a batch are the same however it is shared out.

        Raises:
            QdrError: when an image is smaller than the patch.
        """
        for name, image in zip(self.names, self.inputs, strict=True):
            if min(image.shape[:2]) < patch:
                raise QdrError(f"{self.folder}: {name!r} is smaller than the patch of {patch} pixels: lower `patch`")
        for step in range(start, start + steps):
            rng = np.random.default_rng((seed, step))
            places = [self._place(rng, patch) for _ in range(batch)]
            cut = [self._cut(place, patch) for place in places[slice(*share) if share else slice(None)]]
            stacked = (np.stack(side) for side in zip(*cut, strict=True))
            degraded, target = (torch.from_numpy(side.transpose(0, 3, 1, 2).copy()).float().div(255) for side in stacked)
            yield degraded, target

    def _place(self, rng: np.random.Generator, patch: int) -> tuple[int, ...]:
        """Draw an image, the upper left corner of a patch, quarter turns and whether it is mirrored."""
        i = rng.integers(len(self.names))
        height, width = self.inputs[i].shape[:2]
        y, x = rng.integers(height - patch + 1), rng.integers(width - patch + 1)
        turns, mirrored = rng.integers(4), rng.integers(2)
        return int(i), int(y), int(x), int(turns), int(mirrored)

    def _cut(self, place: tuple[int, ...], patch: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        i, y, x, turns, mirrored = place

        def cut(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
            piece: NDArray[np.uint8] = np.rot90(image[y : y + patch, x : x + patch], turns)
            return piece[:, ::-1] if mirrored else piece

        return cut(self.inputs[i]), cut(self.targets[i])

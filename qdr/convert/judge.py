"""What INT8 costs: the drop in dB against FP32 on images held back, from 8-bit pixels.

With clean targets it is the difference of two PSNRs. Without, FP32 is the reference: with q^2 the mean squared difference
of INT8 and FP32 pixels and e^2 the error of an FP32 network of so many dB (10 log10 1/e^2, 30 dB unless said otherwise),
and both independent,

    drop = 10 log10(1 + q^2 / e^2).

Two results that round to the same pixels differ by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from qdr.convert.frames import Pixels
from qdr.export.numerics import to_batch, to_pixels
from qdr.runtimes.session import Session

Batch = NDArray[np.float32]
Run = Callable[[Batch], Batch]
_CALLS = 7
_SAME = 100.0  # dB between equal images


@dataclass(frozen=True)
class Score:
    """A file or network against FP32.

    Args:
        drop: dB lost against FP32, mean over the images.
        agreement: PSNR between its pixels and FP32's in dB, mean over the images.
        milliseconds: for one crop, the median of some calls.
        engine: that computed it.
    """

    drop: float
    agreement: float
    milliseconds: float
    engine: str


class Judge:
    """Holds the images that were held back and FP32's answers.

    Args:
        inputs: uint8 [h, w, c] each.
        targets: clean images, or none.
        reference: FP32, [1, c, h, w] in [0, 1] to the same.
        psnr: of FP32 against the truth, where there are no targets, in dB.
    """

    def __init__(self, inputs: Sequence[Pixels], targets: Sequence[Pixels], reference: Run, psnr: float) -> None:
        self.inputs, self.targets, self.psnr, self._run = inputs, targets, psnr, reference
        self.reference = [_pixels(reference, image) for image in inputs]

    def few(self, count: int, side: int) -> Judge:
        """A judge by parts of the first images, for comparing many candidates; FP32's answers are computed anew."""
        inputs = [image[:side, :side] for image in self.inputs[:count]]
        return Judge(inputs, [image[:side, :side] for image in self.targets[:count]], self._run, self.psnr)

    def score(self, run: Run, engine: str, timed: bool = False) -> Score:
        """Compare what `run` makes of the images with FP32."""
        found = [_pixels(run, image) for image in self.inputs]
        errors = [_mse(a, b) for a, b in zip(found, self.reference, strict=True)]
        agreement = fmean(_db(error) if error else _SAME for error in errors)
        if self.targets:
            pairs = zip(found, self.reference, self.targets, strict=True)
            drop = fmean(_db(_mse(fp32, clean)) - _db(_mse(ours, clean)) for ours, fp32, clean in pairs)
        else:
            drop = fmean(10 * math.log10(1 + error / 10 ** (-self.psnr / 10)) for error in errors)
        return Score(drop, agreement, _milliseconds(run, self.inputs[0]) if timed else math.nan, engine)

    def of(self, session: Session) -> Score:
        """The score of an open engine, timed."""
        return self.score(session.run, session.name, timed=True)

    def against_targets(self) -> float | None:
        """PSNR of FP32 against the targets in dB, if there are any."""
        pairs = zip(self.reference, self.targets, strict=False)
        return fmean(_db(_mse(a, b)) for a, b in pairs) if self.targets else None


def _pixels(run: Run, image: Pixels) -> Pixels:
    return np.asarray(np.rint(to_pixels(run(to_batch(image))) * 255), np.uint8)


def _mse(a: Pixels, b: Pixels) -> float:
    return float(np.square(a.astype(np.float64) - b).mean()) / 255**2


def _db(error: float) -> float:
    return -10 * math.log10(max(error, 1e-10))


def _milliseconds(run: Run, image: Pixels) -> float:
    batch, times = to_batch(image), []
    for _ in range(_CALLS):
        begun = perf_counter()
        run(batch)
        times.append(perf_counter() - begun)
    return median(times[1:]) * 1e3

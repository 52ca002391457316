"""Paired intervals over images: is a difference more than the choice of test images?

Every method restores the same images, so differences are taken per image and the images are resampled (percentile
bootstrap, Efron and Tibshirani 1993, chapter 13). Seeds are averaged per image first; the spread over seeds is another
source of variation and is stated apart. An interval over a handful of images is wide, as it should be.

What is no mean over images may be biased when images are drawn twice: the average precision of a detector is higher on most
resampled sets than on all images (48.7 points between quantiles of 44.5 and 63). Such an interval is bias-corrected and
accelerated (BCa, chapter 14): the quantiles are moved by how much of the resampled values lies below the estimate, and by
the skewness of what leaving out single images does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qdr.errors import QdrError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided interval."""

    estimate: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


class Bootstrap:
    """Resampled sets of image indices, the same for every comparison of equal size.

    Args:
        resamples: number of sets.
        confidence: two-sided level, such as 0.95.
        seed: of the resampling.
    """

    def __init__(self, resamples: int, confidence: float, seed: int = 0) -> None:
        self.resamples, self.confidence, self.seed = resamples, confidence, seed

    def mean(self, values: Values) -> Interval:
        """The mean of one value per image."""
        return self.interval(float(values.mean()), values[self.sets(len(values))].mean(axis=1))

    def difference(self, a: Values, b: Values) -> Interval:
        """The mean of a - b, paired by image."""
        _check_paired(a, b)
        return self.mean(a - b)

    def gain_recovery(self, quantized: Values, fp32: Values, degraded: Values) -> Interval:
        """(mean quantized - mean degraded) / (mean fp32 - mean degraded), all three resampled together."""
        _check_paired(quantized, fp32)
        _check_paired(quantized, degraded)
        chosen = self.sets(len(quantized))
        kept, gained = quantized - degraded, fp32 - degraded
        drawn = kept[chosen].mean(axis=1) / gained[chosen].mean(axis=1)
        return self.interval(float(kept.mean() / gained.mean()), drawn)

    def sets(self, count: int) -> NDArray[np.int64]:
        """The resampled sets of `count` images, [resamples, count] indices."""
        if count < 2:
            raise QdrError(f"an interval needs at least two images, got {count}")
        return np.random.default_rng(self.seed).integers(count, size=(self.resamples, count))

    def interval(self, estimate: float, drawn: Values, left_out: Values | None = None) -> Interval:
        """An estimate with the interval of its values on the resampled sets.

        Args:
            estimate: on all images.
            drawn: on each resampled set.
            left_out: on all images but one, in turn: the interval is then BCa, else the percentiles.
        """
        tails = np.array([(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        if left_out is not None:
            below = (np.mean(drawn < estimate) + np.mean(drawn <= estimate)) / 2
            bias = stats.norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
            moved = left_out.mean() - left_out
            spread = float((moved**2).sum())
            skew = float((moved**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
            z = bias + stats.norm.ppf(tails)
            tails = stats.norm.cdf(bias + z / (1 - skew * z))
        low, high = np.quantile(drawn, tails)
        return Interval(estimate, float(low), float(high))


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over blocks, best first, and what separates two of them."""

    ranks: dict[str, float]
    p_value: float
    critical_difference: float


def rank(values: dict[str, Values], confidence: float) -> Ranking:
    """Rank methods within each block (an image of a task; higher is better), ties averaged.

    Friedman's test asks whether the methods differ at all; two of them differ where their mean ranks are further apart
    than Nemenyi's critical difference  q_alpha sqrt(k (k + 1) / (6 n))  (Demsar, JMLR 7, 2006, section 3.2.2).

    Args:
        values: per method one value per block, the same blocks in the same order.
        confidence: 1 - alpha.
    """
    names, table = list(values), np.stack(list(values.values()), axis=1)
    count, methods = table.shape
    if methods < 3 or count < 2:
        raise QdrError(f"a ranking needs at least three methods and two blocks, got {methods} and {count}")
    means = stats.rankdata(-table, axis=1).mean(axis=0)
    found = sorted(zip(names, (float(mean) for mean in means), strict=True), key=lambda pair: pair[1])
    q = stats.studentized_range.ppf(confidence, methods, np.inf) / np.sqrt(2)
    difference = float(q * np.sqrt(methods * (methods + 1) / (6 * count)))
    return Ranking(dict(found), float(stats.friedmanchisquare(*table.T).pvalue), difference)


def _check_paired(a: Values, b: Values) -> None:
    if a.shape != b.shape:
        raise QdrError(f"paired statistics need the same images on both sides, got {a.shape[0]} and {b.shape[0]}")

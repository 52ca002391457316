from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats

from qdr.errors import QdrError
from qdr.suite.evaluate.stats import Bootstrap, Interval, Paired, holm, rank

boot = Bootstrap(2000, 0.95)
paired = Paired(0.95)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 30))
def test_one_seed_is_scipys_paired_t_test(seed: int, count: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, count))
    ours, theirs = paired.difference(a, b), scipy_stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.p) == pytest.approx((interval.low, interval.high, theirs.pvalue))
    assert paired.mean(np.stack([a, a])).low <= a.mean() <= paired.mean(np.stack([a, a])).high


def test_a_seed_more_of_the_same_adds_nothing() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 12)
    assert vars(paired.mean(np.stack([values] * 3))) == pytest.approx(vars(paired.mean(values)))


@pytest.mark.parametrize(
    ("seeds", "images", "apart", "least"), [(1, 7, 0, 0.93), (2, 7, 0.5, 0.92), (5, 7, 2, 0.9), (5, 50, 2, 0.91)]
)
def test_coverage_of_a_known_mean(seeds: int, images: int, apart: float, least: float) -> None:
    """`apart`: the standard deviation of seeds over that of images."""
    rng = np.random.default_rng(3)

    def drawn() -> Interval:
        image, seed, rest = rng.normal(size=images), apart * rng.normal(size=(seeds, 1)), rng.normal(size=(seeds, images))
        return paired.mean(5 + image + seed + 0.5 * rest)

    held = np.mean([found.low <= 5 <= found.high for found in (drawn() for _ in range(600))])
    assert least < held < 0.985


@pytest.mark.parametrize("images", [7, 20, 50])
def test_coverage_of_a_known_recovery(images: int) -> None:
    rng = np.random.default_rng(4)
    held = []
    for _ in range(600):
        degraded, gained = rng.normal(20, 3, images), rng.gamma(4, 2, images)
        found = paired.gain_recovery(degraded + 0.96 * gained + rng.normal(0, 0.3, images), degraded + gained, degraded)
        held.append(found.low <= 0.96 <= found.high)
    assert 0.93 < np.mean(held) < 0.975


def test_a_shared_difficulty_of_the_images_cancels() -> None:
    rng = np.random.default_rng(4)
    difficulty = rng.normal(30, 5, 10)
    a, b = difficulty + 0.1 + rng.normal(0, 0.02, 10), difficulty
    assert paired.difference(a, b).significant
    assert not paired.difference(b, b).significant
    assert not paired.difference(b + np.tile([0.1, -0.1], 5), b).significant


def test_gain_recovery_of_the_ends_is_exact_and_of_no_gain_unbounded() -> None:
    rng = np.random.default_rng(5)
    degraded, fp32 = rng.normal(20, 2, 8), rng.normal(30, 2, 8)
    for quantized, expected in ((fp32, 1.0), (degraded, 0.0)):
        interval = paired.gain_recovery(quantized, fp32, degraded)
        assert (interval.low, interval.high) == (pytest.approx(expected), pytest.approx(expected))
    nothing = paired.gain_recovery(degraded, degraded + np.tile([0.1, -0.1], 4) + 0.01, degraded)
    assert (nothing.low, nothing.high) == (-math.inf, math.inf)


def test_equivalence_is_two_one_sided_tests() -> None:
    a = np.random.default_rng(6).normal(0.01, 0.02, 20)
    upper = scipy_stats.ttest_1samp(a, 0.05, alternative="less").pvalue
    lower = scipy_stats.ttest_1samp(a, -0.05, alternative="greater").pvalue
    assert paired.equivalent(a, np.zeros(20), 0.05) == pytest.approx(max(upper, lower))
    assert paired.equivalent(a + 1, np.zeros(20), 0.05) > 0.99


def test_what_could_have_been_seen_is_seen_that_often() -> None:
    rng = np.random.default_rng(7)
    size = float(np.median([paired.detectable(rng.normal(0, 1, 20)) for _ in range(200)]))
    seen = np.mean([paired.mean(rng.normal(size, 1, 20)).p < 0.05 for _ in range(600)])
    assert seen == pytest.approx(0.8, abs=0.06)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_each_test_alone_and_bonferroni(p_values: list[float]) -> None:
    for alone, adjusted in zip(p_values, holm(p_values), strict=True):
        assert alone <= adjusted <= min(1.0, len(p_values) * alone) + 1e-12
    assert min(holm(p_values)) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def test_what_is_not_paired() -> None:
    with pytest.raises(QdrError, match="same images on both sides"):
        paired.difference(np.zeros(3), np.zeros(4))
    with pytest.raises(QdrError, match="at least two images"):
        paired.mean(np.zeros(1))


def test_ranks_and_nemenyis_critical_difference() -> None:
    """Demsar 2006, section 3.2.2: four classifiers, 14 data sets, alpha = 0.05: CD = 2.569 sqrt(4*5 / (6*14)) = 1.25."""
    rng = np.random.default_rng(5)
    base = rng.normal(0, 3, 14)
    shifts = {"best": 1.0, "middle": 0.5, "tied": 0.5, "worst": 0.0}
    found = rank({name: base + shift for name, shift in shifts.items()}, 0.95)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.ranks == {"best": 1.0, "middle": 2.5, "tied": 2.5, "worst": 4.0}
    assert found.p_value < 1e-6
    with pytest.raises(QdrError, match="at least three"):
        rank({"a": base, "b": base}, 0.95)


def test_a_corrected_interval_agrees_with_scipy() -> None:
    """Of a skewed statistic, the largest share: its percentiles are off by its bias."""
    values = np.random.default_rng(7).lognormal(0, 1, 30)

    def statistic(x: np.ndarray, axis: int = -1) -> np.ndarray:
        return x.var(axis=axis) / x.mean(axis=axis) ** 2

    many = Bootstrap(20000, 0.95)
    left_out = np.array([statistic(np.delete(values, i)) for i in range(30)])
    ours = many.interval(float(statistic(values)), statistic(values[many.sets(30)]), left_out)
    theirs = scipy_stats.bootstrap((values,), statistic, n_resamples=20000, method="BCa", random_state=2, vectorized=True)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.03)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.03)
    assert ours.high > np.quantile(statistic(values[many.sets(30)]), 0.975)


def test_a_corrected_interval_of_what_does_not_vary() -> None:
    same = boot.interval(0.5, np.full(100, 0.5), np.full(10, 0.5))
    assert (same.low, same.high) == (0.5, 0.5)
    beyond = boot.interval(0.2, np.linspace(0.3, 0.6, 100), np.linspace(0.1, 0.3, 10))
    assert 0.3 <= beyond.low <= beyond.high <= 0.6

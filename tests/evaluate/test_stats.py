from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats

from qdr.errors import QdrError
from qdr.suite.evaluate.stats import Bootstrap, rank

boot = Bootstrap(2000, 0.95)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 30))
def test_an_interval_holds_its_estimate_and_stays_within_the_values(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    interval = boot.mean(values)
    ordered = [values.min(), interval.low, interval.estimate, interval.high, values.max()]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(ordered))  # a mean of equal values may round up
    assert interval.estimate == pytest.approx(values.mean())


def test_it_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 25)
    ours = Bootstrap(20000, 0.95).mean(values)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", random_state=2
    ).confidence_interval
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.02), pytest.approx(theirs.high, abs=0.02))


def test_coverage_of_a_known_mean() -> None:
    rng = np.random.default_rng(3)
    quick = Bootstrap(300, 0.95)
    held = [quick.mean(rng.normal(5, 2, 30)) for _ in range(300)]
    assert 0.88 < np.mean([interval.low <= 5 <= interval.high for interval in held]) < 0.98


def test_a_shared_difficulty_of_the_images_cancels() -> None:
    rng = np.random.default_rng(4)
    difficulty = rng.normal(30, 5, 10)
    a, b = difficulty + 0.1 + rng.normal(0, 0.02, 10), difficulty
    assert boot.difference(a, b).significant
    assert not boot.difference(b, b).significant
    assert not boot.difference(b + np.tile([0.1, -0.1], 5), b).significant


def test_gain_recovery_of_the_ends_is_exact() -> None:
    rng = np.random.default_rng(5)
    degraded, fp32 = rng.normal(20, 2, 8), rng.normal(30, 2, 8)
    for quantized, expected in ((fp32, 1.0), (degraded, 0.0)):
        interval = boot.gain_recovery(quantized, fp32, degraded)
        assert interval.low == pytest.approx(expected)
        assert interval.high == pytest.approx(expected)


def test_what_is_not_paired() -> None:
    with pytest.raises(QdrError, match="same images on both sides"):
        boot.difference(np.zeros(3), np.zeros(4))
    with pytest.raises(QdrError, match="at least two images"):
        boot.mean(np.zeros(1))


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
    plain = many.interval(float(statistic(values)), statistic(values[many.sets(30)]))
    assert ours.high > plain.high


def test_a_corrected_interval_of_what_does_not_vary() -> None:
    same = boot.interval(0.5, np.full(100, 0.5), np.full(10, 0.5))
    assert (same.low, same.high) == (0.5, 0.5)
    beyond = boot.interval(0.2, np.linspace(0.3, 0.6, 100), np.linspace(0.1, 0.3, 10))
    assert 0.3 <= beyond.low <= beyond.high <= 0.6

"""Laws of the integer grid and of LSQ's gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from qdr.errors import QdrError
from qdr.quant import quantizers
from qdr.quant.affine import dequantize, integer_conv2d, integer_range, quantize
from qdr.quant.observers import OBSERVERS, WEIGHT_OBSERVERS, minmax, mse
from qdr.quant.quantizers import QUANTIZERS
from qdr.quant.quantizers.lsq import fake_quantize

values = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40).map(torch.tensor)
scales = st.floats(2**-8, 4.0, width=32).map(torch.tensor)
bits = st.integers(2, 8)


@given(values, scales, bits)
def test_quantize_is_idempotent_and_bounded(x: torch.Tensor, scale: torch.Tensor, width: int) -> None:
    low, high = integer_range(width)
    q = quantize(x, scale, low, high)
    assert bool(((q >= low) & (q <= high)).all())
    assert torch.equal(quantize(dequantize(q, scale), scale, low, high), q)


@given(values, scales, bits)
def test_error_is_at_most_half_a_step_inside_the_range(x: torch.Tensor, scale: torch.Tensor, width: int) -> None:
    low, high = integer_range(width)
    inside = (x >= low * scale) & (x <= high * scale)
    error = (dequantize(quantize(x, scale, low, high), scale) - x).abs()
    assert bool((error[inside] <= scale / 2 * (1 + 1e-4)).all())


@given(scales, bits)
def test_zero_is_exact(scale: torch.Tensor, width: int) -> None:
    assert float(dequantize(quantize(torch.tensor(0.0), scale, *integer_range(width)), scale)) == 0.0


@given(values, bits)
def test_minmax_clips_nothing_and_mse_is_no_worse(x: torch.Tensor, width: int) -> None:
    low, high = integer_range(width)
    full, best = minmax([x], low, high), mse([x], low, high)
    assert bool((x.abs() <= full * high * (1 + 1e-5) + 1e-6).all())

    def error(scale: torch.Tensor) -> float:
        return float((dequantize(quantize(x, scale, low, high), scale) - x).square().mean())

    assert error(best) <= error(full) + 1e-12


@given(st.integers(0, 2**31), bits)
def test_per_channel_is_a_loop_of_per_tensor(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(5, 3, 2, 2, generator=generator)
    log_scale = torch.randn(5, 1, 1, 1, generator=generator) - 2
    together = fake_quantize(weight, log_scale, *integer_range(width))
    grid = integer_range(width)
    apart = [fake_quantize(w, t.reshape(()), *grid) for w, t in zip(weight, log_scale, strict=True)]
    assert torch.equal(together, torch.stack(apart))


@settings(deadline=None)
@given(st.integers(0, 2**31), bits)
def test_gradients_equal_torchs_learnable_fake_quantize(seed: int, width: int) -> None:
    """Torch's operator learns s itself; by the chain rule dL/dlog(s) = s dL/ds. LSQ's damping, a factor that the operator
    takes, is left out (`qdr.quant.quantizers.lsq`).

    It calls a value inside if its rounded integer is, half a step more than LSQ: such values are left out here, and so
    are those on a rounding boundary, where either integer is right.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = integer_range(width)
    scale = torch.rand((), generator=generator) + 0.05
    v = torch.randn(200, generator=generator) * 3 / scale
    between = ((v > high) & (v < high + 0.6)) | ((v < low) & (v > low - 0.6))
    v = v[~between & ((v - v.floor() - 0.5).abs() > 1e-3)]
    x, seen = v * scale, torch.randn(v.shape, generator=generator)
    ours_x, ours_t = x.clone().requires_grad_(), scale.log().requires_grad_()
    ours = fake_quantize(ours_x, ours_t, low, high)
    ours.backward(seen)
    theirs_x, theirs_s = x.clone().requires_grad_(), scale.log().exp().reshape(1).requires_grad_()
    zero = torch.zeros(1)
    theirs = torch._fake_quantize_learnable_per_tensor_affine(theirs_x, theirs_s, zero, low, high, 1.0)
    theirs.backward(seen)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours_t.grad is not None
    assert theirs_s.grad is not None
    assert torch.allclose(ours_t.grad, theirs_s.grad[0] * scale, rtol=2e-3, atol=1e-4)
    assert ours_x.grad is not None
    assert torch.equal(ours_x.grad, theirs_x.grad)


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 1)])
def test_gradients_at_the_bounds_are_those_outside(shape: tuple[int, ...]) -> None:
    """LSQ, eq. 3 and 5: inside is low < v < high. One scale and one per channel agree (a power of two: v is exact)."""
    x = torch.tensor([-8.0, -7.5, 0.3, 6.9, 7.0, 7.3]).reshape(1, 1, 1, 6) / 4
    x.requires_grad_()
    log_scale = torch.tensor(0.25).log().reshape(shape).requires_grad_()
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape(1, 1, 1, 6)
    fake_quantize(x, log_scale, -8, 7).backward(upstream)
    assert x.grad is not None
    assert torch.equal(x.grad.flatten(), torch.tensor([0.0, 2.0, 3.0, 4.0, 0.0, 0.0]))
    slopes = torch.tensor([-8.0, -8.0 + 7.5, 0.0 - 0.3, 7.0 - 6.9, 7.0, 7.0]) / 4
    assert log_scale.grad is not None
    assert float(log_scale.grad.sum()) == pytest.approx(float((slopes * upstream.flatten()).sum()), rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_fake_quantized_convolution_is_the_integer_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q_x = torch.randint(-128, 128, (1, 4, 6, 6), generator=generator).double()
    q_w = torch.randint(-127, 128, (3, 4, 3, 3), generator=generator).double()
    q_b = torch.randint(-5000, 5000, (3,), generator=generator).double()
    s_x, s_w = 2.0**-6, torch.tensor([2.0**-7, 2.0**-8, 2.0**-5], dtype=torch.float64)
    real = torch.nn.functional.conv2d(q_x * s_x, q_w * s_w.reshape(3, 1, 1, 1), q_b * s_x * s_w, padding=1)
    assert torch.equal(real, integer_conv2d(q_x, q_w, q_b, padding=1) * (s_x * s_w).reshape(1, 3, 1, 1))


NAMES = ("lsq", "lsqplus", "pact", "dorefa", "ste")


def made(name: str, width: int, scale: float) -> quantizers.Quantizer:
    found = quantizers.activations(name, *integer_range(width))
    found.start(torch.tensor(scale))
    return found


def test_every_file_is_a_quantizer() -> None:
    assert set(QUANTIZERS) >= set(NAMES)
    with pytest.raises(QdrError, match="did you mean 'lsq'"):
        quantizers.activations("lsqq", -8, 7)


@pytest.mark.parametrize("name", NAMES)
@given(values, st.floats(2**-6, 2.0), bits)
def test_every_quantizer_is_bounded_idempotent_monotone_and_keeps_zero(
    name: str, x: torch.Tensor, scale: float, width: int
) -> None:
    quantizer = made(name, width, scale)
    low, high = integer_range(width)
    with torch.no_grad():
        once = quantizer(x)
        step = quantizer.scale(x)
        assert bool(((once >= low * step * (1 + 1e-5)) & (once <= high * step * (1 + 1e-5))).all())
        assert torch.allclose(quantizer(once), once, rtol=1e-5, atol=1e-6)
        rising = quantizer(x.sort().values)
        assert bool((rising.diff() >= -1e-6).all())
        assert float(quantizer(torch.zeros(1))) == 0.0
        integers = quantizer.integers(x)
        assert torch.equal(integers, integers.round())
        assert torch.allclose(integers * step, once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lsq", "lsqplus", "pact"])
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_learned_scales_follow_finite_differences_where_values_are_clipped(name: str, seed: int, width: int) -> None:
    """Outside the range x_hat is low or high times the scale, a smooth function of it (LSQ, eq. 3)."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(50, generator=generator) + 1.5) * torch.where(
        torch.rand(50, generator=generator) > 0.5, 2.0**width, -(2.0**width)
    )
    quantizer = made(name, width, 1.0)
    quantizer(x).square().sum().backward()
    grad = quantizer.log_scale.grad
    assert grad is not None
    values = []
    with torch.no_grad():
        for shift in (1e-3, -1e-3):
            quantizer.log_scale.fill_(shift)
            values.append(float(quantizer(x).double().square().sum()))
    slope = (values[0] - values[1]) / 2e-3
    assert float(grad) == pytest.approx(slope, rel=1e-3)


def test_lsqplus_learns_its_offset_from_clipped_values() -> None:
    quantizer = made("lsqplus", 4, 1.0)
    quantizer(torch.tensor([100.0, 100.0, 0.3])).sum().backward()
    (offset,) = [p for n, p in quantizer.named_parameters() if n == "offset"]
    assert offset.grad is not None
    assert float(offset.grad) == pytest.approx(2 * 15, rel=1e-5)  # 15 steps are the width of the grid


@pytest.mark.parametrize("shift", [0.0, -2.0, 3.0])
def test_lsqplus_starts_at_the_step_and_offset_of_least_error(shift: float) -> None:
    """Values in [shift, shift + 1]: a grid of 15 steps over that range, where LSQ's symmetric one has half or less."""
    x = torch.rand(20000, generator=torch.Generator().manual_seed(0)) + shift
    quantizer = quantizers.activations("lsqplus", -8, 7)
    quantizer.calibrate([x], mse([x], -8, 7))
    with torch.no_grad():
        error = float((quantizer(x) - x).square().mean())
        symmetric = float((quantize(x, mse([x], -8, 7), -8, 7) * mse([x], -8, 7) - x).square().mean())
    assert error < 1.2 * (1 / 15) ** 2 / 12
    assert error < 0.35 * symmetric


@given(st.integers(0, 2**31))
def test_dorefa_keeps_a_pretrained_weight_to_third_order(seed: int) -> None:
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.05
    quantizer = quantizers.weights("dorefa", *integer_range(8, narrow=True), (4, 1, 1, 1))
    step = quantizer.scale(weight)
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    assert bool(((quantizer(weight) - weight).abs() <= step * 0.51 + largest**3 / 3).all())
    assert float(quantizer.integers(weight).abs().max()) == 127


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "entropy" else n for n in OBSERVERS])
@given(st.integers(0, 2**31), bits)
def test_observers_are_equivariant_and_no_wider_than_minmax(name: str, seed: int, width: int) -> None:
    low, high = integer_range(width)
    generator = torch.Generator().manual_seed(seed)
    samples = [torch.randn(400, generator=generator) for _ in range(3)]
    scale = OBSERVERS[name](samples, low, high)
    assert 0 < float(scale) <= float(minmax(samples, low, high)) * (1 + 1e-5)
    doubled = OBSERVERS[name]([2 * x for x in samples], low, high)
    assert torch.allclose(doubled, 2 * scale, rtol=1e-4)


def test_observers_on_a_long_tail() -> None:
    """Of four bits, a single value a hundred times larger than the rest: all but min-max clip it."""
    x = torch.cat([torch.randn(20000, generator=torch.Generator().manual_seed(0)), torch.tensor([100.0])])
    scales = {name: float(observe([x], -8, 7)) for name, observe in OBSERVERS.items()}
    assert scales["minmax"] == pytest.approx(100 / 7)
    assert scales["percentile"] < 1
    assert scales["entropy"] < 0.6 * scales["minmax"]
    assert scales["mse"] < scales["minmax"]


@given(rows=st.integers(1, 5), length=st.integers(1, 40), seed=st.integers(0, 2**31), bits=st.integers(2, 8))
def test_all_channels_at_once_are_each_channel_alone(rows: int, length: int, seed: int, bits: int) -> None:
    weights = torch.randn((rows, length), generator=torch.Generator().manual_seed(seed))
    low, high = integer_range(bits, narrow=True)
    for name, observer in WEIGHT_OBSERVERS.items():
        alone = torch.stack([OBSERVERS[name]([row], low, high) for row in weights])
        assert torch.equal(observer(weights, low, high), alone)

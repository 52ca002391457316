"""Laws of the integer grid and of LSQ's gradients."""

from __future__ import annotations

import torch
from hypothesis import given, settings, strategies as st

from qdr.quant.affine import dequantize, integer_conv2d, integer_range, quantize
from qdr.quant.lsq import fake_quantize
from qdr.quant.observers import minmax_scale, mse_scale

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
    full, best = minmax_scale(x, low, high), mse_scale(x, low, high)
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
    """Torch's operator learns s itself, with the same gradient scale; by the chain rule dL/dlog(s) = s dL/ds.

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
    factor = 1 / (x.numel() * high) ** 0.5
    ours_x, ours_t = x.clone().requires_grad_(), scale.log().requires_grad_()
    ours = fake_quantize(ours_x, ours_t, low, high)
    ours.backward(seen)
    theirs_x, theirs_s = x.clone().requires_grad_(), scale.log().exp().reshape(1).requires_grad_()
    zero = torch.zeros(1)
    theirs = torch._fake_quantize_learnable_per_tensor_affine(theirs_x, theirs_s, zero, low, high, factor)
    theirs.backward(seen)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours_t.grad is not None
    assert theirs_s.grad is not None
    assert torch.allclose(ours_t.grad, theirs_s.grad[0] * scale, rtol=2e-3, atol=1e-4)
    assert ours_x.grad is not None
    assert torch.equal(ours_x.grad, theirs_x.grad)


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

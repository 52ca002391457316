"""Learned rounding: what it may change, what it must not, and whether it finds what enumeration finds."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

import qdr
from qdr.errors import QdrError
from qdr.models.blocks import QuantPoint
from qdr.models.efm import EFM
from qdr.models.peers.nafnet import NAFNet
from qdr.models.peers.prenet import PReNet
from qdr.quant import reconstruct as module
from qdr.quant.layers import ActivationQuantizer, QuantConv2d
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare, set_mode
from qdr.quant.reconstruct import METHODS, Rounding, correct_biases, reconstruct, soft
from qdr.runtimes.session import open_session
from tests.networks import small_efm


def images(count: int = 4, channels: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.rand(1, channels, 32, 32, generator=generator) for _ in range(count)]


def calibrated(model: nn.Module, scheme: str = "W4A4", quantizer: str = "lsq") -> nn.Module:
    prepare(model, scheme, QuantizerConfig(quantizer), torch.zeros(1, 3, 32, 32))
    calibrate(model, images())
    return model


def layers(model: nn.Module) -> dict[str, QuantConv2d]:
    return {name: part for name, part in model.named_modules() if isinstance(part, QuantConv2d)}


def distance(model: nn.Module, other: nn.Module) -> float:
    with torch.no_grad():
        return float(torch.stack([(model(x) - other(x)).square().mean() for x in images()]).mean())


@pytest.mark.parametrize(("method", "scheme"), [("adaround", "W7A8"), ("brecq", "W8A8"), ("qdrop", "W4A4")])
def test_a_weight_ends_on_one_of_the_two_integers_beside_it(method: str, scheme: str) -> None:
    model = calibrated(small_efm(), scheme)
    before = copy.deepcopy(layers(model))
    reconstruct(model, images(), method, steps=2)
    limits = {"W8A8": {127}, "W7A8": {63}, "W4A4": {7, 127}}[scheme]
    assert {layer.quantizer.high for layer in layers(model).values()} == limits
    for name, layer in layers(model).items():
        old, weight = before[name], layer.weight.detach()
        scale = layer.quantizer.scale(weight).detach()
        assert torch.equal(scale, old.quantizer.scale(old.weight).detach())
        assert torch.equal(layer.real_bias, old.real_bias)
        integers = layer.quantizer.integers(weight).detach()
        assert torch.equal(integers * scale, weight)
        assert int(integers.abs().max()) <= layer.quantizer.high
        exact = (old.weight.detach() / scale).clamp(-layer.quantizer.high, layer.quantizer.high)
        assert float((integers - exact).abs().max()) < 1
        assert layer.mode == "quantize"
        layer.freeze()
        assert torch.equal(layer.integers.float(), integers)


@pytest.mark.parametrize("method", METHODS)
def test_the_network_comes_nearer_to_its_own_fp32(method: str) -> None:
    original = small_efm()
    model = calibrated(copy.deepcopy(original))
    scales = {n: p.detach().clone() for n, p in model.named_parameters() if n.endswith("log_scale")}
    nearest = distance(model, original)
    reconstruct(model, images(), method, steps=30)
    assert distance(model, original) < 0.8 * nearest
    activations = {n for n, part in model.named_modules() if isinstance(part, ActivationQuantizer)}
    moved = {n for n, p in model.named_parameters() if n in scales and not torch.equal(p, scales[n])}
    assert moved <= {f"{n}.quantizer.log_scale" for n in activations}
    assert bool(moved) == METHODS[method].steps


def test_the_seed_decides_the_bits_and_the_images_are_all_it_reads() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(states))
        model = calibrated(small_efm())
        reconstruct(model, images(), "qdrop", seed, steps=2)
        states.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_rounding_is_as_good_as_the_best_of_all_roundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer of 6 weights for each of 4 outputs: all 64 roundings of a row are tried."""
    torch.manual_seed(3)
    mixed = torch.randn(6, 6) * 0.5 + torch.eye(6)  # inputs that depend on each other, or nearest would be best
    data = [torch.einsum("ij,njhw->nihw", mixed, torch.rand(1, 6, 32, 32)) for _ in range(4)]
    model = nn.Sequential(QuantPoint(), nn.Conv2d(6, 4, 1))
    prepare(model, "W8A8", QuantizerConfig(weight_observer="minmax"), data[0])
    layer = model[1]
    layer.quantizer.low, layer.quantizer.high = -3, 3
    calibrate(model, data)
    weight, scale = layer.weight.detach().flatten(1).clone(), layer.quantizer.scale(layer.weight).detach().flatten(1)
    with torch.no_grad():
        x = torch.cat([model[0](image) for image in data]).movedim(1, -1).reshape(-1, 6)
        real = torch.cat(data).movedim(1, -1).reshape(-1, 6) @ weight.T
    ups = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)))
    choices = (torch.floor(weight / scale)[None] + ups[:, None]).clamp(-3, 3) * scale  # [64, 4, 6]
    errors = (torch.einsum("nj,kij->kni", x, choices) - real).square().mean(dim=1)
    best = float(errors.amin(dim=0).mean())
    nearest = float((x @ layer.quantizer(layer.weight).detach().flatten(1).T - real).square().mean())
    reconstruct(model, data, "adaround", steps=300)
    found = float((x @ layer.weight.detach().flatten(1).T - real).square().mean())
    assert found < best + 0.2 * (nearest - best)


@settings(max_examples=20)
@given(st.lists(st.floats(-8, 8), min_size=1, max_size=8), st.floats(2, 20))
def test_the_rectified_sigmoid_and_its_regularizer_against_numpy(values: list[float], beta: float) -> None:
    h = np.clip(1.2 / (1 + np.exp(-np.array(values))) - 0.1, 0, 1)
    v = torch.tensor(values, dtype=torch.float64)
    assert np.allclose(soft(v).numpy(), h)
    rounding = Rounding(next(iter(layers(calibrated(nn.Sequential(QuantPoint(), nn.Conv2d(3, 2, 1)))).values())))
    reach = rounding.high * rounding.scale
    assert torch.allclose(rounding.weight(), rounding.layer.weight.clamp(-reach, reach), atol=1e-6)
    rounding.v = v
    assert float(rounding.undecided(beta)) == pytest.approx(float((1 - np.abs(2 * h - 1) ** beta).sum()), abs=1e-9)


def test_parts_follow_the_structure_of_any_network() -> None:
    example = images()[0]
    expected = {
        "stem": 1, "encoder.0": 1, "downs.0": 1, "gates.0": 1, "bottleneck": 1, "ups.0": 1, "decoder.0": 1, "head": 1,
    }  # fmt: skip
    model = calibrated(small_efm())
    set_mode(model, "float")
    assert module._parts(model, example, blocks=True) == expected
    singles = module._parts(model, example, blocks=False)
    assert set(singles) == set(layers(model))
    assert next(iter(singles)) == "stem"
    assert module._rectified(model, example, set(singles)) == {
        "stem",
        "downs.0.conv",
        "encoder.0.0.conv1",
        "bottleneck.0.conv1",
        "decoder.0.0.conv1",
    }
    naf = calibrated(NAFNet(8, 1), "W8A8")
    assert list(module._parts(naf, example, blocks=True)) == [
        "intro",
        "encoders.0",
        "downs.0",
        "middle",
        "ups.0",
        "decoders.0",
        "ending",
    ]


@pytest.mark.parametrize(("kind", "method"), [("nafnet", "qdrop"), ("prenet", "adaround")])
def test_networks_that_mark_nothing_or_run_their_layers_twice(kind: str, method: str) -> None:
    torch.manual_seed(0)
    model = PReNet(2, 8, 1) if kind == "prenet" else NAFNet(8, 1)
    for p in model.parameters():
        if kind == "nafnet":  # its blocks begin as the identity
            nn.init.normal_(p, std=0.2)
    original = copy.deepcopy(model).eval()
    nearest = distance(calibrated(model), original)
    reconstruct(model, images(), method, steps=20)
    assert distance(model, original) < nearest


@pytest.mark.slow
def test_the_file_is_made_in_the_ordinary_way(tmp_path: Path) -> None:
    model, data = small_efm(), images()
    qdr.quantize(model, data, "W8A8")
    reconstruct(model, data, "brecq", steps=4)
    with torch.no_grad():
        expected = model(data[0]).numpy()
    made = qdr.export_onnx(model, tmp_path / "model.onnx", data[0])
    found = open_session("exact", made.path, "int8", 1).run(data[0].numpy())
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("quantizer", ["dorefa", "pact"])
def test_scales_that_follow_the_weights_are_refused(quantizer: str) -> None:
    with pytest.raises(QdrError, match="learned rounding needs LSQ"):
        reconstruct(calibrated(small_efm(), quantizer=quantizer), images(), "adaround", steps=1)
    with pytest.raises(QdrError, match="did you mean 'qdrop'"):
        reconstruct(EFM((8,), (1,)), images(), "qdorp")


def test_corrected_biases_leave_no_mean_error() -> None:
    original = small_efm()
    model = calibrated(copy.deepcopy(original))

    def off() -> dict[str, tuple[float, float]]:
        float_model = calibrated(copy.deepcopy(original))
        set_mode(float_model, "float")
        found = {}
        for name, layer in layers(model).items():
            seen = [module._pass(net, name, 1, torch.cat(images())).output for net in (model, float_model)]
            step = layer.source.quantizer.scale(layer.weight) * layer.quantizer.scale(layer.weight).max()
            found[name] = float((seen[0] - seen[1]).mean(dim=(0, 2, 3)).abs().max()), float(step.detach())
        return found

    before = off()
    correct_biases(model, images())
    for name, (error, step) in off().items():
        assert error <= 1.01 * step, name  # what is left is the bias's rounding, before and now
    assert max(error / step for error, step in before.values()) > 1

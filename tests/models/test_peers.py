from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdr.distill.points import modules_at
from qdr.export.check import census, check_tensorrt
from qdr.export.file import read_onnx
from qdr.export.qdq import Exporter
from qdr.models.blocks import stride
from qdr.models.peers.aodnet import AODNet
from qdr.models.peers.dncnn import DnCNN
from qdr.models.peers.ffdnet import START, FFDNet
from qdr.models.peers.join import JoinedConv2d
from qdr.models.peers.nafnet import NAFNet
from qdr.models.peers.norm import BatchNorm
from qdr.models.peers.prenet import PReNet
from qdr.models.peers.restormer import Attention, Restormer
from qdr.models.peers.zerodce import ZeroDCE
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes.session import open_session
from qdr.runtimes.verify import saturates
from qdr.suite.config import ModelConfig
from qdr.suite.zoo import NETWORKS, build_model

SMALL: dict[str, Callable[[], nn.Module]] = {
    "aodnet": AODNet,
    "dncnn": lambda: DnCNN(5, 16),
    "ffdnet": lambda: FFDNet(4, 16),
    "nafnet": lambda: NAFNet(8, 1),
    "prenet": lambda: PReNet(2, 16, 1),
    "restormer": lambda: Restormer(8, (1, 1), 1),
    "zerodce": lambda: ZeroDCE(16, 4),
}
EVERY = pytest.mark.parametrize("name", SMALL)


def network(name: str) -> nn.Module:
    """A small network of which every part does something, and whose result is an image near its input, as when trained."""
    torch.manual_seed(0)
    model = SMALL[name]()
    for key, parameter in model.named_parameters():
        if key.endswith(("beta", "gamma")):
            torch.nn.init.constant_(parameter, 0.5)
        if parameter.dim() == 4 and name in ("aodnet", "zerodce", "prenet"):
            torch.nn.init.kaiming_normal_(parameter, a=0.75)
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.mean.uniform_(-0.1, 0.1)
            module.deviation.uniform_(0.1, 0.2)
    return model


def smooth(count: int, height: int, width: int) -> Tensor:
    """Images [count, 3, height, width] in [0, 1] with slopes and some noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    images = F.interpolate(coarse, (height, width), mode="bilinear") + 0.05 * torch.randn(
        count, 3, height, width, generator=generator
    )
    return images.clamp(0, 1)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def further_biases(model: nn.Module) -> int:
    """Biases that the paper's network has not: of every convolution of a join but the first."""
    joins = [module for module in model.modules() if isinstance(module, JoinedConv2d)]
    return sum(conv.bias.numel() for join in joins for conv in join.convs[1:])


@EVERY
@pytest.mark.parametrize("multiples", [(8, 8), (9, 5), (7, 11)])
def test_any_multiple_of_the_stride_and_images_of_a_batch_do_not_mix(name: str, multiples: tuple[int, int]) -> None:
    model = network(name).eval()
    step = stride(model)
    batch = torch.rand(2, 3, step * multiples[0], step * multiples[1])
    with torch.no_grad():
        restored = model(batch)
        alone = torch.cat([model(image[None]) for image in batch])
    assert restored.shape == batch.shape
    assert torch.allclose(restored, alone, atol=1e-4)


@EVERY
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    model = network(name).train()
    (model(smooth(2, 32, 32)) - smooth(2, 32, 32).flip(0)).square().mean().backward()
    cancelled = {
        f"{key}.0.bias"
        for key, m in model.named_modules()
        if isinstance(m, nn.Sequential) and isinstance(m[min(1, len(m) - 1)], BatchNorm)
    }
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        largest = float(parameter.grad.abs().max())
        if key in cancelled:  # a normalization takes the mean away, and any bias with it
            assert largest < 1e-6, key
        else:
            assert largest > 1e-8, key


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "restormer")) for n in SMALL])
def test_export_in_fp32_and_int8_gives_what_eager_gives(name: str, tmp_path: Path) -> None:
    model, exporter = network(name).eval(), Exporter()
    target, image = smooth(1, 48, 80), (smooth(1, 48, 80) + 0.1 * torch.randn(1, 3, 48, 80)).clamp(0, 1)
    for precision in ("fp32", "int8"):
        if precision == "int8":
            prepare(model, "W8A8", QuantizerConfig(quantizer="lsq"))
            calibrate(model, [smooth(1, 64, 64)])
        path = tmp_path / f"{precision}.onnx"
        exporter.write(model, path, precision, stride(model))
        with torch.no_grad():
            expected = model(image).numpy()
        for engine in ("openvino", "onnxruntime"):
            if precision == "int8" and saturates(engine):
                continue  # found wrong on this processor, and not used
            restored = open_session(engine, path, precision, 1).run(image.numpy())
            assert abs(_psnr(restored, target) - _psnr(expected, target)) < (0.01 if precision == "int8" else 1e-4), engine
            assert np.abs(restored - expected).mean() < (0.5 / 255 if precision == "int8" else 1e-5), engine
    written = read_onnx(path)
    assert check_tensorrt(written) == []
    assert census(written)["FP32 convolutions"] == 0


def _psnr(restored: np.ndarray, target: Tensor) -> float:
    return float(-10 * np.log10(np.square(restored.clip(0, 1) - target.numpy()).mean()))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_zoo_restores(name: str) -> None:
    model = build_model(name, ModelConfig([16, 32, 32], [1, 1, 1])).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 16, 32)).shape == (1, 3, 16, 32)
    assert 16 % stride(model) == 0  # `qdr.runtimes.session.restore` extends to multiples of 16


def test_parameters_are_those_of_the_papers() -> None:
    assert parameters(AODNet()) - further_biases(AODNet()) == 1_761
    assert parameters(ZeroDCE()) - further_biases(ZeroDCE()) == 79_416
    assert parameters(PReNet()) - further_biases(PReNet()) == 168_963
    assert parameters(PReNet(3)) == parameters(PReNet(6))
    with torch.device("meta"):
        paper = Restormer(48, (4, 6, 6, 8), 4)
    biases = sum(m.bias.numel() for m in paper.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)
    assert round((parameters(paper) - biases) / 1e6, 2) == 26.13


@pytest.mark.parametrize(("model", "ends", "width", "layers"), [(DnCNN(), (3, 3), 64, 17), (FFDNet(), (13, 12), 96, 12)])
def test_the_chains_have_the_papers_layers(model: nn.Module, ends: tuple[int, int], width: int, layers: int) -> None:
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert {(c.out_channels, c.kernel_size) for c in convs[:-1]} == {(width, (3, 3))}
    if isinstance(model, FFDNet):  # the first is a join of the image and the level
        assert convs[0].in_channels + convs.pop(1).in_channels == ends[0]
    else:
        assert convs[0].in_channels == ends[0]
    assert len(convs) == layers
    assert convs[-1].out_channels == ends[1]
    assert sum(isinstance(m, BatchNorm) for m in model.modules()) == layers - 2
    merged = 9 * width * (sum(ends) + (layers - 2) * width) + (layers - 1) * width + ends[1]  # normalization in the weights
    own = parameters(model) - further_biases(model) - merged
    assert own == 2 * width * (layers - 2) + isinstance(model, FFDNet)


def test_a_join_is_the_convolution_of_the_concatenation() -> None:
    join, a, b = JoinedConv2d((4, 6), 5, 3), torch.randn(2, 4, 7, 9), torch.randn(2, 6, 7, 9)
    weight = torch.cat([conv.weight for conv in join.convs], dim=1)
    bias = join.convs[0].bias + join.convs[1].bias
    assert torch.allclose(join(a, b), F.conv2d(torch.cat([a, b], dim=1), weight, bias, padding=1), atol=1e-5)


def test_batch_normalization_is_torchs() -> None:
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    for _ in range(300):
        x = torch.randn(8, 4, 6, 6) * torch.tensor([0.5, 1, 2, 3]).view(1, 4, 1, 1) + 1
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=2e-2)


def test_batch_normalization_averages_variances() -> None:
    """Of batches of deviation 1 and 7 in turn it is 5; the mean of the deviations would be 4."""
    ours, theirs = BatchNorm(1), nn.BatchNorm2d(1)
    x = torch.randn(64, 1, 8, 8)
    for i in range(400):
        for norm in (ours, theirs):
            norm((x - x.mean()) / x.std() * (7 if i % 2 else 1))
    assert float(ours.deviation) == pytest.approx(float(theirs.running_var.sqrt()), rel=1e-3)


def test_the_stages_of_prenet_share_weights_and_pass_on_a_state() -> None:
    model, image = network("prenet").eval(), torch.rand(1, 3, 16, 16)
    assert isinstance(model, PReNet)
    calls: list[nn.Module] = []
    for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
        conv.register_forward_hook(lambda module, *_: calls.append(module))
    model.stages = 4
    with torch.no_grad():
        four = model(image)
        assert len(calls) == 4 * len(set(calls))
        model.stages = 1
        assert not torch.allclose(four, model(image), atol=1e-4)


def test_prenet_is_the_lstm_of_its_paper() -> None:
    """One stage after another by the equations of a convolutional LSTM, gates written out."""
    model, image = network("prenet").eval(), torch.rand(1, 3, 12, 12)
    assert isinstance(model, PReNet)
    with torch.no_grad():
        hidden = cell = torch.zeros(1, 16, 12, 12)
        restored = image
        for _ in range(model.stages):
            x = F.relu(model.entry(image, restored))
            f, i, g, o = (gate for gate in model.gates(x, hidden).split(16, dim=1))
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            x = hidden
            for block in model.blocks:
                x = F.relu(x + F.relu(block[2](F.relu(block[0](x)))))
            restored = image + model.exit(x)
        assert torch.allclose(model(image), restored, atol=1e-6)


def test_zerodce_leaves_black_and_white_and_stays_in_range() -> None:
    model, image = network("zerodce"), torch.rand(1, 3, 16, 16)
    image[..., :4], image[..., -4:] = 0, 1
    restored = model(image).detach()
    assert torch.equal(restored[..., :4], image[..., :4])
    assert torch.equal(restored[..., -4:], image[..., -4:])
    assert 0 <= float(restored.min()) <= float(restored.max()) <= 1


def test_aodnet_with_k_of_one_is_the_identity() -> None:
    model, image = AODNet(), torch.rand(1, 3, 8, 8)
    for conv in model.conv5.convs:
        nn.init.zeros_(conv.weight)
    assert torch.allclose(model(image), image, atol=1e-6)


def test_ffdnet_takes_a_level_or_its_own() -> None:
    model, image = network("ffdnet").eval(), torch.rand(1, 3, 8, 12)
    level = torch.full((1, 1, 4, 6), START)
    assert torch.equal(model(image), model(image, level))
    assert not torch.allclose(model(image), model(image, 3 * level), atol=1e-5)


def test_attention_of_restormer_is_over_channels() -> None:
    """The map is [c/heads, c/heads]: moving the pixels of q, k and v alike moves the result alike."""
    torch.manual_seed(0)
    attention, x = Attention(8, 2), torch.randn(1, 8, 6, 6)
    for weight in (attention.depthwise.weight,):  # without neighbours, pixels are exchangeable
        weight.data[:, :, torch.arange(3) != 1, :] = 0
        weight.data[:, :, :, torch.arange(3) != 1] = 0
    order = torch.randperm(36)
    moved = attention(x.flatten(2)[..., order].view_as(x)).flatten(2)
    assert torch.allclose(moved, attention(x).flatten(2)[..., order], atol=1e-5)


def test_restormers_parts_are_found_where_distillation_taps() -> None:
    assert modules_at(Restormer(8, (1, 1, 1), 1), "all") == [
        "encoders.0",
        "encoders.1",
        "latent",
        "decoders.0",
        "decoders.1",
    ]

"""LPIPS: why it is unavailable, and where the extra is installed, what it computes (with a random backbone)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from qdr.errors import QdrError
from qdr.metrics.perceptual import Lpips

installed = pytest.mark.skipif(find_spec("lpips") is None, reason="the extra lpips is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchvision.*")
# AlexNet: place among torchvision's `features`, input and output channels, kernel, stride, padding.
LAYERS = [
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
]


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """A file like torchvision's, with random weights (lpips calls that pnet_rand)."""
    torch.manual_seed(0)
    state = {"classifier.1.weight": torch.zeros(2, 2)}
    for place, inputs, outputs, kernel, *_ in LAYERS:
        layer = torch.nn.Conv2d(inputs, outputs, kernel)
        state |= {f"features.{place}.{name}": value.detach() for name, value in layer.named_parameters()}
    torch.save(state, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (64, 80, 3), np.uint8) for _ in range(2))
    return a, b


def test_it_says_why_it_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(QdrError, match=r"LPIPS is unavailable: its backbone .* does not exist"):
        Lpips(tmp_path / "alexnet.pth")
    (tmp_path / "alexnet.pth").touch()
    remedy = (
        r"pip install -c constraints\.txt -e '\.\[lpips\]'" if find_spec("lpips") is None else "does not hold an AlexNet"
    )
    with pytest.raises(QdrError, match=f"LPIPS is unavailable: .*{remedy}"):
        Lpips(tmp_path / "alexnet.pth")


@installed
def test_it_is_a_distance(backbone: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    measure = Lpips(backbone)
    a, b = pair
    near = np.clip(a + np.random.default_rng(1).normal(0, 5, a.shape), 0, 255).astype(np.uint8)
    assert measure(a, a) == 0
    assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-5)
    assert 0 < measure(near, a) < measure(b, a)


@installed
def test_it_is_the_formula(backbone: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The paper's equation 1, written out with the package's heads and the file's weights."""
    import lpips

    state = torch.load(backbone, weights_only=True)
    heads = torch.load(Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth", weights_only=True, map_location="cpu")
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = torch.stack([torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1 for image in pair])
    x = (x - shift[:, None, None]) / scale[:, None, None]
    total = 0.0
    for depth, (place, *_, stride, padding) in enumerate(LAYERS):
        if depth in (1, 2):
            x = torch.nn.functional.max_pool2d(x, 3, 2)
        weight, bias = (state[f"features.{place}.{name}"] for name in ("weight", "bias"))
        x = torch.relu(torch.nn.functional.conv2d(x, weight, bias, stride, padding))
        unit = x / x.norm(dim=1, keepdim=True)
        total += float((heads[f"lin{depth}.model.1.weight"][0, :, 0, 0] * ((unit[0] - unit[1]) ** 2).mean((1, 2))).sum())
    assert Lpips(backbone)(*pair) == pytest.approx(total, rel=1e-4)

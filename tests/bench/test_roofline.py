"""The prediction for Jetson Orin reproduces NVIDIA's datasheets and what MLPerf measured."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from qdr.suite.bench import roofline
from qdr.suite.bench.roofline import BAND, MODES, Layer, Mode, fps, milliseconds, reaches

HEADLINES = {  # NVIDIA's sparse INT8 TOPS of the whole module, GB/s
    (roofline.AGX64, "MAXN"): (275, 204.8),
    (roofline.AGX32, "MAXN"): (200, 204.8),
    (roofline.NX16, "MAXN"): (100, 102.4),
    (roofline.NX16, "MAXN_SUPER"): (157, 102.4),
    (roofline.NX8, "MAXN"): (70, 102.4),
    (roofline.NX8, "MAXN_SUPER"): (117, 102.4),
    (roofline.NANO8, "15W"): (40, 68),
    (roofline.NANO8, "MAXN_SUPER"): (67, 102),
    (roofline.NANO4, "10W"): (20, 34),
    (roofline.NANO4, "MAXN_SUPER"): (34, 51),
}
SPLIT = {"MAXN": (171, 105), "50W": (109, 92), "30W": (41, 90)}  # NVIDIA's GPU and DLA, AGX Orin 64GB, sparse


def mode(device: str, name: str) -> Mode:
    (found,) = (m for m in MODES if (m.device, m.name) == (device, name))
    return found


@pytest.mark.parametrize("key", HEADLINES, ids=" ".join)
def test_the_peaks_are_those_of_the_datasheets(key: tuple[str, str]) -> None:
    found, (tops, bandwidth) = mode(*key), HEADLINES[key]
    assert 2 * (found.gpu_tops + found.dla_tops) == pytest.approx(tops, rel=0.03)
    assert found.bandwidth == pytest.approx(bandwidth, rel=0.01)


@pytest.mark.parametrize("name", SPLIT)
def test_gpu_and_dla_share_them_as_nvidia_says(name: str) -> None:
    found = mode(roofline.AGX64, name)
    assert (2 * found.gpu_tops, 2 * found.dla_tops) == pytest.approx(SPLIT[name], rel=0.03)


def resnet50() -> list[Layer]:
    """ResNet-50 at 224x224 in INT8 (He et al. 2016, table 1): 53 convolutions, two poolings, one dense layer."""
    pixels, listed = 224 * 224, []

    def convolution(c: int, d: int, kernel: int, before: int, after: int, shortcut: bool = False) -> None:
        moved = c * before**2 + d * after**2 * (2 if shortcut else 1)
        macs = c * d * kernel**2 * after**2
        listed.append(Layer(c, d, macs / pixels, moved / pixels, c * d * kernel**2 + 4 * d))

    convolution(3, 64, 7, 224, 112)
    listed.append(Layer(0, 0, 0, 64 * (112**2 + 56**2) / pixels, 0))
    channels, side = 64, 56
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(count):
            after = side // stride if block == 0 else side
            convolution(channels, width, 1, side, side)
            convolution(width, width, 3, side, after)
            if block == 0:
                convolution(channels, 4 * width, 1, side, after)
            convolution(width, 4 * width, 1, after, after, shortcut=True)
            channels, side = 4 * width, after
    listed.append(Layer(0, 0, 0, 2048 * 50 / pixels, 0))
    listed.append(Layer(2048, 1000, 2048 * 1000 / pixels, 3048 / pixels, 2048 * 1000))
    return listed


@pytest.mark.parametrize(
    ("device", "measured"), [(roofline.AGX64, 0.636), (roofline.NX16, 1.085)], ids=["AGX Orin 64GB", "Orin NX 16GB"]
)
def test_the_band_holds_what_mlperf_measured(device: str, measured: float) -> None:
    layers = resnet50()
    assert sum(x.macs_per_pixel for x in layers) * 224 * 224 == pytest.approx(4.09e9, rel=0.01)
    slow, mid, fast = (milliseconds(layers, mode(device, "MAXN"), e, 224 * 224) for e in BAND)
    assert fast < measured < slow
    assert mid == pytest.approx(measured, rel=0.25)


def test_the_high_efficiency_is_that_of_a_published_network() -> None:
    """SSD-ResNet-34: 433 GOP in 8.00 ms on the AGX Orin 64GB."""
    share = 433e9 / 8.0047e-3 / (mode(roofline.AGX64, "MAXN").gpu_tops * 1e12)
    assert share == pytest.approx(BAND[-1].compute, abs=0.03)


@given(
    st.lists(
        st.builds(
            Layer, st.integers(1, 99), st.integers(1, 99), st.floats(1, 1e4), st.floats(1, 1e2), st.integers(0, 10**6)
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(MODES),
    st.integers(10_000, 10**6),
)
def test_laws(layers: list[Layer], where: Mode, pixels: int) -> None:
    low, mid, high = fps(layers, where, pixels)
    assert low < mid < high
    assert fps(layers, where, 2 * pixels) < (low, mid, high)
    assert fps([*layers, layers[0]], where, pixels) < (low, mid, high)
    assert all(layer.padded_macs >= layer.macs_per_pixel for layer in layers)
    work = 2 * sum(layer.macs_per_pixel for layer in layers) * pixels
    assert high * work < where.gpu_tops * 1e12, "nothing beats the peak"


def test_answers() -> None:
    assert [reaches(*x) for x in ((442, 500, 600), (400, 442, 600), (1, 2, 442), (1, 2, 441))] == [
        "yes",
        "likely",
        "perhaps",
        "no",
    ]

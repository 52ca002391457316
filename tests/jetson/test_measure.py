"""The device's script, part by part: it runs on an old Python, and reads what a Jetson prints."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.suite.jetson import measure

SCRIPT = Path(measure.__file__).read_text()
LATER = (
    r"\.removeprefix\(|\.removesuffix\(|\bmatch \w|strict=|\bmath\.lcm|zoneinfo|tomllib|graphlib|datetime\.UTC|\.bit_count"
)


def test_python_3_8_can_read_it() -> None:
    tree = ast.parse(SCRIPT, feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    assert re.findall(LATER, SCRIPT) == []
    evaluated = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    assert not any(
        isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in ("dict", "list") for node in evaluated
    )


@pytest.mark.parametrize(("number", "version"), [(8502, "8.5.2"), (8601, "8.6.1"), (100300, "10.3.0"), (110401, "11.4.1")])
def test_versions(number: int, version: str) -> None:
    assert measure.decode_version(number) == version


LINES = {
    "AGX Orin": (
        "RAM 2771/30536MB (lfb 6x4MB) SWAP 0/15268MB (cached 0MB) CPU [0%@729,0%@729] EMC_FREQ 0%@2133 GR3D_FREQ 12%@305 "
        "cpu@44.5C tboard@36C soc2@41.4C tdiode@38.2C soc0@41.8C cv1@-256C gpu@-256C tj@45C cv0@-256C soc1@41.2C "
        "VDD_GPU_SOC 2384mW/2384mW VDD_CPU_CV 794mW/794mW VIN_SYS_5V0 3021mW/3021mW NC 0mW/0mW VDDQ_VDD2_1V8AO 403mW/403mW"
    ),
    "Orin Nano": (
        "09-24-2026 10:15:32 RAM 2467/7471MB (lfb 2x4MB) CPU [2%@729,off] EMC_FREQ 0%@2133 GR3D_FREQ 98%@[624] "
        "cpu@47.093C gpu@47.5C tj@47.5C VDD_IN 5139mW/5200mW/5300mW VDD_CPU_GPU_CV 1200mW/1200mW VDD_SOC 1400mW/1400mW"
    ),
}


def test_tegrastats_of_two_modules() -> None:
    agx = measure.parse_tegrastats(LINES["AGX Orin"] + "\n" + LINES["AGX Orin"].replace("2384mW/", "3384mW/"))
    assert agx["samples"] == 2
    assert agx["power_mw"]["VDD_GPU_SOC"] == {"mean": 2884, "max": 3384}
    assert set(agx["power_mw"]) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert agx["celsius"]["tj"] == {"mean": 45, "max": 45}
    assert "gpu" not in agx["celsius"], "-256 means that the sensor is off"
    nano = measure.parse_tegrastats(LINES["Orin Nano"])
    assert nano["power_mw"]["VDD_IN"]["mean"] == 5139
    assert nano["gpu_percent"] == {"mean": 98, "max": 98}
    assert measure.parse_tegrastats("")["samples"] == 0


def test_an_image_is_read_as_numpy_writes_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 7), np.uint8)
    np.save(tmp_path / "image.npy", image)
    shape, levels = measure.read_image(tmp_path / "image.npy")
    assert shape == (3, 5, 7)
    assert levels == image.tobytes()
    for dtype, numpy_type in (("float32", np.float32), ("float16", np.float16)):
        measure.write_input(tmp_path / "input.bin", levels, dtype)
        read = np.fromfile(tmp_path / "input.bin", numpy_type)
        np.testing.assert_array_equal(read, (image.ravel().astype(np.float32) / np.float32(255)).astype(numpy_type))
    np.save(tmp_path / "floats.npy", image.astype(np.float32))
    with pytest.raises(measure.Problem, match=r"floats\.npy is not a C-ordered uint8"):
        measure.read_image(tmp_path / "floats.npy")


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.3))
def test_the_comparison_is_the_houses(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, (8, 8, 3), np.uint8)
    output = reference / 255 + rng.normal(0, noise, reference.shape)
    levels = np.rint(np.clip(output, 0, 1) * 255).astype(np.uint8)
    found = measure.compare(output.ravel().tolist(), reference.tobytes())
    gap = np.abs(levels.astype(int) - reference)
    assert found["max_level"] == gap.max()
    assert found["mean_level"] == pytest.approx(gap.mean())
    assert found["psnr_db"] == pytest.approx(min(float(psnr(levels, reference, protocol(PROTOCOL))), 100.0))


def test_outputs_that_cannot_be_compared() -> None:
    with pytest.raises(measure.Problem, match="2 values, the reference 3"):
        measure.compare([0.0, 1.0], bytes(3))
    with pytest.raises(measure.Problem, match="not finite"):
        measure.compare([0.0, float("nan")], bytes(2))


def test_rules_only_become_stricter() -> None:
    options = measure.parse(["--duration", "30"])
    assert (options.duration_s, options.iterations) == (30, None)
    assert isinstance(options.output, Path)

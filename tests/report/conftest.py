"""Made-up results in a temporary folder: the report is tested without training anything."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr.rows import write_rows
from qdr.suite import config
from qdr.suite.evaluate.conflict import PAIRS
from qdr.suite.report.results import Results
from qdr.suite.report.site import write_site

TASKS = ("lowlight", "derain")
GAINS = {
    ("input", "FP32", "all"): 0.0,
    ("fp32", "FP32", "all"): 8.0,
    ("fp32-tuned", "FP32", "all"): 8.1,
    ("ptq", "W8A8", "all"): 7.5,
    ("qat", "W8A8", "all"): 7.9,
    ("qat-kd-decoder", "W8A8", "all"): 7.9,
    ("qdr", "W8A8", "all"): 8.0,
    ("qdr-no-dfd", "W8A8", "all"): 7.8,
    ("qat", "W4A4", "all"): 6.0,
    ("qdr", "W4A4", "all"): 6.5,
    ("ptq", "W4A4", "all"): 5.0,
    ("qat", "W4A4", "2"): 5.0,
    ("qdr", "W4A4", "2"): 5.5,
}
DETECTED = (
    ("clean", "input", "FP32", 0.9),
    ("degraded", "input", "FP32", 0.5),
    ("restored", "fp32", "FP32", 0.8),
    ("restored", "ptq", "W8A8", 0.51),
    ("restored", "qat", "W8A8", 0.79),
    ("restored", "qdr", "W8A8", 0.797),
    ("clean-restored", "fp32", "FP32", 0.9),
    ("clean-restored", "qdr", "W8A8", 0.7),
)
SPEED = [("fp32", 10.0), ("bf16", 5.0), ("int8", 4.0)]


def _latency(side: int, speed: tuple[str, float]) -> dict[str, object]:
    precision, ms = speed[0], speed[1] * (side / 64) ** 2
    row: dict[str, object] = {"model": "efm", "precision": precision, "engine": "openvino", "threads": 2, "batch": 1}
    row |= {"height": side, "width": side, "median_ms": ms, "p90_ms": ms + 1, "p99_ms": ms + 2, "fps": 1000 / ms}
    row |= {"peak_rss_mib": 99, "calls": 5, "repeats": 1, "end_to_end_median_ms": ms + 1, "end_to_end_p90_ms": ms + 2}
    return row | {"end_to_end_p99_ms": ms + 3, "psnr_to_fp32_db": 45.5, "mean_level": 0.25}


def _layers(side: int) -> list[dict[str, object]]:
    """Two convolutions at 75 % and 25 % of the peak, and a layer that is none."""
    rows = []
    for (precision, peak), (layer, share) in product((("int8", 800.0), ("fp32", 200.0)), (("a", 0.75), ("b", 0.25))):
        macs = 10_000_000 * side // 64
        row = {"model": "efm", "precision": precision, "threads": 2, "height": side, "width": side, "layer": layer}
        row |= {"kind": "Convolution", "macs": macs, "bytes": macs // 20, "microseconds": 2e-3 * macs / (share * peak)}
        rows.append(row | {"gops": share * peak, "peak_gops": peak, "share": share})
        rows.append(
            row
            | {"layer": f"add after {layer}", "kind": "Add", "macs": 0, "bytes": 0, "gops": 0, "peak_gops": peak, "share": 0}
        )
    return rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with two tasks, five images and every kind of row."""
    return make_results(tmp_path / "results")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of such results, made once for the tests of a file."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).resolve().parents[2])
        settings = config.load(config.profile_path("smoke"))
        write_site(Results(settings, make_results(folder / "results")), folder / "site")
    return folder / "site" / "index.html"


def make_results(folder: Path) -> Path:
    """Write the made-up results; the same each time."""
    rng = np.random.default_rng(0)
    quality, parity, training = [], [], []
    for task, split in product(TASKS, ("photos", "scenes")):
        base = {f"im{i}": 20 + rng.normal(0, 2) for i in range(5)}
        for (method, bits, images), gain in GAINS.items():
            for seed, (image, start) in product((0, 1) if images == "2" else (0,), base.items()):
                engine = "none" if method == "input" else "fake-quant" if bits == "W4A4" else "openvino"
                about = {"profile": "smoke", "task": task, "split": split, "image": image, "method": method, "bits": bits}
                about |= {"images": images, "seed": seed}
                value = start + gain + rng.normal(0, 0.03 if method == "qat-kd-decoder" else 0.01)
                for metric, number in (("psnr", value), ("ssim", value / 40)):
                    how = {"engine": engine, "metric": metric, "protocol": "rgb-full", "value": f"{number:.6f}"}
                    quality.append(about | how)
                if bits == "W8A8":
                    difference = {"delta_psnr_db": "0.000100", "max_level": 2, "mean_level": "0.010000"}
                    parity.append(about | {"reference": "fake-quant", "engine": "openvino"} | difference)
    logged = ("weight_rec", "weight_bottleneck", "grad_rec", "grad_bottleneck", "grad_cosine")
    for task, bits, step, metric in product(TASKS, ("W8A8", "W4A4"), (0, 10), logged):
        about = {"profile": "smoke", "task": task, "method": "qdr", "bits": bits, "images": "all", "seed": 0}
        training.append(about | {"step": step, "metric": metric, "value": "0.5"})
    features = [
        {
            "profile": "smoke",
            "task": task,
            "split": "photos",
            "image": "im0",
            "method": method,
            "bits": bits,
            "images": "all",
        }
        | {"seed": 0, "place": place, "level": level, "error": error, "value": f"{0.01 * (place + 1) + 0.001 * len(method)}"}
        for task, method, bits, error in product(TASKS, ("ptq", "qat", "qdr"), ("W8A8", "W4A4"), ("relative", "absolute"))
        for place, level in enumerate(("encoder.0", "bottleneck", "decoder.0", "output"))
    ]
    conflict = [
        {"profile": "smoke", "task": task, "method": "qdr", "bits": bits, "stage": stage, "pair": pair}
        | {"batch": batch, "value": f"{0.1 * batch - 0.2}"}
        for task, bits, stage, pair in product(TASKS, ("W8A8", "W4A4"), ("start", "end"), PAIRS)
        for batch in range(3)
    ]
    sensitivity = [
        {"profile": "smoke", "task": "derain", "bits": bits, "layer": layer, "kind": kind, "width": bits[1]}
        | {"sqnr_db": "30.0", "psnr_drop_db": f"{0.01 * place}"}
        for bits in ("W8A8", "W4A4")
        for place, (layer, kind) in enumerate([("stem", "weights"), ("point_stem", "activations"), ("head", "weights")])
    ]
    detection = []
    for task, (condition, method, bits, value) in product(TASKS, DETECTED):
        about = {"profile": "smoke", "task": task, "detector": "centre", "condition": condition, "method": method}
        about |= {"bits": bits, "engine": "none" if method == "input" else "openvino"}
        measured = {"ap50": value}
        if "restored" in condition:
            measured["ap50_gain"] = value - (0.5 if condition == "restored" else 0.9)
        if condition == "restored" and method != "fp32":
            measured |= {"ap50_to_fp32": value - 0.8, "ap50_gain_kept": (value - 0.5) / 0.3}
        for metric, number in measured.items():
            ends = {"value": number, "low": number - 0.03, "high": number + 0.05}
            row = about | {"metric": metric} | {key: f"{end:.6f}" for key, end in ends.items()}
            detection.append(row | {"images": 40})
    write_rows(folder / "detection.csv", detection)
    write_rows(folder / "features.csv", features)
    write_rows(folder / "conflict.csv", conflict)
    write_rows(folder / "sensitivity.csv", sensitivity)
    write_rows(folder / "quality.csv", quality)
    write_rows(folder / "parity.csv", parity)
    write_rows(folder / "training.csv", training)
    write_rows(folder / "latency.csv", [_latency(*row) for row in product((64, 128), SPEED)])
    write_rows(folder / "roofline.csv", [row for side in (64, 128) for row in _layers(side)])
    peaks = {"int8_gops": {"2": 800.0}, "fp32_gops": {"2": 200.0}, "memory_gbs": {"2": 50.0}, "cache_gbs": {"2": 100.0}}
    machine = {"cpu": "a CPU", "power": "performance", "threads": 2, "peaks": peaks}
    (folder / "machine.json").write_text(json.dumps(machine))
    kernel = {"model": "base", "kernel": "stem", "kind": "convolution", "channels_in": 3, "channels_out": 32}
    costs = {"macs_per_pixel": "96", "bytes_per_pixel": "11", "weight_bytes": 512}
    write_rows(folder / "kernels.csv", [kernel | costs, kernel | costs | {"kernel": "head"}])
    about = {"model": "efm", "precision": "int8", "engine": "openvino"}
    layers = [("Convolution", "int8"), ("Convolution", "int8"), ("Convolution", "fp32"), ("Eltwise", "int8")]
    write_rows(
        folder / "census.csv",
        [
            about | {"position": i, "layer": f"layer{i}", "kind": kind, "runs_in": precision}
            for i, (kind, precision) in enumerate(layers)
        ],
    )
    (folder / "latency.json").write_text(json.dumps({"cpu": "a CPU"}))
    (folder / "jetson.json").write_text(json.dumps({"status": "not built", "reason": "no Jetson_here", "rows": []}))
    for task in TASKS:
        for kind, names in (
            ("samples", ("input", "fp32", "ptq", "qat", "qdr", "target")),
            ("gates", ("input", "truth", "gate0", "gate1")),
            ("detection", ("degraded", "fp32", "qdr", "clean")),
        ):
            (folder / kind / task).mkdir(parents=True)
            for name in names:
                grey = rng.integers(0, 256, (32, 32), np.uint8)
                image = np.stack([grey] * 3, axis=2) if kind != "gates" or name == "input" else grey
                Image.fromarray(image).save(folder / kind / task / f"{name}.png")
        found = [["star", 0.9, 2, 2, 15, 15], ["cross", 0.5, 20, 20, 30, 30]]
        boxes = {"objects": [["star", 1.0, 2, 2, 16, 16], ["arrow", 1.0, 1, 18, 12, 30]]}
        boxes |= dict.fromkeys(("degraded", "fp32", "qdr", "clean"), found)
        (folder / "detection" / task / "boxes.json").write_text(json.dumps(boxes))
    return folder

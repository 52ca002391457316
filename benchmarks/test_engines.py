"""Speed of the exported EFM in OpenVINO: INT8 against FP32, and what the gates cost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from qdr import config
from qdr.export.qdq import Exporter
from qdr.methods import Recipe
from qdr.models.zoo import build_model, stride
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes.session import Session, open_session

FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text())
SIDE, THREADS = 256, 2


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FP32 and INT8 files of the active profile's models, weights at random: speed does not depend on them."""
    settings, folder = config.load(), tmp_path_factory.mktemp("engines")
    made = {}
    for name in ("efm", "efm-no-ldg"):
        torch.manual_seed(0)
        model = build_model(name, settings.model)
        for parameter in model.parameters():
            if parameter.dim() == 4:
                torch.nn.init.kaiming_normal_(parameter).data.mul_(0.5)
        made[f"{name} fp32"] = folder / f"{name}-fp32.onnx"
        Exporter().write(model, made[f"{name} fp32"], name, stride(model))
        prepare(model, "W8A8", Recipe("", quantizer="lsq", observer="minmax"))
        calibrate(model, [torch.rand(1, 3, 64, 64)])
        made[f"{name} int8"] = folder / f"{name}-int8.onnx"
        Exporter().write(model, made[f"{name} int8"], name, stride(model))
    return made


def paired_ratio(slow: Session, fast: Session, rounds: int = 25) -> float:
    """Median of time(slow) / time(fast) over rounds in turn, each the best of three calls."""
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)

    def best(session: Session) -> float:
        session.run(image)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            session.run(image)
            times.append(time.perf_counter() - start)
        return min(times)

    return float(np.median([best(slow) / best(fast) for _ in range(rounds)]))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_latency(benchmark: BenchmarkFixture, files: dict[str, Path], precision: str) -> None:
    session = open_session("openvino", files[f"efm {'int8' if precision == 'int8' else 'fp32'}"], precision, THREADS)
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    benchmark.pedantic(session.run, args=(image,), rounds=40, warmup_rounds=5)


def test_int8_is_worth_it(files: dict[str, Path]) -> None:
    fp32 = open_session("openvino", files["efm fp32"], "fp32", THREADS)
    int8 = open_session("openvino", files["efm int8"], "int8", THREADS)
    assert paired_ratio(fp32, int8) >= FLOORS["int8_over_fp32_openvino"]["floor"]


def test_gates_are_cheap(files: dict[str, Path]) -> None:
    with_gates = open_session("openvino", files["efm int8"], "int8", THREADS)
    without = open_session("openvino", files["efm-no-ldg int8"], "int8", THREADS)
    assert paired_ratio(with_gates, without) <= FLOORS["ldg_cost_int8"]["ceiling"]

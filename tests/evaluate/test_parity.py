from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qdr.export.qdq import Exporter
from qdr.models.efm import EFM
from qdr.quant.policy import QuantizerConfig
from qdr.quant.prepare import calibrate, prepare
from qdr.runtimes import verify
from qdr.suite import config, paths
from qdr.suite.evaluate import parity as stage
from qdr.suite.evaluate.parity import beyond_gate
from qdr.suite.evaluate.restore import open_run
from qdr.suite.export.models import engine_file
from qdr.suite.train.plan import Run


def row(delta: float, maximum: int, mean: float, method: str = "qdr") -> dict[str, object]:
    return {
        "method": method,
        "bits": "W8A8",
        "engine": "openvino",
        "image": "china",
        "delta_psnr_db": f"{delta:.6f}",
        "max_level": maximum,
        "mean_level": f"{mean:.6f}",
    }


def test_within_the_gate() -> None:
    assert beyond_gate([row(0.02, 12, 0.5), row(-0.01, 0, 0.0)]) == []


def test_peers_are_held_to_the_psnr_alone() -> None:
    assert beyond_gate([row(0.003, 5, 1.84, "ptq-restormer")]) == []
    assert len(beyond_gate([row(0.011, 5, 1.84, "ptq-restormer")])) == 1
    assert len(beyond_gate([row(0.003, 5, 1.84, "ptq-nano")])) == 1  # an EFM


@pytest.mark.parametrize(
    ("bad", "message"),
    [(row(0.011, 1, 0.1), r"\+0\.0110 dB"), (row(0, 4, 1.6), "1.600000 grey levels")],
)
def test_beyond_the_gate(bad: dict[str, object], message: str) -> None:
    import re

    lines = beyond_gate([bad])
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert lines[0].startswith("qdr W8A8 in openvino")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_wrong_engine_gives_no_numbers(
    settings: config.Config, efm: EFM, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Quality comes from the next engine that is right, parity compares that one, numerics.csv names the wrong one."""
    run = Run("derain", "ptq", "W8A8", "all", 0)
    prepare(efm, "W8A8", QuantizerConfig(quantizer="lsq", observer="minmax"))
    calibrate(efm, [torch.rand(1, 3, 64, 64)])
    Exporter().write(efm, engine_file(run), "efm", efm.stride)
    judge = verify.verify

    def judged(path: Path, engine: str, *more: object) -> verify.Verdict:
        found = judge(path, engine, *more)  # type: ignore[arg-type]
        return (
            replace(found, right=False, mean_level=3.0, high_level=30.0, overflows=False) if engine == "openvino" else found
        )

    for module in (verify, stage):
        monkeypatch.setattr(module, "verify", judged)
    monkeypatch.setattr(verify, "_said", set())
    monkeypatch.setattr(stage, "exported", lambda *_: [run])
    monkeypatch.setattr(stage, "load_model", lambda *_: efm)
    session = open_run(settings, run)
    assert session.name == "onnxruntime"
    session.close()
    assert "openvino computes ptq-W8A8-all-s0.onnx wrongly on this processor (3.00 grey levels" in capsys.readouterr().err
    stage.parity(settings, "derain")
    assert {row["engine"] for row in rows_of(paths.rows("parity", "derain"))} == {"onnxruntime"}
    verdicts = [(row["engine"], row["verdict"], row["mean_level"]) for row in rows_of(paths.rows("numerics", "derain"))]
    assert verdicts[0] == ("openvino", "wrong", "3.0000")
    assert verdicts[1][:2] == ("onnxruntime", "right")

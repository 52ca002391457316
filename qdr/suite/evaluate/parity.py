"""Parity: does the exported engine compute what training simulated?

Every model with 8-bit activations restores every real test image as fake quantization in PyTorch, in OpenVINO and in ONNX
Runtime (both in INT8), and the 8-bit results are compared. An engine that does not compute what the file says on this
processor (`qdr.runtimes.verify`) is left out, since nothing is measured in it; numerics.csv names it. Where both are wrong
the exact arithmetic is compared, which quality then comes from.

A plain chain is bit-exact; in a deep residual network single roundings flip, so the gate is |mean dPSNR| <= 0.01 dB per
model and at most 1.5 grey levels on average in every image. Measured on networks trained long: right engines up to 1.03
(noise, calibrated alone; 0.78 in low light, which multiplies levels 15-fold), with 0.003 dB at most; saturating ones from
1.7 on. A model beyond the gate stops the pipeline: its quality numbers would not be its training's. The largest difference
of any pixel is recorded but is no gate: a low-light model multiplies dark levels, and single flips with them.

A peer that was not made for integer engines normalizes in FP32 between its quantized convolutions, and a normalization of
small features multiplies single flips. For Restormer, PyTorch, OpenVINO and ONNX Runtime differ from each other by the
same 0.84 grey level on average, with a PSNR that is equal to 0.003 dB: of peers only the PSNR is gated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.rows import write_rows
from qdr.runtimes.session import open_session, restore
from qdr.runtimes.torch_eager import TorchSession
from qdr.runtimes.verify import ORDER, Verdict, verify
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.evaluate.gates import GATE_PSNR_DB, level_gate
from qdr.suite.evaluate.restore import test_sets
from qdr.suite.export.engines import engine_file, exported
from qdr.suite.methods import NONE
from qdr.suite.train.plan import Run
from qdr.suite.train.run import load_model


def parity(config: Config, task: str) -> None:
    """Write the parity rows of a task and hold them against the gate; write the verdicts on the engines (numerics.csv).

    Raises:
        QdrError: naming the first model, engine and figure beyond the gate (the rows are written all the same).
    """
    runs = [run for run in exported(config, task) if run.recipe.quantized and run.recipe.tool == NONE]
    verdicts = {run: _verdicts(config, run) for run in runs}
    write_rows(paths.rows("numerics", task), [_row(config, run, one) for run in runs for one in verdicts[run]])
    rows = [row for run in runs for row in _compare(config, run, [one.engine for one in verdicts[run] if one.right])]
    write_rows(paths.rows("parity", task), rows)
    broken = beyond_gate(rows)
    if broken:
        raise QdrError(f"parity of {task}: {broken[0]}")


def beyond_gate(rows: list[dict[str, Any]]) -> list[str]:
    """What exceeds the gate, one line each: the mean PSNR difference per model and engine, the mean level per image."""
    lines = []
    deltas: dict[str, list[float]] = {}
    for row in rows:
        name = f"{row['method']} {row['bits']} in {row['engine']}"
        deltas.setdefault(name, []).append(float(row["delta_psnr_db"]))
        if float(row["mean_level"]) > level_gate(row["method"]):
            lines.append(f"{name}, {row['image']}: {row['mean_level']} grey levels on average")
    for name, values in deltas.items():
        if abs(float(np.mean(values))) > GATE_PSNR_DB:
            lines.append(f"{name}: {np.mean(values):+.4f} dB on average")
    return lines


def _verdicts(config: Config, run: Run) -> list[Verdict]:
    """Of every integer engine, and of the exact arithmetic where none of them is right."""
    found = [verify(engine_file(run), engine, "int8", config.threads) for engine in ORDER[:-1]]
    if not any(verdict.right for verdict in found):
        found.append(verify(engine_file(run), ORDER[-1], "int8", config.threads))
    return found


def _about(config: Config, run: Run) -> dict[str, Any]:
    about = {"profile": config.profile, "task": run.task, "method": run.method, "bits": run.bits}
    return about | {"images": run.images, "seed": str(run.seed)}


def _row(config: Config, run: Run, verdict: Verdict) -> dict[str, Any]:
    levels = {"mean_level": f"{verdict.mean_level:.4f}", "high_level": f"{verdict.high_level:.3f}"}
    return _about(config, run) | {"engine": verdict.engine, "verdict": "right" if verdict.right else "wrong"} | levels


def _compare(config: Config, run: Run, engines: list[str]) -> list[dict[str, Any]]:
    reference = TorchSession(load_model(config, run), "fake-quant")
    sessions = [open_session(engine, engine_file(run), "int8", config.threads) for engine in engines]
    rows = []
    split, pairs = next(iter(test_sets(config, run.task).items()))
    for name, degraded, target in zip(pairs.names, pairs.inputs, pairs.targets, strict=True):
        expected = restore(reference, degraded)
        about = {"profile": config.profile, "task": run.task, "split": split, "image": name, "method": run.method}
        about |= {"bits": run.bits, "images": run.images, "seed": str(run.seed), "reference": reference.name}
        for session in sessions:
            difference = _difference(restore(session, degraded), expected, target)
            rows.append(about | {"engine": session.name} | difference)
    for session in sessions:
        session.close()
    return rows


def _difference(restored: NDArray[np.uint8], expected: NDArray[np.uint8], target: NDArray[np.uint8]) -> dict[str, Any]:
    levels = np.abs(restored.astype(np.int16) - expected.astype(np.int16))
    rule = protocol(PROTOCOL)
    return {
        "delta_psnr_db": f"{psnr(restored, target, rule) - psnr(expected, target, rule):.6f}",
        "max_level": int(levels.max()),
        "mean_level": f"{levels.mean():.6f}",
    }

"""The Jetson's engines: built and timed on the device itself, or recorded as not built.

A TensorRT engine holds for the device and the version it was built on, so this stage does both on the machine that runs
it. Without TensorRT or a GPU it writes {"status": "not built", "reason": ...} and the tables show a dash with that
reason. It has no other way to produce a number. What was measured on a Jetson elsewhere and brought back by
`qdr results import` stands in the same file under "imported", and this stage keeps it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from qdr.errors import QdrError
from qdr.rows import write_json
from qdr.runtimes import tensorrt
from qdr.runtimes.verify import judge
from qdr.suite import paths
from qdr.suite.config import BenchConfig, Config
from qdr.suite.export.engines import engine_file
from qdr.suite.jetson.results import imported
from qdr.suite.train.plan import Run


def jetson(config: Config) -> None:
    """Write results/<profile>/jetson.json, and the engines in work/tensorrt."""
    reason = tensorrt.unavailable()
    record: dict[str, Any]
    paths.tensorrt_engines().mkdir(parents=True, exist_ok=True)
    if reason is not None:
        print(f"no engine is built: {reason}", file=sys.stderr)
        record = {"status": "not built", "reason": reason, "rows": []}
    else:
        task = config.bench.task
        models = {"fp32": Run(task, "fp32", "FP32", "all", 0), "int8": Run(task, "qdr", "W8A8", "all", 0)}
        rows = [_time(precision, engine_file(run), config.bench) for precision, run in models.items()]
        record = {"status": "built", "reason": "", "device": tensorrt.device_name(), "rows": rows}
    target = paths.results(config.profile) / "jetson.json"
    kept = imported(target)
    write_json(target, record | ({"imported": kept} if kept else {}))


def _time(precision: str, model: Path, settings: BenchConfig) -> dict[str, Any]:
    engine = paths.tensorrt_engines() / f"{model.stem}.engine"
    print(f"{precision}: TensorRT builds the engine, which takes minutes ...", file=sys.stderr)
    tensorrt.build(model, engine, settings.side)
    print(f"{precision}: built, now timed", file=sys.stderr)
    session = tensorrt.TensorRtSession(engine)
    verdict = judge(session, model, precision)
    if not verdict.right:
        raise QdrError(f"TensorRT does not compute what {model} says on this device: {verdict}; nothing was timed")
    image = np.random.default_rng(0).random((1, 3, settings.side, settings.side), dtype=np.float32)
    for _ in range(settings.warmup):
        session.run(image)
    milliseconds = []
    for _ in range(settings.calls * settings.repeats):
        start = time.perf_counter_ns()
        session.run(image)
        milliseconds.append((time.perf_counter_ns() - start) / 1e6)
    session.close()
    median, p90, p99 = (float(p) for p in np.percentile(milliseconds, [50, 90, 99]))
    return {"precision": precision, "median_ms": median, "p90_ms": p90, "p99_ms": p99, "fps": 1000 / median}

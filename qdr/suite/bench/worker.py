"""One timing process: load one model in one engine, and per side warm up, time the calls, keep what came out.

Run by `qdr.suite.bench.latency` as `python -m qdr.suite.bench.worker '<request>'`.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.runtimes.session import Batch, Session, open_session, restore
from qdr.suite.bench.process import answer
from qdr.suite.config import BenchConfig

Image = NDArray[np.uint8]


class Stopwatch:
    """A session that notes how long each call of its engine takes, in milliseconds."""

    def __init__(self, session: Session) -> None:
        self.name, self._session = session.name, session
        self.milliseconds: list[float] = []

    def run(self, image: Batch) -> Batch:
        """Restore [n, 3, h, w] in [0, 1]."""
        start = time.perf_counter_ns()
        restored = self._session.run(image)
        self.milliseconds.append((time.perf_counter_ns() - start) / 1e6)
        return restored


def time_case(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Time one case at every side, smallest first; the request holds `case`, `settings` (of `BenchConfig`) and `folder`.

    `folder` holds the image of each side, `<side>.npy`; the restored one is written beside it.
    """
    case, settings, folder = request["case"], BenchConfig(**request["settings"]), Path(request["folder"])
    session = open_session(case["engine"], Path(case["path"]), case["precision"], settings.threads)
    answers = []
    for side in sorted(settings.sides):
        output = folder / f"{side}-restored.npy"
        timed, restored = time_side(session, np.load(folder / f"{side}.npy"), settings)
        np.save(output, restored)
        answers.append({"side": side, "output": str(output), "peak_rss_mib": peak_memory()} | timed)
    session.close()
    return answers


def time_side(session: Session, image: Image, settings: BenchConfig) -> tuple[dict[str, list[float]], Image]:
    """The times of at least `calls` calls and `seconds` seconds after `warmup` calls, and the image they all gave.

    Raises:
        QdrError: when two calls give different images.
    """
    for _ in range(settings.warmup):
        restore(session, image)
    watch, end_to_end, first = Stopwatch(session), list[float](), restore(session, image)
    begun = time.perf_counter()
    while len(end_to_end) < settings.calls or time.perf_counter() - begun < settings.seconds:
        start = time.perf_counter_ns()
        restored = restore(watch, image)
        end_to_end.append((time.perf_counter_ns() - start) / 1e6)
        if not np.array_equal(first, restored):
            raise QdrError(f"{session.name} restores one image in two ways: call {len(end_to_end)} differs from the first")
    return {"milliseconds": watch.milliseconds, "end_to_end": end_to_end}, first


def peak_memory() -> float:
    """Largest resident memory of this process in MiB; `ru_maxrss` would start at the parent's size on Linux."""
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(fields["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    answer(time_case)

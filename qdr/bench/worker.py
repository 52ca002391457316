"""One timing process: load one model in one engine, warm up, time the calls, print JSON.

Run by `qdr.bench.latency` as `python -m qdr.bench.worker '<request>'`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from qdr.errors import QdrError
from qdr.runtimes.session import open_session


def main(request: str) -> None:
    """Time one case; the request is a JSON object with the fields of `Case` and `BenchConfig`."""
    case = json.loads(request)
    session = open_session(case["engine"], Path(case["path"]), case["precision"], case["threads"])
    image = np.random.default_rng(0).random((case["batch"], 3, case["side"], case["side"]), dtype=np.float32)
    for _ in range(case["warmup"]):
        session.run(image)
    milliseconds = []
    for _ in range(case["calls"]):
        start = time.perf_counter_ns()
        session.run(image)
        milliseconds.append((time.perf_counter_ns() - start) / 1e6)
    print(json.dumps({"milliseconds": milliseconds, "peak_rss_mib": peak_memory()}))


def peak_memory() -> float:
    """Largest resident memory of this process in MiB; `ru_maxrss` would start at the parent's size on Linux."""
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(fields["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except QdrError as error:
        sys.exit(str(error))

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
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"milliseconds": milliseconds, "peak_rss_mib": peak}))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except QdrError as error:
        sys.exit(str(error))

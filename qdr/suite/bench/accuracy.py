"""Fast and wrong does not count: the outputs that were timed are compared with untimed runs in another process.

That process evaluates the exact arithmetic of each exported file, whichever engine is timed: an engine that fuses a graph
wrongly cannot confirm itself. OpenVINO 2026.4 did so with signed INT8 concatenations, by 8 to 13 grey levels on average;
correct engines differ by single roundings, 0.2 to 0.3 levels in a trained network. Run as `python -m
qdr.suite.bench.accuracy`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdr.errors import QdrError
from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import CEILING, psnr
from qdr.runtimes.ort import ExactSession
from qdr.runtimes.session import restore
from qdr.suite.bench.process import answer, ask

__all__ = ["CEILING", "agreement", "expected", "likeness"]
MEAN_LEVEL = {"fp32": 0.1, "bf16": 2.0, "int8": 1.0}  # grey levels; qdr.suite.evaluate.parity has the strict gate of INT8
Image = NDArray[np.uint8]


def expected(files: list[str], sides: list[int], threads: int, folder: Path) -> dict[tuple[str, int], Image]:
    """What each exported file makes of `<folder>/<side>.npy`, by file and side."""
    listed = list(dict.fromkeys(files))
    written = ask(
        "qdr.suite.bench.accuracy",
        {"files": listed, "sides": sides, "threads": threads, "folder": str(folder)},
        "untimed run",
    )
    return {(listed[i], side): np.load(path) for i, side, path in written}


def agreement(output: Image, right: Image, precision: str, about: str) -> float:
    """Mean difference of two 8-bit images in grey levels.

    Raises:
        QdrError: when it is more than single roundings explain.
    """
    level = float(np.abs(output.astype(np.int16) - right.astype(np.int16)).mean())
    if level > MEAN_LEVEL[precision]:
        allowed = f"at most {MEAN_LEVEL[precision]} are allowed"
        raise QdrError(f"{about}: the output is {level:.2f} grey levels from the file's exact arithmetic, {allowed}")
    return level


def likeness(output: Image, fp32: Image) -> float:
    """PSNR of a timed output to the FP32 model's, in dB, at most 100."""
    return psnr(output, fp32, protocol(PROTOCOL))


def _restore_all(request: dict[str, Any]) -> list[tuple[int, int, str]]:
    folder, written = Path(request["folder"]), []
    for i, file in enumerate(request["files"]):
        if not Path(file).is_file():
            raise QdrError(f"{file} does not exist: export it first (`dvc repro export`)")
        session = ExactSession(Path(file), "", request["threads"])
        for side in request["sides"]:
            path = folder / f"right-{i}-{side}.npy"
            np.save(path, restore(session, np.load(folder / f"{side}.npy")))
            written.append((i, side, str(path)))
        session.close()
    return written


if __name__ == "__main__":
    answer(_restore_all)

"""What engines make of exported files on the processor this runs on, as JSON: run by `test_processors.py`, also emulated.

    python judge.py ENGINE[,ENGINE...] PICTURES.npz FILE.onnx...

Engines are those of `qdr.runtimes.session`, and "unshifted": ONNX Runtime on integers with every weight as int8, which
saturates where the processor does. PICTURES gets what each engine restores of one picture, under "file|engine".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from qdr.runtimes import ort, session as sessions, verify


def main(engines: list[str], pictures: Path, files: list[Path]) -> None:
    """Print the verdicts by file and engine, and whether ONNX Runtime found that sums of products saturate."""
    saturates = ort._saturates()
    verify._milliseconds = lambda *_: 0.0  # an emulated processor's time says nothing, and takes minutes
    y, x = np.mgrid[0:48, 0:64]
    waves = np.stack([np.sin(x / (5 + c)) * np.cos(y / (7 - c)) for c in range(3)], axis=2)
    picture = (127.5 + 127.5 * waves).astype(np.uint8)
    verdicts: dict[str, dict[str, dict[str, float]]] = {}
    restored: dict[str, Any] = {}
    for path in files:
        for engine in engines:
            with mock.patch.object(ort, "_saturates", return_value=saturates and engine != "unshifted"):
                opened = sessions.open_session("onnxruntime" if engine == "unshifted" else engine, path, "int8", 1)
            verdict = verify.judge(opened, path, "int8")
            verdicts.setdefault(path.stem, {})[engine] = {
                "right": verdict.right,
                "mean": verdict.mean_level,
                "high": verdict.high_level,
            }
            restored[f"{path.stem}|{engine}"] = sessions.restore(opened, picture)
    np.savez(pictures, **restored)
    print(json.dumps({"saturates": saturates, "verdicts": verdicts}))


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])

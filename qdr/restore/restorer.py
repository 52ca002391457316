"""A model ready to restore pixels: which file, which engine, at which precision, in which tiles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qdr.errors import QdrError, check_choice
from qdr.export import numerics
from qdr.export.foreign import SPANS, Sides, own_form
from qdr.restore import pretrained, tiles
from qdr.restore.footprint import footprint
from qdr.restore.tiles import Pixels
from qdr.runtimes.session import ENGINES, PRECISIONS, Session, open_session
from qdr.runtimes.verify import ORDER, Checked, cache, choose, judge

TENSORRT_SIDE = 512  # pixels; a TensorRT engine is built for one size
_FAR, _FLAT = 1.0, 0.02  # how far a picture's values may lie outside [0, 1], and how close together
_WHITE = 0.97  # what an INT8 file makes of white at least


class Restorer:
    """An open engine that was shown to compute what the file says (`qdr.runtimes.verify`). Use as a context manager.

    Args:
        task: whose packaged weights to use, or None.
        model: an exported ONNX file instead, or None.
        engine: "openvino", "onnxruntime", "exact" or "tensorrt" (built on this device on first use, kept in the cache);
            None: the first that is right, else the fastest, and of packaged weights the file it is right for.
        precision: "int8", "fp32" or "bf16"; None: what the file is for.
        tile: "auto", "none" or a side in pixels.
        threads: of the engine; 0: all cores this process may use.
        values: what the model's values run over ("0-1", "0-255", "signed", or two joined by ":" where input and output
            differ); None: what the file says (`qdr.export.foreign`).
        strength: of the restoration, 0 to 1: the share of the model's picture, the rest is the picture as it was.

    Raises:
        QdrError: when none or both of task and model are given, they do not go with engine, precision and tile, or no
            engine computes what the file says.
    """

    def __init__(
        self,
        task: str | None = None,
        model: Path | None = None,
        engine: str | None = None,
        precision: str | None = None,
        tile: str = "auto",
        threads: int = 0,
        values: str | None = None,
        strength: float = 1.0,
    ) -> None:
        if not 0 <= strength <= 1:
            raise QdrError(f"--strength {strength:g}: name a number from 0, the picture as it is, to 1, the model's")
        self._strength = strength
        if threads < 0:
            raise QdrError(f"--threads {threads}: name a number of threads, or 0 for all cores")
        if engine is not None:
            check_choice("engine", engine, ENGINES)
        if precision is not None:
            check_choice("precision", precision, PRECISIONS)
        if (model is None) == (task is None):
            raise QdrError(
                "say what to restore: --task lowlight, dehaze, derain or denoise, or --model FILE.onnx (not both)"
            )
        if task is not None and precision in ("fp32", "bf16"):
            pretrained.packaged(task)
            raise QdrError(
                f"--precision {precision}: the packaged weights are INT8 and hold no FP32 model; "
                "leave --precision out, or give an FP32 file with --model"
            )
        if values is not None and model is None:
            raise QdrError("--values is for --model: the packaged weights say what they take")
        self.notes: list[str] = []
        if model is None:
            self._prepare(pretrained.packaged(task or ""), engine, precision, tile, threads)
            return
        with own_form(model, values) as form:
            self.notes = form.notes
            self._prepare([form.path], engine, precision, tile, threads, form.sides)
            if not form.own:
                self._check_values(form.sides)
        self._checked = Checked(self._session, model)

    def _prepare(
        self,
        files: list[Path],
        engine: str | None,
        precision: str | None,
        tile: str,
        threads: int,
        sides: Sides = (None, None),
    ) -> None:
        """Open the engine and choose the tiles; `sides` are height and width that the file takes, None where free."""
        needs = footprint(files[0])
        wanted = precision or ("int8" if needs.quantized else "fp32")
        if (wanted == "int8") != needs.quantized:
            kind, fits = ("INT8 (Q/DQ)", "int8") if needs.quantized else ("FP32", "fp32 or bf16")
            raise QdrError(f"{files[0]} is an {kind} file: --precision {wanted} does not go with it, take {fits}")
        height, width = sides if any(sides) or engine != "tensorrt" else (TENSORRT_SIDE, TENSORRT_SIDE)
        fixed = (height or width or 0, width or height or 0) if height or width else None
        self.tiling = tiles.tiling(needs, tile, fixed)
        self._quantized = needs.quantized
        self.exact = needs.reach is not None and self.tiling.halo >= needs.reach
        self._session, path = _open(files, engine, wanted, threads or _cores())
        self._checked = Checked(self._session, path)

    def _check_values(self, sides: Sides) -> None:
        """Refuse a file that makes of a probe in [0, 1] what is no picture in [0, 1]; note one whose INT8 clips white."""
        probe = numerics.probe_image(*(side or numerics.SIDE for side in sides))
        low, high = (float(value) for value in np.quantile(self._checked.run(numerics.to_batch(probe)), (0.01, 0.99)))
        if low < -_FAR or high > 1 + _FAR or high - low < _FLAT:
            raise QdrError(
                f"this model makes values of {low:.2f} to {high:.2f} of a picture of 0 to 1: say what its values run over "
                f"with --values ({', '.join(SPANS)}, or IN:OUT)"
            )
        white = float(self._checked.run(numerics.to_batch(np.full_like(probe, 255))).mean())
        if self._quantized and white < _WHITE:
            self.notes.append(f"this INT8 file makes {255 * white:.0f} of white, 255: its scales may cut off bright values")

    def __call__(self, pixels: Pixels, advance: Callable[[float], None] | None = None) -> Pixels:
        """Restore uint8 or uint16 pixels, [h, w] or [h, w, 3]; `advance` is told the share done."""
        restored = tiles.restore_pixels(self._checked, pixels, self.tiling, advance)
        if self._strength == 1:
            return restored
        mixed = pixels + np.float32(self._strength) * (restored.astype(np.float32) - pixels)
        result: Pixels = np.rint(mixed).astype(pixels.dtype)
        return result

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open(files: list[Path], engine: str | None, precision: str, threads: int) -> tuple[Session, Path]:
    """The session, and the file it runs: of each engine every file is a candidate, so that a slower one comes last."""
    if engine == "tensorrt":
        return _open_tensorrt(files[0], precision), files[0]
    if precision == "bf16":
        engines: tuple[str, ...] = ("openvino",)
    else:
        engines = (engine,) if engine else ORDER
    path, chosen = choose([(file, name) for name in engines for file in files], precision, threads)
    return open_session(chosen, path, precision, threads), path


def _open_tensorrt(path: Path, precision: str) -> Session:
    """The engine of an ONNX file for this device, built on first use. Not yet run on a Jetson.

    Raises:
        QdrError: when TensorRT is not there, or its engine computes something else than the file says.
    """
    from qdr.runtimes import tensorrt

    if reason := tensorrt.unavailable():
        raise QdrError(f"the engine tensorrt is unavailable: {reason}")
    key = hashlib.sha256(path.read_bytes() + tensorrt.device_name().encode()).hexdigest()[:16]
    engine = cache() / f"{path.stem}-{key}-{TENSORRT_SIDE}.engine"
    if not engine.is_file():
        tensorrt.build(path, engine, TENSORRT_SIDE)
    session = open_session("tensorrt", engine, precision)
    verdict = judge(session, path, precision)
    if not verdict.right:
        session.close()
        raise QdrError(f"tensorrt does not compute what {path} says on this device: {verdict}. Take another --engine")
    return session

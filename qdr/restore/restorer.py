"""A model ready to restore pixels: which file, which engine, at which precision, in which tiles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qdr.errors import QdrError, check_choice
from qdr.restore import pretrained, tiles
from qdr.restore.footprint import footprint
from qdr.restore.tiles import Pixels
from qdr.runtimes.session import ENGINES, PRECISIONS, Batch, Session, open_session

TENSORRT_SIDE = 512  # pixels; a TensorRT engine is built for one size


class _Checked:
    """An engine whose answers are images: a model that somebody gives may fail on them, or give no numbers at all."""

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self._path = session, path

    def run(self, image: Batch) -> Batch:
        """Restore [n, 3, h, w] in [0, 1]."""
        try:
            restored = self._session.run(image)
        except Exception as error:  # engines raise many kinds without a common base
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise QdrError(f"{self._path} cannot restore an image of {image.shape} ({reason}): export it again") from error
        if restored.shape != image.shape:
            raise QdrError(f"{self._path} makes {restored.shape} of {image.shape}: a model of qdr keeps the size")
        if not np.isfinite(restored).all():
            raise QdrError(f"{self._path} gives values that are no numbers: its weights are damaged, export it again")
        return restored


class Restorer:
    """An open engine. Use as a context manager.

    Args:
        task: whose packaged weights to use, or None.
        model: an exported ONNX file instead, or None.
        engine: "openvino", "onnxruntime" or "tensorrt" (built on this device on first use, kept in the cache).
        precision: "int8", "fp32" or "bf16"; None: what the file is for.
        tile: "auto", "none" or a side in pixels.
        threads: of the engine; 0: all cores this process may use.

    Raises:
        QdrError: when none or both of task and model are given, or they do not go with engine, precision and tile.
    """

    def __init__(
        self,
        task: str | None = None,
        model: Path | None = None,
        engine: str = "openvino",
        precision: str | None = None,
        tile: str = "auto",
        threads: int = 0,
    ) -> None:
        check_choice("engine", engine, ENGINES)
        if precision is not None:
            check_choice("precision", precision, PRECISIONS)
        if model is None and task is None:
            raise QdrError("say what to restore: --task lowlight, dehaze, derain or denoise, or --model FILE.onnx")
        if model is None and precision in ("fp32", "bf16"):
            pretrained.packaged(task or "")
            raise QdrError(
                f"--precision {precision}: the packaged weights are INT8 and hold no FP32 model; "
                "leave --precision out, or give an FP32 file with --model"
            )
        path = model if model is not None else pretrained.onnx_file(task or "")
        needs = footprint(path)
        wanted = precision or ("int8" if needs.quantized else "fp32")
        if (wanted == "int8") != needs.quantized:
            kind, fits = ("INT8 (Q/DQ)", "int8") if needs.quantized else ("FP32", "fp32 or bf16")
            raise QdrError(f"{path} is an {kind} file: --precision {wanted} does not go with it, take {fits}")
        self.exact = needs.reach is not None
        self.tiling = tiles.tiling(needs, tile, TENSORRT_SIDE if engine == "tensorrt" else None)
        file = _tensorrt(path) if engine == "tensorrt" else path
        self._session: Session = open_session(engine, file, wanted, threads or _cores())
        try:
            takes = self._session.input_spec
        except ValueError as error:  # ONNX Runtime's names that are no text
            raise QdrError(f"{path} is damaged ({error}): export it again") from error
        if takes.name != "image" or len(takes.shape) != 4 or takes.shape[1] not in (3, None):
            raise QdrError(f"{path} takes {takes.name!r} of {takes.shape}: a model of qdr takes 'image' of [n, 3, h, w]")
        self._checked = _Checked(self._session, path)

    def __call__(self, pixels: Pixels, advance: Callable[[float], None] | None = None) -> Pixels:
        """Restore uint8 or uint16 pixels, [h, w] or [h, w, 3]; `advance` is told the share done."""
        return tiles.restore_pixels(self._checked, pixels, self.tiling, advance)

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tensorrt(path: Path) -> Path:
    """The engine of an ONNX file for this device. Not yet run on a Jetson."""
    from qdr.runtimes import tensorrt

    if reason := tensorrt.unavailable():
        raise QdrError(f"the engine tensorrt is unavailable: {reason}")
    key = hashlib.sha256(path.read_bytes() + tensorrt.device_name().encode()).hexdigest()[:16]
    engine = pretrained.cache() / f"{path.stem}-{key}-{TENSORRT_SIDE}.engine"
    if not engine.is_file():
        tensorrt.build(path, engine, TENSORRT_SIDE)
    return engine

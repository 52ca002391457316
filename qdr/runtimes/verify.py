"""An engine is believed after it has shown, on this processor, that it computes what a file says.

The first time a file is opened in an engine, the engine restores the file's probe (`qdr.export.numerics`) and the result is
held against the exact one. The verdict is kept in the cache folder under file, engine, its version, precision and
processor, so that it costs some ten milliseconds once. `open_right` opens the first engine of a list that is right:

    openvino      INT8; fastest where uint8 x int8 products are summed in 32 bits (VNNI, AMX), 7-bit weights elsewhere
    onnxruntime   INT8, lowered to integers in a form whose sums do not saturate
    exact         the Q/DQ arithmetic in FP32: right on every processor, as slow as the FP32 model

Gate: a right engine differs from the exact result by at most `GATES` grey levels on average and at the 99.9th percentile.
Measured on packaged networks and others trained as long: right engines 0.00 to 0.10 and 0 to 5 (rain, where what is removed
magnifies flips), saturating ones 1.7 to 4.0 and 25 to 36. A network
that magnifies single rounding flips (its record's `spread`) is allowed three times that.

A probe shows what an engine does with this probe. How much saturation costs depends on the image, so that an engine whose
integer sums saturate on this processor, as a network made for it shows (`saturates`), is right only for files whose weights
cannot overflow them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from qdr import machine
from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.file import read_onnx
from qdr.files import replacing
from qdr.rows import read_json
from qdr.runtimes.session import Batch, Session, open_session

ORDER = ("openvino", "onnxruntime", "exact")
GATES = {"fp32": (0.1, 1.0), "bf16": (2.0, 16.0), "int8": (0.5, 8.0)}  # mean and 99.9th percentile, grey levels
_SPREADS = 3.0
_TIMED_SIDE = 3  # probes along each side of the image that is timed
_CALLS = 5
CHANNELS = (1, 2, 3, 4)
_said: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Verdict:
    """What an engine makes of a file's probe.

    Args:
        engine: its name.
        precision: what it was to compute in: "int8", "fp32" or "bf16".
        right: whether it is within the gate.
        mean_level: mean difference to the exact result in grey levels.
        high_level: its 99.9th percentile.
        overflows: whether the engine's integer sums saturate on this processor and the file's weights can make them.
        milliseconds: fastest of some calls on an image of 192x192 (three probes along each side), to compare engines with.
    """

    engine: str
    precision: str
    right: bool
    mean_level: float
    high_level: float
    overflows: bool
    milliseconds: float

    def __str__(self) -> str:
        why = "its 16-bit sums overflow, " if self.overflows else ""
        return f"{why}{self.mean_level:.2f} grey levels off on average, {self.high_level:.0f} at the worst pixels"


Candidate = tuple[Path, str]  # a file and the name of an engine


def open_right(path: Path, precision: str, threads: int = 2, engine: str | None = None) -> Session:
    """Open a file in an engine that computes what it says.

    Args:
        path: an exported file.
        precision: "int8" for a Q/DQ file, else "fp32" or "bf16".
        threads: of the engine.
        engine: this one or none; None: the first of `ORDER` that is right, whatever its speed, so that a processor always
            gives the same pixels.

    Raises:
        QdrError: when the named engine, or every engine, computes something else, with the remedy.
    """
    _, name = choose([(path, engine) for engine in ([engine] if engine else ORDER)], precision, threads, by_speed=False)
    return open_session(name, path, precision, threads)


def choose(candidates: Sequence[Candidate], precision: str, threads: int, by_speed: bool = True) -> Candidate:
    """The first candidate if it is right, else the fastest one that is right, or with `by_speed` off the next.

    One line on stderr says when that is not the first, why, and how much slower it is.

    Raises:
        QdrError: when none is right.
    """
    refused: list[tuple[Candidate, Verdict]] = []
    right: list[tuple[Candidate, Verdict]] = []
    for path, engine in candidates:
        verdict = verify(path, engine, precision, threads)
        (right if verdict.right else refused).append(((path, engine), verdict))
        if right and not (refused and by_speed):
            break
    if not right:
        (path, engine), verdict = refused[0]
        raise QdrError(
            f"{engine} does not compute what {path} says on this processor: {verdict}. "
            "Leave --engine out, or take --engine exact or a W7A8 file (`qdr doctor` lists what is right here)"
        )
    taken, verdict = min(right, key=lambda pair: pair[1].milliseconds) if by_speed else right[0]
    if refused:
        _say_once(*refused[0], taken, verdict)
    return taken


def _say_once(wrong: Candidate, why: Verdict, taken: Candidate, verdict: Verdict) -> None:
    pair = wrong[1], taken[1]
    if pair not in _said:
        _said.add(pair)
        slower = verdict.milliseconds / why.milliseconds
        print(
            f"qdr: {wrong[1]} computes {wrong[0].name} wrongly on this processor ({why}); taking {taken[1]}"
            f"{'' if taken[0] == wrong[0] else f' with {taken[0].name}'}, {slower:.1f} times its time",
            file=sys.stderr,
        )


def verify(path: Path, engine: str, precision: str, threads: int = 2, again: bool = False) -> Verdict:
    """The verdict on an engine for a file, from the cache or by running the file's probe.

    `again` runs it even if the cache has a verdict, which may have been timed in a busy minute.

    Raises:
        QdrError: when the file cannot be opened, the engine fails on the probe, or the record is damaged.
    """
    kept = _kept(path, engine, precision)
    if kept.is_file() and not again:
        try:
            return Verdict(**read_json(kept))
        except (QdrError, TypeError):  # of another version, or damaged: judged anew
            pass
    session = open_session(engine, path, precision, threads)
    try:
        verdict = judge(session, path, precision)
    finally:
        session.close()
    try:
        with replacing(kept) as temporary:
            temporary.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
    except QdrError:  # a cache that cannot be written: judged again the next time
        pass
    return verdict


class Checked:
    """An engine whose answers are images of the size it was given: a model that somebody brings may fail on them."""

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self._path = session, path
        try:
            takes = session.input_spec
        except ValueError as error:  # ONNX Runtime's names that are no text
            raise QdrError(f"{path} is damaged ({error}): export it again") from error
        if len(takes.shape) != 4 or takes.shape[1] not in (*CHANNELS, None):
            raise QdrError(f"{path} takes {takes.name!r} of {takes.shape}: a model of qdr takes an image of [n, 3, h, w]")

    def run(self, image: Batch) -> Batch:
        """Restore [n, 3, h, w] in [0, 1].

        Raises:
            QdrError: when the engine fails, or gives another size or values that are not finite.
        """
        try:
            restored = self._session.run(image)
        except Exception as error:  # engines raise many kinds without a common base
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise QdrError(f"{self._path} cannot restore an image of {image.shape} ({reason}): export it again") from error
        if restored.shape != image.shape:
            raise QdrError(f"{self._path} makes {restored.shape} of {image.shape}: models that keep the size are run here")
        if not np.isfinite(restored).all():
            raise QdrError(f"{self._path} gives values that are no numbers: its weights are damaged, export it again")
        return restored


def judge(session: Session, path: Path, precision: str) -> Verdict:
    """Hold a session's result for the probe of its ONNX file against the exact one, and time it.

    A file without a record, or changed since, is held against the exact result computed here; so is a session that takes
    images of one size only.

    Raises:
        QdrError: when the engine fails on the probe, or the file's record is damaged.
    """
    checked, model, (_, channels, *sides) = Checked(session, path), read_onnx(path), session.input_spec.shape
    height, width = (side or numerics.SIDE for side in sides)
    record = numerics.read(model, str(path)) if (height, width) == (numerics.SIDE, numerics.SIDE) else None
    batch = numerics.to_batch(record.probe if record else numerics.probe_image(height, width, channels or 3))
    found = numerics.to_pixels(checked.run(batch))
    record = record or numerics.compute(model, height, width)
    mean, high = off_by(found, record.result)
    magnified = max(1.0, _SPREADS * record.spread / GATES[precision][0])
    allowed_mean, allowed_high = (gate * magnified for gate in GATES[precision])
    overflows = precision == "int8" and not numerics.fits_16_bits(model) and saturates(session.name)
    right = mean <= allowed_mean and high <= allowed_high and not overflows
    milliseconds = round(_milliseconds(session, batch), 3)
    return Verdict(session.name, precision, right, round(mean, 4), round(high, 3), overflows, milliseconds)


def off_by(found: Batch, expected: Batch) -> tuple[float, float]:
    """Grey levels by which images in [0, 1] differ: on average and at the 99.9th percentile."""
    levels = np.abs(found - expected) * 255
    return float(levels.mean()), float(np.quantile(levels, 0.999))


@lru_cache(maxsize=len(ORDER))
def saturates(engine: str) -> bool:
    """Whether an engine's integer sums saturate on this processor: the largest codes times the largest weights."""
    if engine not in ("openvino", "onnxruntime"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "largest.onnx"
        onnx.save(numerics.largest_products(), path)
        session = open_session(engine, path, "int8", 1)
        output = session.run(np.ones((1, 3, 16, 16), np.float32))
        session.close()
    return bool(np.abs(output - 1).max() > 0.01)


def _milliseconds(session: Session, batch: Batch) -> float:
    free = None in session.input_spec.shape[2:]
    image = np.ascontiguousarray(np.tile(batch, (1, 1, _TIMED_SIDE, _TIMED_SIDE))) if free else batch
    times = []
    for _ in range(_CALLS + 1):
        begun = time.perf_counter()
        session.run(image)
        times.append(time.perf_counter() - begun)
    return min(times[1:]) * 1e3


def cache() -> Path:
    """The folder of what can be made again (XDG_CACHE_HOME, default ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdr"


def _kept(path: Path, engine: str, precision: str) -> Path:
    if not path.is_file():
        raise QdrError(f"{path} does not exist: export it first (`dvc repro export`)")
    about = [hashlib.sha256(path.read_bytes()).hexdigest(), engine, precision, _versions(), _processor(), GATES]
    return cache() / "verdicts" / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.json"


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("openvino", "onnxruntime")}


def _processor() -> dict[str, Any]:
    """What decides an engine's kernels; numpy asks the processor itself, which tells an emulated one from its host."""
    limits = {name: value for name, value in os.environ.items() if name.endswith("_MAX_CPU_ISA")}
    return machine.processor() | limits | {"simd": np.show_config(mode="dicts")["SIMD Extensions"]}

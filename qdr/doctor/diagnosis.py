"""`qdr doctor FILE`: engines, speed, pictures and calibration images of one file on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from qdr.doctor.engines import ask
from qdr.doctor.finding import Finding
from qdr.doctor.half import overflow
from qdr.doctor.images import Pixels, thin
from qdr.doctor.pictures import probes, wrong
from qdr.doctor.speed import SIDE, Speed, slow, timed
from qdr.export import mixed, numerics
from qdr.export.file import read_onnx
from qdr.export.foreign import own_form
from qdr.export.graph import image_shape, is_quantized
from qdr.runtimes.verify import Verdict

_IMAGES = 4  # of the user's, by which pictures are judged
_BESIDE = ("engine", "fp16", "cast")  # another engine or precision is right; a cast may be what the network does
_HEADS = {"wrong": "Wrong", "slow": "Slow", "thin": "Thin"}


@dataclass(frozen=True)
class Diagnosis:
    """What there is to say about a file.

    Args:
        file: the user's.
        verdicts: of the engines.
        speed: what was timed; None for a file whose values are no numbers.
        findings: wrong ones first.
    """

    file: Path
    verdicts: list[Verdict]
    speed: Speed | None
    findings: list[Finding]

    @property
    def usable(self) -> bool:
        """Whether an engine is right, and no picture comes out wrong."""
        wrongs = [finding for finding in self.findings if finding.kind == "wrong" and finding.code not in _BESIDE]
        return any(verdict.right for verdict in self.verdicts) and not wrongs

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        take = self.speed.take if self.speed else None
        about = {"file": self.file, "engines": [asdict(v) for v in self.verdicts], "take": asdict(take) if take else None}
        return about | {"speed": asdict(self.speed) if self.speed else None, "findings": [asdict(f) for f in self.findings]}


def diagnose(path: Path, threads: int, folder: Path | None = None, fp32: Path | None = None) -> Diagnosis:
    """Look at a file.

    Args:
        path: an ONNX file of one image.
        threads: of the engines.
        folder: of calibration images, or None.
        fp32: the FP32 file it was made from, or None.

    Raises:
        QdrError: when a file or the folder cannot be read.
    """
    lacks, images = thin(folder) if folder else ([], [])
    with own_form(path) as form:
        model = read_onnx(form.path)
        plain = mixed.in_reals(model) if is_quantized(model) else model
        reference, about = (_own(fp32), fp32.name) if fp32 else (plain, "the file without rounding of activations")
        seen = _cut(model, images)
        bad = wrong(model, reference, about, seen)
        if any(finding.code == "nan" for finding in bad):
            return Diagnosis(path, [], None, [*bad, *lacks])
        bad += overflow(plain, seen[0] if seen else probes(model)[3])
        verdicts, engines = ask(form.path, threads)
        side = form.sides[0] or SIDE
        image = numerics.to_batch(numerics.probe_image(side, form.sides[1] or SIDE, image_shape(model)[0]))
        speed = timed(model, verdicts, threads, image)
        return Diagnosis(path, verdicts, speed, [*engines, *bad, *slow(model, speed), *lacks])


def show(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Print a file's diagnosis: every way to run it, which to take, and the findings."""
    console, speed = console or Console(highlight=False), diagnosis.speed
    console.print(f"[bold]{diagnosis.file}[/bold]")
    if speed is not None:
        _show_speed(speed, console)
    for kind, head in _HEADS.items():
        for finding in diagnosis.findings:
            if finding.kind == kind:
                console.print(f"{head}: {finding.text} [{finding.code}]", markup=False)
    if not diagnosis.findings:
        console.print("Nothing is found slow or wrong.")


def _show_speed(speed: Speed, console: Console) -> None:
    table = Table(*("Computes", "Engine", "Right", "Mean", "99.9 %", "ms", "Speed"))
    fp32 = min((time.milliseconds for time in speed.times if time.precision == "fp32"), default=np.nan)
    for time in speed.times:
        levels = f"{time.mean_level:.3f}", f"{time.high_level:.2f}"
        rate = f"{time.milliseconds:.2f}", f"{fp32 / time.milliseconds:.2f}×"
        table.add_row(time.precision, time.engine, "yes" if time.right else "NO", *levels, *rate)
    console.print(table)
    where = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in speed.shares.items()) or "not known"
    console.print(
        f"Mean, 99.9 %: grey levels off the file's exact arithmetic (int8) or FP32. ms: {speed.height}x{speed.width}, in "
        f"turn. OpenVINO's time: {where}."
    )
    take, own = speed.take, "int8" if any(time.precision == "int8" for time in speed.times) else "fp32"
    if take is not None:
        what = "this file" if take.precision == own else f"the FP32 file in {take.precision}"
        console.print(f"Take {what} in {take.engine}: {take.milliseconds:.2f} ms.")


def _own(path: Path) -> onnx.ModelProto:
    with own_form(path) as form:
        return read_onnx(form.path)


def _cut(model: onnx.ModelProto, images: Sequence[Pixels]) -> list[NDArray[np.float32]]:
    """The middle of the first images, of a size the file takes; none where they are too small for it."""
    height, width = (side or SIDE for side in image_shape(model)[1:])
    large = [image for image in images if image.shape[0] >= height and image.shape[1] >= width][:_IMAGES]
    places = [((image.shape[0] - height) // 2, (image.shape[1] - width) // 2) for image in large]
    return [
        numerics.to_batch(np.ascontiguousarray(i[y : y + height, x : x + width]))
        for i, (y, x) in zip(large, places, strict=True)
    ]

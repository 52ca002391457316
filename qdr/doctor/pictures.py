"""What is wrong with a file's pictures: colours, white, steps and values that are no numbers, by its exact arithmetic.

The file is held against a reference: the FP32 file it was made from where that is given, else itself without the rounding
of activations (`qdr.export.mixed.in_reals`), which shows scales that clip and grids that are too coarse, but not weights
that were rounded badly. Probes are a grey ramp, flat black and white, the probe of the numerics record, and the user's
images where there are some. What a network means to change (a low-light network brightens) is in the reference too.

Without an FP32 file a colour cast of the weights themselves shows in one way: grey in, colour out. Networks that are in
order do that too on a ramp they were never trained on (measured on packaged weights: up to 8 grey levels), so only a strong
one is a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdr.doctor.finding import Finding
from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.graph import Graph, image_shape

Batch = NDArray[np.float32]
SHIFT = 3.0  # grey levels by which means may differ
_EXPOSURES = (1.0, 0.5, 0.2)  # of probes: a network is made for one of them
CAST = 24.0  # grey levels between channels that grey may become
WHITE, SHORT = 250.0, 5.0  # a reference that reaches the first is to be reached up to the second, grey levels
STEPS = 0.75  # of the reference's levels in a ramp


def wrong(model: onnx.ModelProto, reference: onnx.ModelProto, about: str, images: Sequence[Batch] = ()) -> list[Finding]:
    """The findings on what a file makes of probes.

    Args:
        model: in qdr's own form.
        reference: another model of the same images.
        about: what the reference is, for the text.
        images: [1, c, h, w] in [0, 1] that both take, or none.
    """
    stored = [
        name for name, value in Graph(model).values.items() if value.dtype.kind == "f" and not np.isfinite(value).all()
    ]
    if stored:
        return [_nan(f"the stored tensor {stored[0]} holds values that are no numbers ({len(stored)} such tensors)")]
    ramp, black, white, colours = probes(model)
    run, expect = _Run(model), _Run(reference)
    given = {"a grey ramp": ramp, "black": black, "white": white, "the probe": colours}
    given |= {f"image {number + 1}": image for number, image in enumerate(images)}
    broken = [what for what, image in given.items() if not np.isfinite(run.raw(image)).all()]
    if broken:
        return [_nan(f"{', '.join(broken[:4])} become values that are no numbers (NaN or infinite)")]
    shift = _shift(run, expect, images, (ramp, colours))
    found = [*_shifts(shift, about), *_white(run, expect, (white, ramp), about), *_steps(run, expect, ramp, about)]
    cast = run.means(ramp) - run.means(ramp).mean()
    if not found and np.ptp(cast) > CAST:
        names = ", ".join(f"{value:+.0f}" for value in cast)
        found.append(
            Finding("wrong", "cast", f"grey becomes coloured ({names} grey levels by channel): compare with its --fp32 file")
        )
    return found


def probes(model: onnx.ModelProto) -> tuple[Batch, Batch, Batch, Batch]:
    """A grey ramp, black, white and the record's probe, [1, c, h, w], of a size the file takes."""
    channels, *sides = image_shape(model)
    height, width = sides[0] or 64, sides[1] or 256
    shape = (1, channels, height, width)
    ramp = np.broadcast_to(np.rint(np.linspace(0, 255, width)) / 255, shape).astype(np.float32)
    probe = numerics.to_batch(numerics.probe_image(height, width, channels))
    return np.ascontiguousarray(ramp), np.zeros(shape, np.float32), np.ones(shape, np.float32), probe


class _Run:
    """The exact arithmetic of a model; results in grey levels, clipped as pixels are."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session: Any = numerics.exact_session(model.SerializeToString(), optimized=True)
        self._name = model.graph.input[0].name

    def raw(self, image: Batch) -> Batch:
        try:
            result: Batch = self._session.run(None, {self._name: image})[0]
        except Exception as error:  # ONNX Runtime raises many kinds without a common base
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise QdrError(f"the file cannot restore an image of {image.shape} ({reason}): export it again") from error
        return result

    def levels(self, image: Batch) -> NDArray[np.float64]:
        return np.clip(self.raw(image).astype(np.float64), 0, 1) * 255

    def means(self, image: Batch) -> NDArray[np.float64]:
        """Mean grey level of each channel."""
        return np.asarray(self.levels(image).mean(axis=(0, 2, 3)))


def _nan(text: str) -> Finding:
    return Finding(
        "wrong", "nan", f"{text}: the weights or a division are broken, export from weights that restore a picture"
    )


def _shift(run: _Run, expect: _Run, images: Sequence[Batch], made: Sequence[Batch]) -> NDArray[np.float64]:
    """By how many grey levels the means of channels differ: on images on average, else on the probe where it is least."""
    if images:
        return np.asarray(np.mean([run.means(image) - expect.means(image) for image in images], axis=0))
    dimmed = [np.float32(share) * image for image in made for share in _EXPOSURES]
    shifts = [run.means(image) - expect.means(image) for image in dimmed]
    return min(shifts, key=lambda shift: float(np.abs(shift).max()))


def _shifts(shift: NDArray[np.float64], about: str) -> list[Finding]:
    listed, found = ", ".join(f"{value:+.1f}" for value in shift), []
    if np.ptp(shift) > SHIFT:
        text = f"colours shift against {about}, {listed} grey levels by channel: keep the last layers in 8 bits or float"
        found.append(Finding("wrong", "tint", text))
    if abs(shift.mean()) > SHIFT:
        how, code = ("darker", "dark") if shift.mean() < 0 else ("brighter", "bright")
        text = f"pictures are {abs(shift.mean()):.1f} grey levels {how} than those of {about}: a scale clips, use min-max"
        found.append(Finding("wrong", code, text))
    return found


def _white(run: _Run, expect: _Run, images: Sequence[Batch], about: str) -> list[Finding]:
    ours, theirs = (min(float(r.levels(image).max()) for image in images) for r in (run, expect))
    if theirs < WHITE or ours >= theirs - SHORT:
        return []
    text = f"white is not reached: {ours:.0f} of 255, {about} gives {theirs:.0f}: a scale at the output clips, use min-max"
    return [Finding("wrong", "white", text)]


def _steps(run: _Run, expect: _Run, ramp: Batch, about: str) -> list[Finding]:
    ours, theirs = (min(len(np.unique(np.rint(plane))) for plane in r.levels(ramp)[0]) for r in (run, expect))
    if ours >= STEPS * theirs:
        return []
    text = (
        f"a smooth ramp comes out in {ours} levels, {theirs} in {about}: keep the output, and what is added to it, in float"
    )
    return [Finding("wrong", "banding", text)]

"""Which layers stay in floating point so that INT8 loses no more than so many dB: few and cheap ones.

Each layer alone is put into floating point and what the drop falls by (on parts of two images) is its gain; its price is
its share of the multiply-accumulates. Layers are taken in the order of gain by price (each counts for at least a hundredth,
so that few are taken), as many as it needs: found by halving, then confirmed, and added to, on the engine itself. At most
half of the multiply-accumulates may go: beyond, the file is no INT8 file any more.

The search is on the Q/DQ arithmetic as ONNX defines it, which any engine that is right computes. Mixed precision by
one-at-a-time sensitivity is that of Dong et al., HAWQ (ICCV 2019, arXiv 1905.03696) and of tools since; the measure here is
dB of the output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from qdr.convert.judge import Judge, Score
from qdr.convert.progress import Progress
from qdr.export import mixed, numerics
from qdr.export.graph import image_shape

MOST = 0.5  # of the multiply-accumulates in floating point
_IMAGES, _SIDE = 2, 128  # by which single layers are compared
_LEAST_PRICE = 0.01
_FASTER = 0.9  # of the milliseconds in FP32, from which FP16 counts as faster
_STATE = "layers"
Show = Callable[[str, int, int], None]
Confirm = Callable[[onnx.ModelProto], Score]


@dataclass(frozen=True)
class Kept:
    """A layer that stays in floating point.

    Args:
        name: of the layer.
        gain: dB by which it alone lowers the drop.
        share: of the multiply-accumulates.
    """

    name: str
    gain: float
    share: float


@dataclass(frozen=True)
class Mixed:
    """A file of integer and floating-point layers.

    Args:
        model: the file.
        kept: layers in floating point, the best first.
        score: on the engine.
        weights: real-valued ones by the name of their integers.
    """

    model: onnx.ModelProto
    kept: list[Kept]
    score: Score
    weights: mixed.Weights


def keep_within(
    model: onnx.ModelProto,
    weights: mixed.Weights,
    judge: Judge,
    most: float,
    confirm: Confirm,
    side: int,
    show: Show,
    progress: Progress | None = None,
) -> Mixed:
    """The cheapest mix found that loses at most `most` dB, or the nearest where none does.

    Args:
        model: the INT8 file.
        weights: real-valued weights by the name of their integers.
        judge: images that were held back.
        most: dB.
        confirm: opens a file in a right engine and scores it.
        side: of the images, for counting.
        show: told of every layer.
        progress: where gains are kept and found, None for nowhere.
    """
    order = _ranked(model, weights, judge, side, show, progress)
    shares = [sum(layer.share for layer in order[:count]) for count in range(len(order) + 1)]
    largest = max(count for count, share in enumerate(shares) if share <= MOST)
    files: dict[int, onnx.ModelProto] = {}

    def file(count: int) -> onnx.ModelProto:
        if count not in files:
            files[count] = mixed.in_float(model, [layer.name for layer in order[:count]], weights)
        return files[count]

    low, high = 0, largest  # the least number whose exact arithmetic keeps the budget
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _exact(file(middle), judge) <= most else (middle + 1, high)
    best: Mixed | None = None
    for count in range(low, largest + 1):
        found = Mixed(file(count), order[:count], confirm(file(count)), weights)
        best = found if best is None or found.score.drop < best.score.drop else best
        if best.score.drop <= most:
            break
    assert best is not None
    return best


def in_half(found: Mixed, model: onnx.ModelProto, most: float, confirm: Confirm) -> tuple[Mixed, Score]:
    """The mix with its floating-point layers in FP16 where an engine gains by it and the budget holds, else as it is.

    Args:
        found: layers of `model` in FP32.
        model: the INT8 file.
        most: dB that may be lost.
        confirm: scores a file.

    Returns:
        The mix that is taken, and what FP16 was measured to be.
    """
    half = mixed.in_float(model, [layer.name for layer in found.kept], found.weights, half=True)
    score, again = confirm(half), confirm(found.model)  # one after the other: machines are busy now and idle then
    gains = score.milliseconds < _FASTER * min(again.milliseconds, found.score.milliseconds)
    gains = gains and score.drop <= max(most, found.score.drop)
    return (replace(found, model=half, score=score) if gains else found), score


def _ranked(
    model: onnx.ModelProto, weights: mixed.Weights, judge: Judge, side: int, show: Show, progress: Progress | None
) -> list[Kept]:
    macs = mixed.macs(model, side)
    total = max(1, sum(macs.values()))
    judge = judge.few(_IMAGES, side if image_shape(model)[1] else _SIDE)
    whole = _exact(model, judge)
    digest = hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
    known = (progress.find(_STATE) if progress else None) or {}
    gains: dict[str, float] = known["gains"] if known.get("graph") == digest else {}
    layers = []
    for i, (name, count) in enumerate(macs.items()):
        if name not in gains:
            gains[name] = whole - _exact(mixed.in_float(model, [name], weights), judge)
            if progress:
                progress.keep(_STATE, {"graph": digest, "gains": gains})
        layers.append(Kept(name, gains[name], count / total))
        show("sensitivity by layer", i + 1, len(macs))
    return sorted(layers, key=lambda layer: layer.gain / (layer.share + _LEAST_PRICE), reverse=True)


def _exact(model: onnx.ModelProto, judge: Judge) -> float:
    session = numerics.exact_session(model.SerializeToString(), optimized=True)
    name = model.graph.input[0].name
    return judge.score(lambda batch: session.run(None, {name: batch})[0], "exact").drop

"""`qdr quantize MODEL`: from somebody's network and a folder of images to a judged INT8 file.

Calibrate; distil without labels, and take that only where it is no worse on the images that were held back; where a budget
in dB is given, put single layers back into floating point. Every figure is of the 8-bit pixels of an engine that was shown
to compute what the file says.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn

from qdr.convert import network
from qdr.convert.budget import Kept, Mixed, in_half, keep_within
from qdr.convert.frames import Frames, read_frames
from qdr.convert.judge import Judge, Score
from qdr.convert.program import SUFFIX, Program, read_program
from qdr.convert.progress import Progress, fingerprint
from qdr.convert.tune import BATCH, distil
from qdr.distill.distiller import bottleneck, frozen_copy
from qdr.errors import QdrError, check_choice
from qdr.export import mixed, numerics
from qdr.export.calibrated import quantize_onnx
from qdr.export.file import read_onnx
from qdr.export.graph import image_shape
from qdr.export.write import export_onnx
from qdr.files import replacing
from qdr.quant.layers import QuantConv2d
from qdr.quant.quantize import quantize
from qdr.runtimes.session import open_session
from qdr.runtimes.verify import open_right

SCHEMES = ("W8A8", "W7A8", "W4A8")
Show = Callable[[str, int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Args:
        model: a checkpoint, a torch.export program, or an ONNX file.
        factory: of the checkpoint's network, "" for a file that holds its network.
        images: folder of degraded images.
        targets: folder of clean ones of the same names, or None.
        out: the ONNX file to write.
        scheme: "W8A8", "W7A8" or "W4A8".
        steps: of training without labels; 0 for none.
        bottleneck: name of the module to distil at; "" to find it.
        most: dB that may be lost against FP32, or None.
        psnr: of FP32 against the truth in dB, assumed where there are no targets.
        strict: refuse multiply-accumulates in floating point.
        force: replace `out`.
        engine: to judge with, None for the first that is right.
        threads: of the engine.
    """

    model: Path
    factory: str
    images: Path
    targets: Path | None
    out: Path
    scheme: str = "W8A8"
    steps: int = 100
    bottleneck: str = ""
    most: float | None = None
    psnr: float = 30.0
    strict: bool = False
    force: bool = False
    engine: str | None = None
    threads: int = 2


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Args:
        out: the written file.
        fp32: score of the FP32 network in the same engine (its time is what INT8's compares with).
        ptq: score after calibration alone.
        qdr: score after training, None without.
        final: score of the written file.
        kept: layers in floating point for the budget.
        promised: whether the budget is kept; True without one.
        half: score with these layers in FP16, None where there are none.
        fallback: what these layers compute in, "float" or "fp16".
        psnr: of FP32 against the targets in dB, None without.
        layers: quantized ones before any was put back.
    """

    out: Path
    fp32: Score
    ptq: Score
    qdr: Score | None
    final: Score
    kept: list[Kept]
    promised: bool
    half: Score | None = None
    fallback: str = "float"
    psnr: float | None = None
    layers: int = 0


def convert(wish: Wish, say: Say, show: Show) -> Outcome:
    """Quantize somebody's network; a run that was interrupted goes on where it was.

    Args:
        wish: what is asked for.
        say: told in lines what is found on the way.
        show: told of the progress of what takes long.

    Raises:
        QdrError: when something given cannot be used, or `out` is the model, or is there and not to be replaced.
    """
    check_choice("bits of INT8 engines", wish.scheme, SCHEMES)
    _check_out(wish)
    with tempfile.TemporaryDirectory() as folder:
        made = _from_onnx(wish, Path(folder), say) if _is_onnx(wish) else _from_torch(wish, Path(folder), say, show)
        best = made.ptq if made.qdr is None or made.qdr.score.drop > made.ptq.score.drop else made.qdr
        if made.qdr is not None and best is made.ptq:
            say("the trained network is worse on the images held back than its calibration: it is left out")
        half, fallback = None, "float"
        if wish.most is not None and best.score.drop > wish.most:

            def confirm(model: onnx.ModelProto) -> Score:
                return _score(wish, model, Path(folder) / "mixed.onnx", made.judge)

            whole = best.model
            best = keep_within(whole, best.weights, made.judge, wish.most, confirm, made.side, show, made.progress)
            if best.kept:
                taken, half = in_half(best, whole, wish.most, confirm)
                best, fallback = taken, "float" if taken is best else "fp16"
        numerics.attach(best.model)
        wish.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(wish.out) as temporary:
            onnx.save(best.model, temporary)
        fp32 = _fp32(wish, made, best.score.engine)
        made.progress.clear()
    trained = None if made.qdr is None else made.qdr.score
    kept = wish.most is None or best.score.drop <= wish.most
    known, count = made.judge.against_targets(), len(mixed.layers(made.ptq.model))
    return Outcome(wish.out, fp32, made.ptq.score, trained, best.score, best.kept, kept, half, fallback, known, count)


def _is_onnx(wish: Wish) -> bool:
    return not wish.factory and wish.model.suffix != SUFFIX


def _check_out(wish: Wish) -> None:
    if wish.out.suffix != ".onnx":
        raise QdrError(f"--out {wish.out}: what is written is an ONNX file, name it so")
    if wish.out.exists() and wish.model.exists() and wish.out.samefile(wish.model):
        raise QdrError(f"--out {wish.out} is the model itself: name another file")
    if wish.out.exists() and not wish.force:
        raise QdrError(f"{wish.out} is there: name another file, or add --force to replace it")
    if not wish.model.is_file():
        raise QdrError(f"{wish.model} does not exist: check the name")
    if wish.factory and wish.model.suffix in (SUFFIX, ".onnx"):
        raise QdrError(f"{wish.model} holds its network: leave --factory out")
    if wish.factory == "" and wish.model.suffix not in (SUFFIX, ".onnx"):
        raise QdrError(f"{wish.model} is a checkpoint: say with --factory file.py:callable what makes its network")


@dataclass(frozen=True)
class _Made:
    judge: Judge
    side: int
    fp32: Path
    ptq: Mixed
    qdr: Mixed | None
    progress: Progress


def _from_torch(wish: Wish, folder: Path, say: Say, show: Show) -> _Made:
    if wish.factory:
        model = network.load(wish.model, wish.factory)
        program = Program(model, network.channels(model), None, BATCH)
    else:
        program = read_program(wish.model)
        model = program.model
    frames = read_frames(wish.images, wish.targets, program.channels, program.side)
    progress = _progress(wish, model.state_dict())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    example, teacher = frames.calibration()[0], frozen_copy(model)
    fp32 = export_onnx(teacher, folder / "fp32.onnx", example)
    judge = _judge(wish, frames, fp32.path, say)
    place = wish.bottleneck or bottleneck(model, example)
    say(str(quantize(model.to(device), frames.calibration(), wish.scheme, wish.strict)))
    if fp32.multiple is None:
        say(f"the graph depends on the size of the image: the file takes {frames.side}x{frames.side} only")
    ptq = _exported(wish, model, folder / "ptq.onnx", example, judge)
    say(f"calibrated: {_told(ptq.score)}")
    if wish.steps == 0:
        return _Made(judge, frames.side, fp32.path, ptq, None, progress)
    say(f"distilled at {place!r} and the output, {wish.steps} steps, no labels")
    trained = copy.deepcopy(model)
    try:
        distil(trained, teacher.to(device), frames, wish.steps, place, show, progress, min(BATCH, program.batch))
    except QdrError as error:
        say(f"training is left out: {error}")
        return _Made(judge, frames.side, fp32.path, ptq, None, progress)
    qdr = _exported(wish, trained, folder / "qdr.onnx", example, judge)
    say(f"distilled: {_told(qdr.score)}")
    return _Made(judge, frames.side, fp32.path, ptq, qdr, progress)


def _progress(wish: Wish, tensors: dict[str, torch.Tensor]) -> Progress:
    """The states of this run, known by all that decides its bits."""
    factory, _, _ = wish.factory.rpartition(":")
    files = [wish.model, *([Path(factory)] if factory.endswith(".py") else [])]
    folders = [wish.images, *([wish.targets] if wish.targets else [])]
    about = (wish.factory, wish.scheme, wish.steps, wish.bottleneck, wish.psnr, torch.cuda.is_available())
    return Progress(wish.out, fingerprint((*about, torch.get_num_threads()), files, folders, tensors))


def _from_onnx(wish: Wish, folder: Path, say: Say) -> _Made:
    source = read_onnx(wish.model)
    channels, height, width = image_shape(source)
    if height != width:
        raise QdrError(f"{wish.model} takes images of {height}x{width}: export it for a square, or with free sides")
    frames = read_frames(wish.images, wish.targets, channels, height)
    judge = _judge(wish, frames, wish.model, say)
    model, real, floats = quantize_onnx(source, [image.numpy() for image in frames.calibration()], wish.scheme)
    if floats and wish.strict:
        raise QdrError(f"strict: {len(floats)} operations would multiply in floating point: {'; '.join(floats)}")
    say(f"{wish.scheme}: {len(real)} weights in integers" + "".join(f"\n  in float: {line}" for line in floats))
    say("an ONNX file is calibrated and not trained: for label-free QDR give the torch checkpoint and --factory")
    ptq = Mixed(model, [], _score(wish, model, folder / "ptq.onnx", judge), real)
    say(f"calibrated: {_told(ptq.score)}")
    return _Made(judge, frames.side, wish.model, ptq, None, _progress(wish, {}))


def _judge(wish: Wish, frames: Frames, fp32: Path, say: Say) -> Judge:
    """The judge, whose reference is the FP32 file in ONNX Runtime."""
    session = open_session("onnxruntime", fp32, "fp32", wish.threads)
    judge = Judge(frames.held, frames.targets, session.run, wish.psnr)
    count = "the only image serves for both" if frames.alone else f"{len(frames.held)} images held back"
    known = judge.against_targets()
    how = f"FP32 has {known:.2f} dB" if known is not None else f"drop as for an FP32 network of {wish.psnr:g} dB"
    say(f"{len(frames.training)} images to calibrate on, {count}, crops of {frames.side}x{frames.side}; {how}")
    return judge


def _fp32(wish: Wish, made: _Made, engine: str) -> Score:
    """FP32 in the engine that INT8 was judged in; the exact arithmetic is ONNX Runtime's."""
    session = open_session("onnxruntime" if engine == "exact" else engine, made.fp32, "fp32", wish.threads)
    try:
        return made.judge.of(session)
    finally:
        session.close()


def _exported(wish: Wish, model: nn.Module, path: Path, example: torch.Tensor, judge: Judge) -> Mixed:
    export_onnx(model, path, example)
    file = read_onnx(path)
    real = {
        f"{name}.integers": layer._stored(layer.weight).detach().cpu().numpy()
        for name, layer in model.named_modules()
        if isinstance(layer, QuantConv2d)
    }
    return Mixed(file, [], _score(wish, file, path, judge), real)


def _score(wish: Wish, model: onnx.ModelProto, path: Path, judge: Judge) -> Score:
    """A file judged in a right engine."""
    onnx.save(model, path)
    session = open_right(path, "int8", wish.threads, wish.engine)
    try:
        return judge.of(session)
    finally:
        session.close()


def _told(score: Score) -> str:
    return f"{score.drop:.3f} dB lost, {score.agreement:.2f} dB agreement, {score.milliseconds:.1f} ms in {score.engine}"

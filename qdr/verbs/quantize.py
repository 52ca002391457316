"""The verb that quantizes what somebody holds: a checkpoint, an ONNX file, or a task's FP32 model of the pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.verbs.parser import Front, print_json

OWN = ("factory", "steps", "bottleneck", "max_drop", "strict")  # options of a model of one's own


def declare(front: Front) -> None:
    """Add the verb."""
    quantize = front.group("use")(
        "quantize",
        _quantize,
        "your own network in INT8, with a folder of images; no targets needed",
        examples="qdr quantize net.pth --factory net.py:build --images frames --out net-int8.onnx\n"
        "qdr quantize net.pth --factory basicsr.archs.nafnet_arch:NAFNet --images frames --out a.onnx --max-drop 0.05\n"
        "qdr quantize net.pt2 --images frames --out net-int8.onnx     # a program of torch.export\n"
        "qdr quantize net.onnx --images frames --out net-int8.onnx    # calibration alone\n"
        "qdr quantize --task derain --images frames --out student.onnx    # the FP32 model of the active profile",
    )
    quantize.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL", help="a checkpoint, a torch.export program or an FP32 ONNX file"
    )
    quantize.add_argument("--images", type=Path, required=True, help="folder of degraded images")
    quantize.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="the ONNX file to write")
    quantize.add_argument("--factory", default="", help="package.module:callable or file.py:callable that makes the network")
    quantize.add_argument("--targets", type=Path, help="folder of clean images of the same names: dB are then true ones")
    quantize.add_argument("--bits", default="W8A8", help="W8A8, W7A8 (overflows on no processor) or W4A8")
    quantize.add_argument("--steps", type=int, default=100, help="of label-free training after calibration (100; 0: none)")
    quantize.add_argument("--bottleneck", default="", metavar="NAME", help="module to distil at (default: the deepest)")
    quantize.add_argument("--max-drop", type=float, metavar="DB", help="keep layers in float until INT8 loses no more dB")
    quantize.add_argument("--fp32-psnr", type=float, default=30.0, metavar="DB", help="FP32's, without --targets (30)")
    quantize.add_argument("--strict", action="store_true", help="refuse a network with multiplications left in float")
    quantize.add_argument("--engine", help="openvino, onnxruntime or exact to judge with (default: the first right one)")
    quantize.add_argument("--threads", type=int, default=2, help="of the engine (2)")
    quantize.add_argument("--force", action="store_true", help="replace FILE.onnx (never MODEL)")
    quantize.add_argument("--json", action="store_true", help="print the outcome as JSON")
    quantize.add_argument("--task", help="instead of MODEL: a task of the active profile, whose FP32 model is trained")
    quantize.add_argument("--method", default="qdr-free", help="with --task: a method of methods.yaml (qdr-free)")


def _quantize(options: argparse.Namespace) -> int:
    if (options.model is None) == (options.task is None):
        raise QdrError("say what to quantize: MODEL with --factory, an ONNX file, or --task (one of them)")
    if options.task is not None:
        return _of_task(options)
    from qdr.convert.job import Wish, convert
    from qdr.suite.train.display import Display

    if options.steps < 0 or (options.max_drop is not None and options.max_drop < 0):
        raise QdrError("--steps and --max-drop must not be negative")
    wish = Wish(
        options.model,
        options.factory,
        options.images,
        options.targets,
        options.out,
        options.bits,
        options.steps,
        options.bottleneck,
        options.max_drop,
        options.fp32_psnr,
        options.strict,
        options.force,
        options.engine,
        options.threads,
    )
    with Display() as display:
        outcome = convert(wish, (lambda _: None) if options.json else print, display.show)
    if options.json:
        print_json(_plain(outcome))
    else:
        _show(outcome, options.max_drop)
    return int(not outcome.promised)


def _of_task(options: argparse.Namespace) -> int:
    from qdr.suite import config
    from qdr.suite.evaluate.folder import quantize
    from qdr.suite.train.plan import Run
    from qdr.verbs.data import task

    given = [f"--{name.replace('_', '-')}" for name in OWN if getattr(options, name) != options.parser.get_default(name)]
    if given:
        raise QdrError(f"{', '.join(given)} are for a model of your own: with --task the method decides")
    if options.out.exists() and not options.force:
        raise QdrError(f"{options.out} is there: name another file, or add --force to replace it")
    run = Run(task(options), options.method, options.bits, "all", 0)
    agreement = quantize(config.load(), run, options.images, options.targets, options.out)
    print(f"{options.out}: {run.method} {run.bits}; its INT8 engine agrees with the FP32 model to {agreement:.2f} dB")
    return 0


def _plain(outcome: Any) -> dict[str, Any]:
    def score(value: Any) -> Any:
        return None if value is None else dict(vars(value))

    scores = {name: score(getattr(outcome, name)) for name in ("fp32", "ptq", "qdr", "final", "half")}
    kept = [dict(vars(layer)) for layer in outcome.kept]
    return {
        "out": outcome.out,
        "kept_promise": outcome.promised,
        "float_layers": kept,
        "fallback": outcome.fallback,
    } | scores


def _show(outcome: Any, most: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    if outcome.kept:
        table = Table(title="Kept in floating point")
        for column in ("Layer", "dB gained by it alone", "% of multiply-accumulates"):
            table.add_column(column, overflow="fold")
        for layer in outcome.kept:
            table.add_row(
                layer.name.removesuffix(".integers").removesuffix(".layer"), f"{layer.gain:.4f}", f"{100 * layer.share:.1f}"
            )
        Console().print(table)
        cost = outcome.final.milliseconds - outcome.ptq.milliseconds
        print(f"together they cost {cost:.1f} ms an image against all layers in INT8")
        if outcome.half is not None:
            taken = "taken" if outcome.fallback == "fp16" else "not taken: no gain within the budget"
            print(f"in FP16: {outcome.half.milliseconds:.1f} ms, {outcome.half.drop:.3f} dB lost ({taken})")
    final, speed = outcome.final, outcome.fp32.milliseconds / outcome.final.milliseconds
    print(f"{outcome.out}: {final.drop:.3f} dB lost against FP32, {final.agreement:.2f} dB agreement; {final.engine}")
    print(f"{final.milliseconds:.1f} ms an image, FP32 {outcome.fp32.milliseconds:.1f} ms ({speed:.2f} times as fast)")
    if not outcome.promised:
        print(f"--max-drop {most:g} cannot be kept with half of the multiplications in integers: this file is the nearest")

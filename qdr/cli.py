"""The `qdr` command: the verbs, nothing else.

Each verb imports what it needs when it runs, so that `qdr --help` answers at once. Exit codes: 0 done, 2 a mistake in
the input or the environment (one line on stderr; QDR_TRACEBACK=1 shows the traceback), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qdr.errors import QdrError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code."""
    options = parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], None] = options.verb
    try:
        verb(options)
    except QdrError as error:
        if os.environ.get("QDR_TRACEBACK"):
            raise
        print(f"qdr: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if os.environ.get("QDR_TRACEBACK") or error.errno is None:
            raise
        print(f"qdr: error: {error.filename or 'file system'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("qdr: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line, in the order of the pipeline."""
    about = "Quantization-aware Distilled Restoration: benchmark suite and reference implementation."
    top = argparse.ArgumentParser(prog="qdr", description=about)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, function: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(verb=function)
        return added

    profile = verb("profile", _profile, "show the active profile, or make another one active (checked first)")
    profile.add_argument("name", nargs="?", help="embedded, public or paper")
    fetch = verb("fetch", _fetch, "fetch one source of images and check it")
    fetch.add_argument("source")
    fetch.add_argument("--accept", action="store_true", help="accept the source's licence (or QDR_ACCEPT=non-commercial)")
    _add_data_verbs(verbs.add_parser("data", help="the sources of images: status, add, leaks"))
    verb("scenes", _scenes, "render the procedural clean scenes")
    verb("prepare", _prepare, "make the image pairs of a task").add_argument("task")
    verb("teach", _teach, "train the FP32 teachers of a task").add_argument("task")
    train = verb("train", _train, "train, fine-tune or quantize the other models of a task, or one of them")
    train.add_argument("task")
    train.add_argument("method", nargs="?", help="a method of methods.yaml (default: the whole plan)")
    train.add_argument("--bits", default="FP32", help="FP32, W8A8, W6A6, W4A8 or W4A4")
    train.add_argument("--images", default="all", help="all, or how many training images to use")
    train.add_argument("--seed", type=int, default=0)
    verb("search", _search, "train the profile's trials and record their PSNR on validation images")
    quantize = verb("quantize", _quantize, "quantize a task's FP32 model with the images of a folder; no targets needed")
    quantize.add_argument("task")
    quantize.add_argument("output", type=Path, help="the ONNX file to write")
    quantize.add_argument("--images", type=Path, required=True, help="folder of degraded images")
    quantize.add_argument("--targets", type=Path, help="folder of clean images of the same names")
    quantize.add_argument("--method", default="qdr-free", help="a method of methods.yaml")
    quantize.add_argument("--bits", default="W8A8", help="W8A8 or W4A8")
    verb("export", _export, "write the ONNX files of all tasks")
    verb("evaluate", _evaluate, "measure the quality of every model of a task, from its engine").add_argument("task")
    verb("sensitivity", _sensitivity, "quantize one layer at a time and measure what is lost").add_argument("task")
    verb("parity", _parity, "compare engines with fake quantization").add_argument("task")
    verb("detector", _detector, "train the small detector that the profile's detection uses")
    verb("detect", _detect, "measure what degradation and restoration do to a detector")
    verb("bench", _bench, "measure latency, each engine in processes of its own")
    verb("jetson", _jetson, "build and time TensorRT engines, or record why not")
    verb("collect", _collect, "gather the rows of all tasks in results/")
    report = verb("report", _report, "draw tables and figures from results/, or check that they are what results/ gives")
    report.add_argument("what", choices=["tables", "figures", "speed", "verify"])
    report.add_argument("--profile", help="default: the active one; for verify: every one that has results")
    restore = verb("restore", _restore, "restore one image with an exported model")
    restore.add_argument("model", type=Path, help="an ONNX file of `qdr export`")
    restore.add_argument("image", type=Path)
    restore.add_argument("output", type=Path)
    restore.add_argument("--engine", default="openvino", help="openvino, onnxruntime or tensorrt")
    return top


def _add_data_verbs(data: argparse.ArgumentParser) -> None:
    verbs = data.add_subparsers(required=True, metavar="VERB")
    status = verbs.add_parser("status", help="every source: is it here, under which licence, what to do")
    status.add_argument("--verify", action="store_true", help="recompute checksums (reads every image)")
    status.set_defaults(verb=_data_status)
    add = verbs.add_parser("add", help="take a local copy of a source, check it and place it in data/raw")
    add.add_argument("source")
    add.add_argument("folder", type=Path, help="holds input/ and target/, or the images, or the unpacked archive")
    add.set_defaults(verb=_data_add)
    leaks = verbs.add_parser("leaks", help="check that no test image is in a training set, whatever its name and size")
    leaks.set_defaults(verb=_data_leaks)


def _profile(options: argparse.Namespace) -> None:
    from qdr import config, paths

    if options.name is not None:
        source = config.profile_path(options.name)
        config.load(source)
        with paths.replacing(paths.project_root() / "params.yaml") as temporary:
            temporary.write_bytes(source.read_bytes())
    active = config.load()
    print(f"{active.profile}: {', '.join(active.tasks)}; blocks {', '.join(active.blocks)}; start with `dvc repro`")


def _task(options: argparse.Namespace) -> str:
    from qdr import config
    from qdr.errors import check_choice

    return check_choice("task", options.task, config.load().tasks)


def _fetch(options: argparse.Namespace) -> None:
    from qdr.data.fetch import fetch

    fetch(options.source, options.accept)


def _data_status(options: argparse.Namespace) -> None:
    from qdr.data.shelf import print_states, states

    print_states(states(options.verify))


def _data_add(options: argparse.Namespace) -> None:
    from qdr.data.shelf import add

    print(f"{options.source}: placed in {add(options.source, options.folder)}")


def _data_leaks(_: argparse.Namespace) -> None:
    from qdr.data.leaks import check_leaks
    from qdr.data.shelf import on_shelf

    train, test = on_shelf("train"), on_shelf("test")
    check_leaks(train, test)
    print(f"no test image of {', '.join(test) or 'any source'} is in {', '.join(train) or 'a training source'}")


def _scenes(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.data.scenes import make_scenes

    make_scenes(config.load())


def _prepare(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.data.prepare import prepare

    prepare(config.load(), _task(options))


def _teach(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.train.run import make_teachers

    make_teachers(config.load(), _task(options))


def _train(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.errors import check_choice
    from qdr.train.plan import Run
    from qdr.train.run import make, make_runs

    if options.method is None:
        return make_runs(config.load(), _task(options))
    check_choice("bits", options.bits, config.BITS)
    if options.images != "all" and not (options.images.isdigit() and int(options.images) > 0):
        raise QdrError(f"--images must be 'all' or a positive number, got {options.images!r}")
    make(config.load(), Run(_task(options), options.method, options.bits, options.images, options.seed))


def _search(options: argparse.Namespace) -> None:
    from qdr import config, paths
    from qdr.rows import write_rows
    from qdr.train.run import search

    active = config.load()
    rows = [row for task in active.tasks for row in search(active, task)]
    write_rows(paths.results(active.profile) / "search.csv", rows)


def _quantize(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.evaluate.folder import quantize
    from qdr.train.plan import Run

    run = Run(_task(options), options.method, options.bits, "all", 0)
    agreement = quantize(config.load(), run, options.images, options.targets, options.output)
    print(f"{options.output}: {run.method} {run.bits}; its INT8 engine agrees with the FP32 model to {agreement:.2f} dB")


def _export(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.export.models import export_all

    export_all(config.load())


def _evaluate(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.evaluate.features import features
    from qdr.evaluate.restore import evaluate
    from qdr.evaluate.samples import write_samples

    evaluate(config.load(), _task(options))
    features(config.load(), options.task)
    write_samples(config.load(), options.task)


def _sensitivity(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.evaluate.sensitivity import sensitivity

    sensitivity(config.load(), _task(options))


def _parity(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.evaluate.parity import parity

    parity(config.load(), _task(options))


def _detector(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.detection.train import make_detector

    make_detector(config.load())


def _detect(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.evaluate.detect import detect

    detect(config.load())


def _bench(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.bench.latency import bench

    bench(config.load())


def _jetson(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.bench.jetson import jetson

    jetson(config.load())


def _collect(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.report.collect import collect

    collect(config.load())


def _report(options: argparse.Namespace) -> None:
    from qdr import config, paths
    from qdr.report import figures, tables

    if options.what == "verify":
        from qdr.report.verify import verify

        return verify(options.profile)
    active = config.load(config.profile_path(options.profile) if options.profile else None)
    results = paths.results(active.profile)
    if options.what == "tables":
        tables.write_quality(active, results, paths.tables(active.profile))
    elif options.what == "figures":
        figures.write_quality(active, results, paths.figures(active.profile))
    else:
        tables.write_speed(active, results, paths.tables(active.profile))
        figures.write_speed(active, results, paths.figures(active.profile))


def _restore(options: argparse.Namespace) -> None:
    from qdr.runtimes.restore_file import restore_file

    restore_file(options.model, options.image, options.output, options.engine)


if __name__ == "__main__":
    sys.exit(main())

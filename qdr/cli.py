"""The `qdr` command: the verbs, nothing else.

Each verb imports what it needs when it runs, so that `qdr --help` answers at once. Exit codes: 0 done; 1 some files of a
folder could not be restored (they are named at the end), or `qdr compare --fail-on` found what it was to fail on; 2 a
mistake in the input or the environment (one line on stderr; QDR_TRACEBACK=1 shows the traceback); 130 interrupted.
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
    verb: Callable[[argparse.Namespace], int | None] = options.verb
    try:
        return verb(options) or 0
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


def parser() -> argparse.ArgumentParser:
    """The command line, in the order of the pipeline."""
    about = "Quantization-aware Distilled Restoration: benchmark suite and reference implementation."
    top = argparse.ArgumentParser(prog="qdr", description=about)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, function: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
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
    export = verb("export", _export, "write the ONNX files of all tasks, or check those that are there")
    export.add_argument("--check", action="store_true", help="TensorRT's rules, and TensorRT-RTX where it is installed")
    verb("evaluate", _evaluate, "measure the quality of every model of a task, from its engine").add_argument("task")
    verb("sensitivity", _sensitivity, "quantize one layer at a time and measure what is lost").add_argument("task")
    verb("parity", _parity, "compare engines with fake quantization").add_argument("task")
    verb("detector", _detector, "train the small detector that the profile's detection uses")
    verb("detect", _detect, "measure what degradation and restoration do to a detector")
    verb("bench", _bench, "measure latency, each engine in processes of its own")
    verb("kernels", _kernels, "list what an INT8 engine has to do, kernel by kernel")
    verb("graph", _graph, "list the quantized tensors of the INT8 model: bits, scales, shapes")
    jetson = verb("jetson", _jetson, "build and time TensorRT engines here, or record why not; or bundle them for a Jetson")
    _add_jetson_verbs(jetson)
    _add_results_verbs(verbs.add_parser("results", help="results made elsewhere: import"))
    verb("collect", _collect, "gather the rows of all tasks in results/")
    report = verb(
        "report", _report, "draw tables and figures from results/, write its numbers into pages, or check them all"
    )
    report.add_argument("what", choices=["tables", "figures", "speed", "site", "texts", "verify"])
    report.add_argument("--profile", help="default: the active one; for texts and verify: all")
    _add_compare(verb("compare", _compare, "what changed between two sets of results: quality, parity, training, speed"))
    release = verb("release", _release, "pack the trained models of the active profile as the weights that come with qdr")
    release.add_argument("--into", type=Path, help="folder to write (default: qdr/weights of this installation)")
    restore = verb("restore", _restore, "restore a picture, a folder of pictures or a video")
    restore.add_argument("source", type=Path, metavar="IN")
    restore.add_argument("target", type=Path, metavar="OUT", help="of the same kind; the suffix chooses the format")
    restore.add_argument("--task", help="use the packaged weights of lowlight, dehaze, derain or denoise")
    restore.add_argument("--model", type=Path, help="use this ONNX file of `qdr export` or `qdr quantize` instead")
    restore.add_argument("--engine", default="openvino", help="openvino, onnxruntime or tensorrt")
    restore.add_argument("--precision", help="int8, fp32 or bf16 (default: int8 for a Q/DQ file, fp32 for others)")
    restore.add_argument("--tile", default="auto", help="auto, none, or a side in pixels: bounds memory")
    restore.add_argument("--force", action="store_true", help="replace what OUT already holds (never IN)")
    return top


def _add_compare(compare: argparse.ArgumentParser) -> None:
    side = "a results folder, a git revision of this repository, or worktree"
    compare.add_argument("a", metavar="A", help=f"the reference: {side}")
    compare.add_argument(
        "b", metavar="B", nargs="?", default="worktree", help="what is judged, likewise (default: worktree)"
    )
    compare.add_argument("--profile", help="this one only (default: all that both have)")
    compare.add_argument("--json", action="store_true", help="print JSON instead of tables")
    compare.add_argument(
        "--markdown", metavar="FILE", help="write a summary for a pull request; - prints it instead of tables"
    )
    compare.add_argument("--html", metavar="FILE", type=Path, help="write a page with every changed row")
    compare.add_argument("--fail-on", choices=["quality", "speed", "any"], help="exit code 1 where B is worse than A")
    compare.add_argument("--drop", type=float, default=0.05, metavar="DB", help="significant loss of PSNR to bear (0.05)")
    compare.add_argument("--slowdown", type=float, default=1.1, metavar="X", help="ratio of latencies to bear (1.1)")


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


def _add_jetson_verbs(jetson: argparse.ArgumentParser) -> None:
    bundle = jetson.add_subparsers(metavar="VERB").add_parser("bundle", help="write an archive that measures on a Jetson")
    bundle.add_argument("output", type=Path, help="the .tar.gz to write")
    bundle.add_argument("--profile", help="default: the active one")
    bundle.set_defaults(verb=_jetson_bundle)


def _add_results_verbs(results: argparse.ArgumentParser) -> None:
    take = results.add_subparsers(required=True, metavar="VERB").add_parser(
        "import", help="check what a Jetson measured and add it to the speed tables"
    )
    take.add_argument("file", type=Path, help="result.json of measure.py")
    take.add_argument("--bundle", type=Path, help="the archive that was measured, where the engines are no longer the same")
    take.add_argument("--profile", help="default: the active one")
    take.set_defaults(verb=_results_import)


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

    if options.check:
        from qdr.export.conformance import check_engines

        return check_engines(config.load())
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


def _kernels(_: argparse.Namespace) -> None:
    from qdr import config
    from qdr.bench.kernels import write_kernels

    write_kernels(config.load())


def _graph(_: argparse.Namespace) -> None:
    from qdr import config
    from qdr.report.graph import write_graph

    write_graph(config.load())


def _jetson_bundle(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.jetson.bundle import write_bundle

    active = config.load(config.profile_path(options.profile) if options.profile else None)
    count = write_bundle(active, options.output)
    print(f"{options.output}: {count} cases of {active.profile}; unpack it on the Jetson and read its README.md")


def _results_import(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.jetson.results import import_result

    active = config.load(config.profile_path(options.profile) if options.profile else None)
    rows = import_result(active, options.file, options.bundle)
    print(f"results/{active.profile}/jetson.json: {len(rows)} rows of {options.file}; `make report` puts them in the tables")


def _jetson(_: argparse.Namespace) -> None:
    from qdr import config
    from qdr.jetson.stage import jetson

    jetson(config.load())


def _collect(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.report.collect import collect

    collect(config.load())


def _report(options: argparse.Namespace) -> None:
    from qdr import config, paths
    from qdr.report import figures, metrics, tables

    if options.what == "verify":
        from qdr.report.verify import verify

        return verify(options.profile)
    if options.what == "texts":
        return _texts(options.profile)
    active = config.load(config.profile_path(options.profile) if options.profile else None)
    results = paths.results(active.profile)
    if options.what == "tables":
        tables.write_quality(active, results, paths.tables(active.profile))
        metrics.write_quality(results, results)
    elif options.what == "site":
        from qdr.report.site import write_site

        write_site(active, results, paths.site(active.profile))
        print(f"open {paths.site(active.profile) / 'index.html'}")
    elif options.what == "figures":
        figures.write_quality(active, results, paths.figures(active.profile))
    else:
        tables.write_speed(active, results, paths.tables(active.profile))
        metrics.write_speed(results, results)
        figures.write_speed(active, results, paths.figures(active.profile))


def _texts(profile: str | None) -> None:
    from qdr.report.texts import rewrite

    done, left = rewrite(profile)
    for line in [*(f"mended: {line}" for line in done), *left]:
        print(line)
    if left:
        raise QdrError(f"{len(left)} place{'s' if len(left) > 1 else ''} to mend by hand: page or docs/claims.yaml")
    print(f"{len(done)} place{'' if len(done) == 1 else 's'} mended; pages say what results/ gives")


def _compare(options: argparse.Namespace) -> int:
    from rich.console import Console

    from qdr.paths import replacing
    from qdr.report.compare import compare, gate, show

    found = compare(options.a, options.b, options.profile)
    if options.json:
        print(show.as_json(found), end="")
    elif options.markdown == "-":
        print(show.markdown(found), end="")
    else:
        show.terminal(found, Console(highlight=False))
    if options.markdown not in (None, "-"):
        with replacing(Path(options.markdown)) as temporary:
            temporary.write_text(show.markdown(found), encoding="utf-8")
    if options.html:
        with replacing(options.html) as temporary:
            temporary.write_text(show.page(found), encoding="utf-8")
    failed = gate.failures(found, options.fail_on, options.drop, options.slowdown) if options.fail_on else []
    for line in failed:
        print(f"qdr compare: {line}", file=sys.stderr)
    return 1 if failed else 0


def _release(options: argparse.Namespace) -> None:
    from qdr import config
    from qdr.restore import pretrained
    from qdr.restore.release import release

    for path in release(config.load(), options.into or pretrained.FOLDER):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB, its card beside it")


def _restore(options: argparse.Namespace) -> int:
    from qdr.restore.jobs import restore
    from qdr.restore.restorer import Restorer

    def open_model() -> Restorer:
        return Restorer(options.task, options.model, options.engine, options.precision, options.tile)

    outcome = restore(options.source, options.target, open_model, options.force)
    skipped = f", {outcome.skipped} already there (--force restores them again)" if outcome.skipped else ""
    print(f"{options.target}: {outcome.restored} restored{skipped}")
    if not outcome.exact:
        print(
            "qdr: note: this model sees the whole image, so tiles change its result (--tile none)",
            file=sys.stderr,
        )
    for _, reason in outcome.failed:
        print(f"qdr: failed: {reason}", file=sys.stderr)
    if outcome.failed:
        print(f"qdr: {len(outcome.failed)} of {options.source} failed; the rest is done", file=sys.stderr)
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())

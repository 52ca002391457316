"""The verbs that export models and measure them: quality, parity, detection, speed, a Jetson."""

from __future__ import annotations

import argparse
from pathlib import Path

from qdr.verbs.data import tasks
from qdr.verbs.parser import Front, Function, declare as declare_verb, print_json


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("export and measure")
    export = verb(
        "export",
        _export,
        "write the ONNX files of all tasks, or check those that are there",
        examples="qdr export\nqdr export --check\nqdr export --check --json",
    )
    export.add_argument("--check", action="store_true", help="TensorRT's rules, and TensorRT-RTX where it is installed")
    export.add_argument("--json", action="store_true", help="with --check: print JSON instead of a table")
    measured = verb(
        "evaluate",
        _evaluate,
        "measure every model of all tasks or of one: quality and parity of its engine, its layers; and the packaged weights",
        examples="qdr evaluate\nqdr evaluate derain    # the models of one task alone",
    )
    measured.add_argument("task", nargs="?", help="a task of the active profile (default: all)")
    of_all: list[tuple[str, Function, str]] = [
        ("detect", _detect, "measure what degradation and restoration do to a detector"),
        ("bench", _bench, "measure latency, each engine in processes of its own"),
        ("kernels", _kernels, "list what an INT8 engine has to do, kernel by kernel, and what networks cost"),
        ("graph", _graph, "list the quantized tensors of the INT8 model: bits, scales, shapes"),
    ]
    for name, function, text in of_all:
        verb(name, function, text, examples=f"qdr {name}")
    jetson = verb(
        "jetson",
        _jetson,
        "build and time TensorRT engines here, or record why not; or bundle them for a Jetson",
        examples="qdr jetson\nqdr jetson bundle kit.tar.gz",
    )
    bundle = declare_verb(
        jetson.add_subparsers(metavar="VERB"),
        "bundle",
        _bundle,
        "write an archive that measures on a Jetson",
        examples="qdr jetson bundle kit.tar.gz\nqdr jetson bundle kit.tar.gz --profile public",
    )
    bundle.add_argument("output", type=Path, help="the .tar.gz to write")
    bundle.add_argument("--profile", help="default: the active one")


def _export(options: argparse.Namespace) -> None:
    from qdr.errors import QdrError
    from qdr.suite import config

    if options.json and not options.check:
        raise QdrError("--json is of --check: `qdr export --check --json`")
    if not options.check:
        from qdr.suite.export.models import export_all

        return export_all(config.load())
    from qdr.export.conformance import print_verdicts, refuse
    from qdr.suite.export.models import examine_all

    verdicts = examine_all(config.load())
    if options.json:
        print_json([verdict.as_dict() for verdict in verdicts])
    else:
        print_verdicts(verdicts)
    refuse(verdicts)


def _evaluate(options: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.evaluate.tasks import evaluate_tasks

    evaluate_tasks(config.load(), tasks(options), others=options.task is None)


def _detect(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.evaluate.detect import detect

    detect(config.load())


def _bench(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.bench.latency import bench

    bench(config.load())


def _kernels(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.bench.costs import write_costs
    from qdr.suite.bench.kernels import write_kernels

    write_kernels(config.load())
    write_costs(config.load())


def _graph(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.export.tensors import write_graph

    write_graph(config.load())


def _jetson(_: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.jetson.stage import jetson

    jetson(config.load())


def _bundle(options: argparse.Namespace) -> None:
    from qdr.suite import config
    from qdr.suite.jetson.bundle import write_bundle

    active = config.load(config.profile_path(options.profile) if options.profile else None)
    count = write_bundle(active, options.output)
    print(f"{options.output}: {count} cases of {active.profile}; unpack it on the Jetson and read its README.md")

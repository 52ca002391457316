"""Which engines compute what a file says on this processor, and how fast: every engine is asked for every file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from qdr import machine
from qdr.doctor.finding import Finding
from qdr.errors import QdrError
from qdr.export import numerics
from qdr.export.file import read_onnx
from qdr.export.foreign import own_form
from qdr.export.graph import is_quantized
from qdr.restore import pretrained
from qdr.runtimes.verify import GATES, ORDER, Verdict, verify

Verdicts = list[tuple[Path, Verdict]]


def examine(files: list[Path], threads: int) -> Verdicts:
    """The verdict of every engine and precision on each file: INT8 for a Q/DQ file, else FP32, and bf16 in OpenVINO.

    Raises:
        QdrError: when a file cannot be opened, or its record is damaged.
    """
    found = []
    for path in files:
        with own_form(path) as form:
            found += [(path, verify(form.path, *case, threads, again=True)) for case in _cases(form.path)]
    return found


def ask(form: Path, threads: int) -> tuple[list[Verdict], list[Finding]]:
    """The verdict of every engine on one file in qdr's own form, and the findings: those that are wrong or fail."""
    verdicts, found = [], []
    for engine, precision in _cases(form):
        try:
            verdicts.append(verify(form, engine, precision, threads, again=True))
        except QdrError as error:
            found.append(Finding("wrong", "engine", str(error)))
    right = [verdict.engine for verdict in verdicts if verdict.right]
    for verdict in verdicts:
        if not verdict.right:
            remedy = f"take {right[0]}" if right else "export the file again"
            text = f"{verdict.engine} computes something else in {verdict.precision} here ({verdict}): {remedy}"
            found.append(Finding("wrong", "engine", text))
    return verdicts, found


def _cases(path: Path) -> list[tuple[str, str]]:
    if is_quantized(read_onnx(path)):
        return [(engine, "int8") for engine in ORDER]
    return [("openvino", "fp32"), ("onnxruntime", "fp32"), *([("openvino", "bf16")] if machine.has_bf16() else [])]


def show(verdicts: Verdicts, threads: int, console: Console | None = None) -> None:
    """Print a line per engine for each file, of packaged weights for each scheme over all tasks (the worst figures)."""
    about = machine.processor()
    flags = ", ".join(about["cpu_flags"]) or "no instruction set that matters for INT8"
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for path, verdict in verdicts:
        groups.setdefault((_kind(path), verdict.engine, verdict.precision), []).append(verdict)
    names = ("Files", "Engine", "Computes", "Right", "Mean", "99.9 %", "ms", "Speed")
    table = Table(*(Column(name, overflow="fold", no_wrap=name != "Files") for name in names))
    slowest = {kind: max(_milliseconds(found) for (k, *_), found in groups.items() if k == kind) for kind, *_ in groups}
    for (kind, engine, precision), found in groups.items():
        right, ms = sum(v.right for v in found), _milliseconds(found)
        levels = f"{max(v.mean_level for v in found):.3f}", f"{max(v.high_level for v in found):.2f}"
        speed = f"{slowest[kind] / ms:.1f}×" if right else "—"
        verdict_text = f"{right} of {len(found)}" if len(found) > 1 else "yes" if right else "NO"
        table.add_row(kind, engine, precision, verdict_text, *levels, f"{ms:.2f}", speed)
    console = console or Console(highlight=False)
    console.print(f"{about['cpu']} ({flags}), {threads} threads")
    console.print(table)
    mean, high = GATES["int8"]
    console.print(
        "Mean, 99.9 %: grey levels off the exact result of each file's probe, of several files the worst. Right: at most "
        f"{mean} on average and {high:.0f} at the 99.9th percentile (int8). ms: 192x192; speed: over the slowest engine."
    )


def _kind(path: Path) -> str:
    header = numerics.metadata(read_onnx(path), pretrained.KEY)
    return json.loads(header)["bits"] if header else path.name


def _milliseconds(verdicts: list[Verdict]) -> float:
    return float(np.median([verdict.milliseconds for verdict in verdicts]))

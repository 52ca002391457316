"""Conformance: what TensorRT itself says to an exported file, through TensorRT-RTX, which builds without a GPU.

TensorRT for RTX shares its parser and its network definition with TensorRT but not its kernels: a file it parses and
builds is legal; that the same file is fast on a Jetson it does not say. It is the optional extra `trt-check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from qdr.errors import QdrError
from qdr.export.check import census
from qdr.export.file import read_onnx
from qdr.export.rules import Breach, breaches

EXTRA = "pip install -c constraints.txt -e '.[trt-check]'"
SIDE = 64


@dataclass(frozen=True)
class Verdict:
    """One file: its convolutions, the rules it breaks, and what TensorRT-RTX says against it (None: not installed).

    `published` is whether a published quantizer made it, which is not held to our rules.
    """

    path: Path
    convolutions: int
    quantized: int
    broken: list[Breach]
    refused: list[str] | None
    published: bool = False

    @property
    def name(self) -> str:
        """Task and file name."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def good(self) -> bool:
        """Whether it keeps every rule that is a must, and is not refused."""
        return not self.refused and not any(breach.rule.kind == "must" for breach in self.broken)

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        broken = [{"rule": breach.rule.name, "kind": breach.rule.kind, "what": str(breach)} for breach in self.broken]
        counts = {"convolutions": self.convolutions, "quantized": self.quantized}
        about = {"file": self.name, "good": self.good, "published": self.published}
        return about | counts | {"broken": broken, "tensorrt_rtx": self.refused}


def has_tensorrt_rtx() -> bool:
    """Whether the extra is installed."""
    try:
        import tensorrt_rtx  # noqa: F401
    except ImportError:
        return False
    return True


def build_with_tensorrt_rtx(path: Path, side: int = SIDE) -> list[str]:
    """What TensorRT-RTX says against a file, parsed and built for one image of `side` x `side`; empty if nothing.

    Raises:
        QdrError: when the extra `trt-check` is not installed.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise QdrError(f"TensorRT-RTX is an extra: {EXTRA}") from error
    logger = _Listener(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(path.read_bytes()):
        return [f"parser: {parser.get_error(i).desc()}" for i in range(parser.num_errors)]
    settings = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    shape = (1, 3, side, side)
    profile.set_shape(network.get_input(0).name, shape, shape, shape)
    settings.add_optimization_profile(profile)
    if builder.build_serialized_network(network, settings) is not None:
        return []
    return [f"builder: {line}" for line in logger.errors] or ["builder: no engine, and no reason given"]


def _Listener(trt: Any) -> Any:
    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

    return Listener()


def examine(path: Path) -> Verdict:
    """Check a file against the rules and, where the extra is installed, with TensorRT-RTX."""
    model = read_onnx(path)
    counts = census(model)
    refused = build_with_tensorrt_rtx(path) if has_tensorrt_rtx() else None
    return Verdict(path, counts.get("Conv", 0), counts["quantized convolutions"], breaches(model), refused)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the verdicts as a table."""
    columns = [Column(name, overflow="fold") for name in ("File", "Convolutions", "Quantized", "Rules", "TensorRT-RTX")]
    table = Table(*columns, title="TensorRT's rules, file by file")
    for verdict in verdicts:
        broken = dict.fromkeys(f"{breach.rule.name} ({breach.rule.kind})" for breach in verdict.broken)
        says = "not installed" if verdict.refused is None else "builds" if not verdict.refused else verdict.refused[0]
        counts = (str(verdict.convolutions), str(verdict.quantized))
        table.add_row(verdict.name, *counts, ", ".join(broken) or "kept", says)
    Console().print(table)
    if not has_tensorrt_rtx():
        print(f"TensorRT-RTX was not asked: {EXTRA}")


def refuse(verdicts: Sequence[Verdict]) -> None:
    """Files of published tools are listed but not held to the rules.

    Raises:
        QdrError: when a file of our own breaks a rule that is a must or is refused.
    """
    bad = [verdict for verdict in verdicts if not verdict.good and not verdict.published]
    if bad:
        why = [*(str(breach) for breach in bad[0].broken), *(bad[0].refused or [])][0]
        raise QdrError(f"{len(bad)} of {len(verdicts)} files break a rule or are refused; the first, {bad[0].path}: {why}")

"""The sections of the page in their order, with the figures and tables that each shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qdr.suite.report import tables
from qdr.suite.report.load import GRAPH, load
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.results import Results
from qdr.suite.report.tables.table import Table


@dataclass(frozen=True)
class Entry:
    """A table of the page: its heading, its key of `TABLES` or what makes it, and the files of results/<profile>/ it needs.

    `first` tables are shown open, the others unfold.
    """

    title: str
    table: str | Callable[[Results], Table]
    files: tuple[str, ...]
    first: bool = False

    def make(self, results: Results) -> Table | None:
        """The table; None where the results have nothing of the kind."""
        if not results.has(*self.files):
            return None
        return tables.make(self.table, results) if isinstance(self.table, str) else self.table(results)


@dataclass(frozen=True)
class Section:
    """A heading, figures by name and tables."""

    name: str
    title: str
    figures: tuple[str, ...] = ()
    tables: tuple[Entry, ...] = field(default_factory=tuple)


def _graph(results: Results) -> Table:
    """A row per quantized tensor of the engine that is timed."""
    frame = load(results.folder / "graph.csv", GRAPH)
    rows = []
    for row in frame.to_dict("records"):
        cells = [str(row[key]) for key in ("tensor", "position", "kind", "operator", "inputs", "width", "scales")]
        rows.append([*cells, *(f"{row[key]:.3g}" for key in ("scale_min", "scale_median", "scale_max")), str(row["shape"])])
    first = frame.iloc[0]
    header = [
        "Tensor",
        "Place",
        "Kind",
        "Operators",
        "Computed from",
        "Bits",
        "Scales",
        "Smallest",
        "Median",
        "Largest",
        "Shape",
    ]
    name = f"{label(str(first['method']))} {first['bits']}, {TASK_LABELS[str(first['task'])]}"
    notes = ["A value is scale x integer, zero point 0; several scales: one per output channel."]
    return Table("graph", f"Quantized tensors of {name}, in the order of the exported Q/DQ file.", header, rows, notes)


QUALITY = ("quality.csv",)
SECTIONS = (
    Section(
        "quality",
        "Quality",
        ("few-images",),
        (
            Entry("Summary", "quality/summary", QUALITY, first=True),
            Entry("Every method at W8A8", "quality/main", QUALITY),
            Entry("The same, held-out scenes", "quality/main-scenes", QUALITY),
            Entry("Few bits, few images", "quality/low-bit", QUALITY),
            Entry("Few bits, held-out scenes", "quality/low-bit-scenes", QUALITY),
            Entry("Ablation", "quality/ablation", QUALITY),
            Entry("Ranking", "quality/ranking", QUALITY),
            Entry("The packaged weights", "quality/packaged", ("packaged.csv",)),
        ),
    ),
    Section(
        "detection",
        "Detection",
        ("detection", "detection-boxes"),
        (Entry("AP50 by task and detector", "quality/detection", ("detection.csv",)),),
    ),
    Section(
        "inside",
        "Inside the network",
        ("gradients", "conflict", "error-growth", "error-growth-absolute", "ldg-gates", "sensitivity"),
        (
            Entry("Sensitive layers", "quality/sensitivity", ("sensitivity.csv",)),
            Entry("Engines against fake quantization", "quality/parity", ("parity.csv",)),
            Entry("Layers by precision", "speed/census", ("census.csv",)),
            Entry("Bits and scales of every tensor", _graph, ("graph.csv",)),
        ),
    ),
    Section(
        "speed",
        "Speed",
        ("peers", "roofline", "jetson-prediction"),
        (
            Entry("Latency", "speed/latency", ("latency.csv", "jetson.json"), first=True),
            Entry("Networks in one budget", "speed/peers", ("quality.csv", "latency.csv", "costs.csv")),
            Entry("Share of the machine's peak", "speed/roofline", ("roofline.csv", "machine.json")),
            Entry("Measured on a Jetson", "speed/jetson", ("jetson.json",)),
            Entry("Predicted: 442 frames per second", "speed/jetson-442", ("kernels.csv",)),
            Entry("Predicted: every Orin", "speed/jetson-prediction", ("kernels.csv",)),
        ),
    ),
    Section(
        "protocols",
        "Protocols",
        (),
        (
            Entry("How images are compared", "quality/protocol", ()),
            Entry("What the choice is worth", "quality/conventions", ()),
        ),
    ),
)

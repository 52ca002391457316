"""The sections of the page in their order, with the figures and tables that each shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qdr.suite.report.load import GRAPH, load
from qdr.suite.report.peers import find_peers
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.results import Results
from qdr.suite.report.tables import jetson, others, quality
from qdr.suite.report.tables.census import census_table
from qdr.suite.report.tables.conventions import conventions_table
from qdr.suite.report.tables.detection import detection_table
from qdr.suite.report.tables.packaged import packaged_table
from qdr.suite.report.tables.peers import peers_table
from qdr.suite.report.tables.roofline import roofline_table
from qdr.suite.report.tables.table import Table


@dataclass(frozen=True)
class Entry:
    """A table of the page: its heading, the files of results/<profile>/ it needs, and the function that makes it.

    `first` tables are shown open, the others unfold.
    """

    title: str
    files: tuple[str, ...]
    make: Callable[[Results], Table | None]
    first: bool = False


@dataclass(frozen=True)
class Section:
    """A heading, figures by name and tables."""

    name: str
    title: str
    figures: tuple[str, ...] = ()
    tables: tuple[Entry, ...] = field(default_factory=tuple)


def _main(results: Results, number: int, table: Callable[..., Table]) -> Table | None:
    """A quality table of the first or the second kind of test sets, where there is that kind."""
    kinds = results.quality.kinds()
    return table(results.quality, kinds[number], results.stats) if number < len(kinds) else None


def _peers(results: Results) -> Table | None:
    found = find_peers(results.config, results.quality, results.folder / "latency.csv")
    return None if found is None else peers_table(found, results.stats)


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


QUALITY, KERNELS = ("quality.csv",), ("kernels.csv",)
SECTIONS = (
    Section(
        "quality",
        "Quality",
        ("few-images",),
        (
            Entry("Summary", QUALITY, lambda r: _main(r, 0, quality.summary_table), first=True),
            Entry("Every method at W8A8", QUALITY, lambda r: _main(r, 0, quality.main_table)),
            Entry("The same, held-out scenes", QUALITY, lambda r: _main(r, 1, quality.main_table)),
            Entry("Few bits, few images", QUALITY, lambda r: _main(r, 0, quality.low_bit_table)),
            Entry("Few bits, held-out scenes", QUALITY, lambda r: _main(r, 1, quality.low_bit_table)),
            Entry("Ablation", QUALITY, lambda r: _main(r, 0, quality.ablation_table)),
            Entry(
                "Ranking",
                QUALITY,
                lambda r: others.ranking_table(r.quality, r.quality.kinds()[0], r.config.stats.confidence),
            ),
            Entry("The packaged weights", ("packaged.csv",), lambda r: packaged_table(r.folder / "packaged.csv", r.stats)),
        ),
    ),
    Section(
        "detection",
        "Detection",
        ("detection", "detection-boxes"),
        (
            Entry(
                "AP50 by task and detector",
                ("detection.csv",),
                lambda r: detection_table(r.detection, r.config),
            ),
        ),
    ),
    Section(
        "inside",
        "Inside the network",
        ("gradients", "error-growth", "ldg-gates", "sensitivity"),
        (
            Entry(
                "Sensitive layers", ("sensitivity.csv",), lambda r: others.sensitivity_table(r.folder / "sensitivity.csv")
            ),
            Entry(
                "Engines against fake quantization", ("parity.csv",), lambda r: others.parity_table(r.folder / "parity.csv")
            ),
            Entry("Layers by precision", ("census.csv",), lambda r: census_table(r.folder / "census.csv")),
            Entry("Bits and scales of every tensor", ("graph.csv",), _graph),
        ),
    ),
    Section(
        "speed",
        "Speed",
        ("peers", "roofline", "jetson-prediction"),
        (
            Entry(
                "Latency",
                ("latency.csv", "jetson.json"),
                lambda r: others.latency_table(r.folder / "latency.csv", r.folder / "jetson.json"),
                first=True,
            ),
            Entry("Networks in one budget", ("quality.csv", "latency.csv"), _peers),
            Entry(
                "Share of the machine's peak",
                ("roofline.csv", "machine.json"),
                lambda r: roofline_table(r.folder / "roofline.csv"),
            ),
            Entry("Measured on a Jetson", ("jetson.json",), lambda r: jetson.jetson_table(r.folder / "jetson.json")),
            Entry(
                "Predicted: 442 frames per second",
                KERNELS,
                lambda r: jetson.target_table(jetson.read_kernels(r.folder / "kernels.csv")),
            ),
            Entry(
                "Predicted: every Orin",
                KERNELS,
                lambda r: jetson.prediction_table(jetson.read_kernels(r.folder / "kernels.csv"), "base"),
            ),
        ),
    ),
    Section(
        "protocols",
        "Protocols",
        (),
        (
            Entry("How images are compared", (), lambda _: others.protocol_table()),
            Entry("What the choice is worth", (), lambda _: conventions_table()),
        ),
    ),
)

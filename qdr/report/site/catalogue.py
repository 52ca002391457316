"""The parts of the page in their order: what each is drawn from, by which function, under which protocol."""

from __future__ import annotations

from dataclasses import dataclass

from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.report.peers import find_peers
from qdr.report.site.charts.front import front
from qdr.report.site.charts.gates import gates
from qdr.report.site.charts.layers import roofline, sensitivity
from qdr.report.site.charts.tensors import graph_chart, graph_table
from qdr.report.site.charts.training import error_growth, tug_of_war
from qdr.report.site.claims import claims
from qdr.report.site.parts import Given, Piece
from qdr.report.site.pictures import gallery
from qdr.report.tables.census import census_table
from qdr.report.tables.conventions import conventions_table
from qdr.report.tables.detection import detection_table
from qdr.report.tables.jetson import jetson_table, prediction_table, read_kernels, target_table
from qdr.report.tables.others import latency_table, parity_table, protocol_table, ranking_table, sensitivity_table
from qdr.report.tables.peers import peers_table
from qdr.report.tables.quality import ablation_table, low_bit_table, main_table, summary_table
from qdr.report.tables.roofline import roofline_table
from qdr.report.tables.table import Table

QUALITY = (
    f"Protocol {PROTOCOL}: {protocol(PROTOCOL).description}; on the 8-bit image that the exported engine puts out; the mean over "
    "images. Intervals: paired bootstrap over images. docs/metrics.md"
)
SPEED = "Each case in processes of its own, warm-up, at least so many calls and seconds; outputs checked. docs/bench.md"
PREDICTED = "A prediction from datasheets and the kernels of the model, not a measurement. qdr/bench/roofline.py, docs/jetson.md"
FEATURES = "Against the FP32 model that a method starts from, under the fake quantization of training, test images."
TRAINING = "Logged by training, first seed, all training images."
VALIDATION = "After calibration alone, on validation scenes; the test images were not used."
DETECTORS = "COCO's AP on the engine's 8-bit output; intervals: paired bootstrap over images. qdr/evaluate/detect.py"
FILE = "Read off the exported ONNX file that is timed."


@dataclass(frozen=True)
class Section:
    """A heading, an introduction and pieces."""

    name: str
    title: str
    lead: str
    pieces: tuple[Piece, ...]


def _scenes(given: Given) -> bool:
    return len(given.quality.kinds()) > 1


def _other(given: Given, low: bool) -> Table | None:
    """The table of held-out scenes, where they are not what the first table shows."""
    table = low_bit_table if low else main_table
    return table(given.quality, given.quality.kinds()[1], given.stats) if _scenes(given) else None


def _peers(given: Given) -> Table | None:
    found = find_peers(given.config, given.quality, given.folder / "latency.csv")
    return None if found is None else peers_table(found, given.stats)


def _sections() -> tuple[Section, ...]:
    rows, speed = ("quality.csv",), ("latency.csv", "latency.json", "jetson.json")
    return (
        Section(
            "claim",
            "The claim, and what was measured",
            "An INT8 network that restores images without losing picture quality. What the paper says, beside what this "
            "repository finds.",
            (Piece("claims", "Claims", rows, "site", claims, QUALITY),),
        ),
        Section(
            "quality",
            "Quality",
            "Every row is measured on the exported engine's 8-bit output. A difference without significance is marked n.s.",
            (
                Piece("summary", "Summary", rows, "tables", lambda g: summary_table(g.quality, g.kind, g.stats), QUALITY),
                Piece("main", "Every method at W8A8", rows, "tables", lambda g: main_table(g.quality, g.kind, g.stats), QUALITY),
                Piece("main-scenes", "The same on held-out scenes", rows, "tables", lambda g: _other(g, False), QUALITY),
                Piece("low-bit", "Few bits", rows, "tables", lambda g: low_bit_table(g.quality, g.kind, g.stats), QUALITY),
                Piece("low-bit-scenes", "Few bits on held-out scenes", rows, "tables", lambda g: _other(g, True), QUALITY),
                Piece("ablation", "Ablation", rows, "tables", lambda g: ablation_table(g.quality, g.kind, g.stats), QUALITY),
                Piece(
                    "ranking",
                    "Ranking",
                    rows,
                    "tables",
                    lambda g: ranking_table(g.quality, g.kind, g.config.stats.confidence),
                    QUALITY,
                ),
                Piece(
                    "detection",
                    "What a detector finds",
                    ("detection.csv",),
                    "tables",
                    lambda g: detection_table(g.detection, g.stats, g.config.detect.resamples),
                    DETECTORS,
                ),
            ),
        ),
        Section(
            "pictures",
            "Before and after",
            "Two versions of a photograph under one divider; below, the same crop of every version.",
            (Piece("samples", "Photographs", ("samples",), "figures", gallery, QUALITY),),
        ),
        Section(
            "training",
            "What training did",
            "Does distillation pull against reconstruction, and where do errors grow?",
            (
                Piece("tug-of-war-w8a8", "Tug-of-war, W8A8", ("training.csv",), "figures", tug_of_war("W8A8"), TRAINING),
                Piece("tug-of-war-w4a4", "Tug-of-war, W4A4", ("training.csv",), "figures", tug_of_war("W4A4"), TRAINING),
                Piece("error-growth-w8a8", "Error growth, W8A8", ("features.csv",), "figures", error_growth("W8A8"), FEATURES),
                Piece("error-growth-w4a4", "Error growth, W4A4", ("features.csv",), "figures", error_growth("W4A4"), FEATURES),
                Piece("gates", "Gates", ("gates",), "figures", gates, "LDG's gates of the FP32 model, one photograph per task."),
                Piece("sensitivity-chart", "Sensitivity", ("sensitivity.csv",), "figures", sensitivity, VALIDATION),
                Piece(
                    "sensitivity",
                    "The most sensitive layers",
                    ("sensitivity.csv",),
                    "tables",
                    lambda g: sensitivity_table(g.folder / "sensitivity.csv"),
                    VALIDATION,
                ),
            ),
        ),
        Section(
            "speed",
            "Speed",
            "Measured on this processor; what is said of a Jetson is a prediction and called so.",
            (
                Piece("front", "Quality against latency", (*rows, "latency.csv"), "speed", front, SPEED),
                Piece(
                    "latency",
                    "Latency",
                    speed,
                    "speed",
                    lambda g: latency_table(g.folder / "latency.csv", g.folder / "jetson.json"),
                    SPEED,
                ),
                Piece("peers", "Networks in one budget", (*rows, "latency.csv"), "speed", _peers, SPEED),
                Piece("roofline-chart", "Roofline", ("roofline.csv", "machine.json"), "speed", roofline, SPEED),
                Piece(
                    "roofline",
                    "Share of the machine's peak",
                    ("roofline.csv", "machine.json"),
                    "speed",
                    lambda g: roofline_table(g.folder / "roofline.csv"),
                    SPEED,
                ),
                Piece("jetson", "On a Jetson", ("jetson.json",), "speed", lambda g: jetson_table(g.folder / "jetson.json"), SPEED),
                Piece(
                    "jetson-442",
                    "Prediction: 442 frames per second",
                    ("kernels.csv",),
                    "speed",
                    lambda g: target_table(read_kernels(g.folder / "kernels.csv")),
                    PREDICTED,
                ),
                Piece(
                    "jetson-prediction",
                    "Prediction: every Orin and power mode",
                    ("kernels.csv",),
                    "speed",
                    lambda g: prediction_table(read_kernels(g.folder / "kernels.csv"), "base"),
                    PREDICTED,
                ),
            ),
        ),
        Section(
            "inside",
            "Inside the INT8 model",
            "Does the engine compute what training simulated, in integers throughout, and with which scales?",
            (
                Piece(
                    "parity", "Parity", ("parity.csv",), "tables", lambda g: parity_table(g.folder / "parity.csv"), "docs/export.md"
                ),
                Piece(
                    "census",
                    "Precision census",
                    ("census.csv",),
                    "speed",
                    lambda g: census_table(g.folder / "census.csv"),
                    "Told by the engine after its own fusion.",
                ),
                Piece("graph-chart", "The model's graph", ("graph.csv",), "site", graph_chart, FILE),
                Piece("graph", "Bits and scales per tensor", ("graph.csv",), "site", graph_table, FILE),
            ),
        ),
        Section(
            "measuring",
            "How images are compared",
            "Published protocols differ; on one pair of images the choice alone is worth decibels.",
            (
                Piece("protocol", "Protocols", (), "tables", lambda g: protocol_table(), "docs/metrics.md"),
                Piece("conventions", "What the convention is worth", (), "tables", lambda g: conventions_table(), "docs/metrics.md"),
            ),
        ),
    )


SECTIONS = _sections()

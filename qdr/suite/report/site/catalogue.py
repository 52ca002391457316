"""The parts of the page in their order: what each is drawn from, by which function, under which protocol."""

from __future__ import annotations

from dataclasses import dataclass

from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.suite.report.site import tables
from qdr.suite.report.site.charts.few import few_images
from qdr.suite.report.site.charts.front import front
from qdr.suite.report.site.charts.gates import gates
from qdr.suite.report.site.charts.layers import roofline, sensitivity
from qdr.suite.report.site.charts.tensors import graph_chart, graph_table
from qdr.suite.report.site.charts.training import error_growth, tug_of_war
from qdr.suite.report.site.claims import claims
from qdr.suite.report.site.parts import Piece
from qdr.suite.report.site.pictures import gallery
from qdr.suite.report.tables.conventions import conventions_table

HOW_QUALITY = (
    f"Protocol {PROTOCOL}: {protocol(PROTOCOL).description}; on the 8-bit image that the exported engine puts out; the mean "
    "over images. Intervals: paired bootstrap over images. docs/metrics.md"
)
HOW_SPEED = "Each case in processes of its own, warm-up, at least so many calls and seconds, outputs checked. docs/bench.md"
HOW_CLAIMS = f"{HOW_QUALITY}; docs/bench.md; docs/jetson.md"
HOW_DETECTION = (
    "COCO's AP on the engine's 8-bit output. Intervals: paired bootstrap over images. qdr/suite/evaluate/detect.py"
)
HOW_TRAINING = "Logged by training, first seed, all training images."
HOW_FEATURES = "Against the FP32 model that a method starts from, under the fake quantization of training, on test images."
HOW_GATES = "LDG's gates of the FP32 model, one photograph per task."
HOW_SENSITIVITY = "After calibration alone, on validation scenes; no test image was used."
HOW_PREDICTION = (
    "From datasheets and the kernels of the model, not a measurement. qdr/suite/bench/roofline.py, docs/jetson.md"
)
HOW_PARITY = "Both on the 8-bit output, image by image; gates in qdr/suite/evaluate/parity.py. docs/export.md"
HOW_CENSUS = "Told by the engine after its own fusion. docs/export.md"
HOW_GRAPH = "Read off the exported ONNX file that is timed; qdr/suite/report/graph.py."
HOW_PROTOCOLS = "Each with who uses it: docs/metrics.md"

QUALITY, DETECTION, KERNELS, GRAPH = ("quality.csv",), ("detection.csv",), ("kernels.csv",), ("graph.csv",)
TRAINING, FEATURES, SENSITIVITY = ("training.csv",), ("features.csv",), ("sensitivity.csv",)
LATENCY, ROOFLINE = ("latency.csv", "latency.json", "jetson.json"), ("roofline.csv", "machine.json")


@dataclass(frozen=True)
class Section:
    """A heading, an introduction and pieces."""

    name: str
    title: str
    lead: str
    pieces: tuple[Piece, ...]


SECTIONS = (
    Section(
        "claim",
        "The claim",
        "What the paper says of its INT8 network, beside what was measured here and what is only predicted.",
        (Piece("claims", "Claims", QUALITY, "site", claims, HOW_CLAIMS, (*DETECTION, *LATENCY, *KERNELS)),),
    ),
    Section(
        "quality",
        "Quality",
        "Every row is measured on the exported engine's 8-bit output. A difference that is not significant is marked n.s.",
        (
            Piece("summary", "Summary", QUALITY, "tables", tables.summary, HOW_QUALITY),
            Piece("main", "Every method at W8A8", QUALITY, "tables", tables.main, HOW_QUALITY),
            Piece("main-scenes", "The same on held-out scenes", QUALITY, "tables", tables.main_scenes, HOW_QUALITY),
            Piece("few-images", "Few images", QUALITY, "figures", few_images, HOW_QUALITY),
            Piece("low-bit", "Few bits, few images", QUALITY, "tables", tables.low_bit, HOW_QUALITY),
            Piece("low-bit-scenes", "The same on held-out scenes", QUALITY, "tables", tables.low_bit_scenes, HOW_QUALITY),
            Piece("ablation", "Ablation", QUALITY, "tables", tables.ablation, HOW_QUALITY),
            Piece("ranking", "Ranking", QUALITY, "tables", tables.ranking, HOW_QUALITY),
            Piece("packaged", "The packaged weights", ("packaged.csv",), "tables", tables.packaged, HOW_QUALITY),
            Piece("detection", "What a detector finds", DETECTION, "tables", tables.detection, HOW_DETECTION),
        ),
    ),
    Section(
        "pictures",
        "Before and after",
        "Two versions of a photograph under one divider; beside them, the same crop of every version.",
        (Piece("samples", "Photographs", ("samples",), "figures", gallery, HOW_QUALITY),),
    ),
    Section(
        "training",
        "Training",
        "Does distillation pull against reconstruction, where do errors grow, and which layers mind few bits?",
        (
            Piece("tug-of-war-w8a8", "Tug-of-war, W8A8", TRAINING, "figures", tug_of_war("W8A8"), HOW_TRAINING),
            Piece("tug-of-war-w4a4", "Tug-of-war, W4A4", TRAINING, "figures", tug_of_war("W4A4"), HOW_TRAINING),
            Piece("error-growth-w8a8", "Error growth, W8A8", FEATURES, "figures", error_growth("W8A8"), HOW_FEATURES),
            Piece("error-growth-w4a4", "Error growth, W4A4", FEATURES, "figures", error_growth("W4A4"), HOW_FEATURES),
            Piece("gates", "Gates", ("gates",), "figures", gates, HOW_GATES),
            Piece("sensitivity-chart", "Sensitivity", SENSITIVITY, "figures", sensitivity, HOW_SENSITIVITY),
            Piece("sensitivity", "The most sensitive layers", SENSITIVITY, "tables", tables.sensitivity, HOW_SENSITIVITY),
        ),
    ),
    Section(
        "speed",
        "Speed",
        "Measured on this profile's processor; what is said of a Jetson is a prediction and called so.",
        (
            Piece("front", "Quality against latency", (*QUALITY, *LATENCY[:2]), "speed", front, HOW_SPEED),
            Piece("latency", "Latency", LATENCY, "speed", tables.latency, HOW_SPEED),
            Piece("peers", "Networks in one budget", (*QUALITY, *LATENCY[:2]), "speed", tables.peers, HOW_SPEED),
            Piece("roofline-chart", "Roofline", ROOFLINE, "speed", roofline, HOW_SPEED),
            Piece("roofline", "Share of the machine's peak", ROOFLINE, "speed", tables.roofline, HOW_SPEED),
            Piece("jetson", "Measured on a Jetson", ("jetson.json",), "speed", tables.on_jetson, "docs/jetson.md"),
            Piece("jetson-442", "Prediction: 442 frames per second", KERNELS, "speed", tables.target, HOW_PREDICTION),
            Piece("jetson-prediction", "Prediction: every Orin", KERNELS, "speed", tables.prediction, HOW_PREDICTION),
        ),
    ),
    Section(
        "inside",
        "Inside the model",
        "Does the engine compute what training simulated, in integers throughout, and with which scales?",
        (
            Piece("parity", "Parity", ("parity.csv",), "tables", tables.parity, HOW_PARITY),
            Piece("census", "Precision census", ("census.csv",), "speed", tables.census, HOW_CENSUS),
            Piece("graph-chart", "The model's graph", GRAPH, "site", graph_chart, HOW_GRAPH),
            Piece("graph", "Bits and scales per tensor", GRAPH, "site", graph_table, HOW_GRAPH),
        ),
    ),
    Section(
        "protocols",
        "Protocols",
        "Published ways of measuring differ; on one pair of images the choice alone is worth decibels.",
        (
            Piece("protocol", "How images are compared", (), "tables", tables.protocols, HOW_PROTOCOLS),
            Piece("conventions", "What that is worth", (), "tables", lambda _: conventions_table(), HOW_PROTOCOLS),
        ),
    ),
)

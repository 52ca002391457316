"""Figures of the paper, from results/ alone, as PDF and PNG; the same files give the same bytes."""

from __future__ import annotations

from pathlib import Path

from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.detection import Detection
from qdr.suite.report.figures.before_after import before_after
from qdr.suite.report.figures.detection import detection_bars, detection_boxes
from qdr.suite.report.figures.error_growth import error_growth
from qdr.suite.report.figures.few_images import few_images
from qdr.suite.report.figures.gates import ldg_gates
from qdr.suite.report.figures.jetson import jetson_prediction
from qdr.suite.report.figures.peers import peers_figure
from qdr.suite.report.figures.recovery import recovery
from qdr.suite.report.figures.roofline import roofline
from qdr.suite.report.figures.sensitivity import sensitivity
from qdr.suite.report.figures.speed import quality_latency
from qdr.suite.report.figures.training import tug_of_war
from qdr.suite.report.peers import find_peers
from qdr.suite.report.quality import Quality
from qdr.suite.report.style import save, use_style
from qdr.suite.report.tables.jetson import read_kernels


def write_quality(config: Config, results: Path, output: Path) -> None:
    """Draw every figure that no timing enters; those of pictures only where the pictures are at hand.

    Photographs of public test sets may not be passed on: git ignores their samples and the figures that show them.
    """
    use_style()
    folder = output / "quality"
    quality = Quality(results / "quality.csv")
    save(recovery(quality, Bootstrap(config.stats.resamples, config.stats.confidence)), folder, "recovery")
    for bits in (bits for bits in ("W8A8", "W4A4") if bits in set(quality.frame["bits"])):
        save(tug_of_war(results / "training.csv", bits), folder, f"tug-of-war-{bits}")
        save(error_growth(results / "features.csv", bits), folder, f"error-growth-{bits}")
    few = few_images(quality, "W4A4")
    if few is not None:
        save(few, folder, "few-images")
    save(sensitivity(results / "sensitivity.csv"), folder, "sensitivity")
    if (results / "detection.csv").is_file():  # results of before that stage have none
        detection = Detection(results / "detection.csv")
        save(detection_bars(detection, config.stats.confidence), folder, "detection")
        boxes = detection_boxes(results / "detection", detection.tasks)
        if boxes is not None:
            save(boxes, folder, "detection-boxes")
    if (results / "samples").is_dir():
        for task in quality.tasks:
            save(before_after(results / "samples", task), folder, f"before-after-{task}")
        save(ldg_gates(results / "gates"), folder, "ldg-gates")


def write_speed(config: Config, results: Path, output: Path) -> None:
    """Draw quality against latency (of peers too, if any), the prediction for a Jetson, and the roofline of layers."""
    use_style()
    folder = output / "speed"
    quality = Quality(results / "quality.csv")
    save(quality_latency(quality, results / "latency.csv"), folder, "quality-latency")
    save(jetson_prediction(read_kernels(results / "kernels.csv")), folder, "jetson-prediction")
    if (results / "roofline.csv").is_file():  # results of before layers were measured have none
        save(roofline(results / "roofline.csv"), folder, "roofline")
    peers = find_peers(config, quality, results / "latency.csv")
    if peers is not None:
        save(peers_figure(peers), folder, "peers")


def write_plan(config: Config, output: Path | None = None) -> None:
    """Draw the simulated schedule of a profile's training, where its steps were timed."""
    from qdr.suite.report.figures.makespan import makespan_figure  # both import torch, which the other figures do without
    from qdr.suite.report.plan import read_plan

    use_style()
    save(makespan_figure(read_plan(config)), (output or paths.figures(config.profile)) / "plan", "makespan")

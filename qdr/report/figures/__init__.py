"""Figures of the paper, from results/ alone, as PDF and PNG; the same files give the same bytes."""

from __future__ import annotations

from pathlib import Path

from qdr.config import Config
from qdr.evaluate.stats import Bootstrap
from qdr.report.figures.before_after import before_after
from qdr.report.figures.gates import ldg_gates
from qdr.report.figures.recovery import recovery
from qdr.report.figures.speed import quality_latency
from qdr.report.figures.training import lmr_weights
from qdr.report.quality import Quality
from qdr.report.style import save, use_style


def write_quality(config: Config, results: Path, output: Path) -> None:
    """Draw every figure that no timing enters."""
    use_style()
    folder = output / "quality"
    quality = Quality(results / "quality.csv")
    save(recovery(quality, Bootstrap(config.stats.resamples, config.stats.confidence)), folder, "recovery")
    for task in quality.tasks:
        save(before_after(results / "samples", task), folder, f"before-after-{task}")
    save(lmr_weights(results / "training.csv"), folder, "lmr-weights")
    save(ldg_gates(results / "gates"), folder, "ldg-gates")


def write_speed(config: Config, results: Path, output: Path) -> None:
    """Draw quality against latency."""
    use_style()
    save(quality_latency(Quality(results / "quality.csv"), results / "latency.csv"), output / "speed", "quality-latency")

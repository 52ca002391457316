"""Figures of the paper and of the page, from nothing but results/; the same files give the same bytes.

One function draws one figure: it is given the results of a profile and gives a `Drawing`, a figure with its caption, or
None where the results do not have what it shows. `qdr report figures` writes each as PNG and PDF with the caption beside
it (.txt); the page embeds what the same functions draw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import call
from pathlib import Path

from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.processes import side_by_side
from qdr.suite.report.figures.layers import conflict, error_growth, gradients, ldg_gates, learning, sensitivity
from qdr.suite.report.figures.pictures import before_after, detection_boxes, packaged
from qdr.suite.report.figures.quality import detection, few_images, recovery
from qdr.suite.report.figures.speed import jetson_prediction, makespan, peers, roofline
from qdr.suite.report.quality import TASK_LABELS
from qdr.suite.report.results import Results
from qdr.suite.report.style import Drawing, save, use_style

Draw = Callable[[Results], Drawing | None]
QUALITY: dict[str, Draw] = {
    "packaged": packaged,
    "recovery": recovery,
    "few-images": few_images,
    "detection": detection,
    "detection-boxes": detection_boxes,
    **{f"before-after-{task}": partial(before_after, task=task) for task in TASK_LABELS},
    "learning": learning,
    "gradients": gradients,
    "conflict": conflict,
    "error-growth": error_growth,
    "error-growth-absolute": partial(error_growth, error="absolute"),
    "ldg-gates": ldg_gates,
    "sensitivity": sensitivity,
}
SPEED: dict[str, Draw] = {"peers": peers, "roofline": roofline, "jetson-prediction": jetson_prediction}


def first_line(draw: Draw) -> str:
    """What a figure shows, from its function."""
    function = draw.func if isinstance(draw, partial) else draw
    return (function.__doc__ or "").strip().splitlines()[0].removesuffix(".")


def drawn(name: str, results: Results) -> Drawing | None:
    """A figure by its name; None where the results do not have what it shows."""
    use_style()
    return {**QUALITY, **SPEED}[name](results)


def write_quality(results: Results, output: Path) -> None:
    """Draw every figure that no timing enters; those of pictures only where the pictures are at hand.

    Photographs of public test sets may not be passed on: git ignores their samples and the figures that show them.
    """
    side_by_side(call, jobs(results, output, QUALITY), results.config.threads)


def write_speed(results: Results, output: Path) -> None:
    """Draw the figures of measured and of predicted speed."""
    side_by_side(call, jobs(results, output, SPEED), results.config.threads)


def jobs(results: Results, output: Path, figures: dict[str, Draw]) -> list[Callable[[], None]]:
    """What writes each figure."""
    folder = output / ("quality" if figures is QUALITY else "speed")
    return [partial(_write, name, results, folder) for name in figures]


def write_plan(config: Config, output: Path | None = None) -> None:
    """Draw the simulated schedule of a profile's training, where its steps were timed."""
    from qdr.suite.report.plan import read_plan  # imports torch

    use_style()
    save(makespan(read_plan(config)), (output or paths.figures(config.profile)) / "plan", "makespan")


def _write(name: str, results: Results, folder: Path) -> None:
    drawing = drawn(name, results)
    if drawing is not None:
        save(drawing, folder, name)

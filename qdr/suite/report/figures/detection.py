"""What degradation takes from a detector and restoration gives back: AP50, and the boxes themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from qdr.errors import QdrError
from qdr.images.pairs import read_image
from qdr.rows import read_json
from qdr.suite.detection.boxes import iou
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.detection import LABELS, METHODS, Detection
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.style import colour

RIGHT, WRONG, MISSED = "#3CE33C", "#FF4040", "#FFFFFF"
PANELS = {"degraded": "Degraded", "fp32": "FP32", "qdr": "QDR (INT8 engine)", "clean": "Clean"}
ABOVE = 0.5  # overlap from which a detection is right


def detection_bars(detection: Detection, confidence: float) -> Figure:
    """A column per task, a row per detector; dashed: the clean images."""
    tasks, detectors = detection.tasks, detection.detectors
    size = (2.5 * len(tasks) + 0.5, 2.4 * len(detectors) + 0.4)
    figure, axes = plt.subplots(len(detectors), len(tasks), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for row, detector in zip(axes, detectors, strict=True):
        for axis, task in zip(row, tasks, strict=True):
            shown = [("input", detection.get(task, detector, "degraded"))]
            shown += [(method, detection.get(task, detector, "restored", method)) for method in METHODS]
            found = [(method, interval) for method, interval in shown if interval is not None]
            for place, (method, interval) in enumerate(found):
                _point(axis, place, method, interval)
            clean = detection.get(task, detector, "clean")
            if clean is not None:
                axis.axhline(100 * clean.estimate, color="black", linewidth=1, linestyle="--")
            axis.set_xticks(range(len(found)), [_name(method) for method, _ in found], fontsize=7)
            axis.grid(False, axis="x")
            axis.set_xlim(-0.6, len(found) - 0.4)
            axis.set_title(TASK_LABELS[task] if detector == detectors[0] else "")
        row[0].set_ylabel(f"{LABELS[detector]}\nAP50 (points)")
    bars = f"bars: {100 * confidence:.0f} % intervals; dashed: clean images"
    title = f"What a detector finds, {detection.images} images, first seed; {bars}"
    figure.suptitle(title, fontsize=9)
    return figure


def detection_boxes(folder: Path, tasks: list[str]) -> Figure | None:
    """A row per task, a column per condition; None where the pictures are not to be passed on (Pascal VOC)."""
    if not all((folder / task / f"{name}.png").is_file() for task in tasks for name in PANELS):
        return None
    figure, axes = plt.subplots(len(tasks), len(PANELS), figsize=(2.5 * len(PANELS), 2.75 * len(tasks) + 0.4), squeeze=False)
    for row, task in zip(axes, tasks, strict=True):
        record = _boxes(folder / task / "boxes.json")
        for axis, (name, title) in zip(row, PANELS.items(), strict=True):
            axis.imshow(read_image(folder / task / f"{name}.png"))
            right = _draw(axis, record["objects"], record[name])
            wrong = len(record[name]) - right
            axis.set_title(f"{title}\n{right} of {len(record['objects'])} found, {wrong} wrong", fontsize=8.5)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
        row[0].set_ylabel(TASK_LABELS[task])
    chosen = "the labelled image with the most objects, the next one for the next task: not chosen by result"
    figure.suptitle(f"Detections: green right, red wrong; white dashed: missed\n{chosen}", fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.995))
    return figure


def _boxes(path: Path) -> dict[str, Any]:
    """boxes.json: `objects` and what each panel shows, as [kind, score, left, top, right, bottom]."""
    record = read_json(path, **dict.fromkeys(("objects", *PANELS), list))
    for key in ("objects", *PANELS):
        for number, entry in enumerate(record[key]):
            if (
                not isinstance(entry, list)
                or len(entry) != 6
                or not isinstance(entry[0], str)
                or not all(isinstance(value, int | float) for value in entry[1:])
            ):
                raise QdrError(f"{path}: {key}[{number}] is {entry!r}, expected a kind and five numbers: run `dvc repro`")
    return record


def _point(axis: Axes, place: int, method: str, interval: Interval) -> None:
    value = 100 * interval.estimate
    reach = np.maximum(0, [[value - 100 * interval.low], [100 * interval.high - value]])
    axis.errorbar(place, value, yerr=reach, fmt="o", color=colour(method), capsize=3, markersize=6)


def _name(method: str) -> str:
    return "Degraded" if method == "input" else label(method).replace(" (LSQ)", "") + ("" if method == "fp32" else "\nINT8")


def _draw(axis: Axes, objects: list[list[Any]], found: list[list[Any]]) -> int:
    """Draw boxes; returns how many detections are right, each object found once, the surest detection first."""
    missed = list(range(len(objects)))
    right = 0
    for kind, score, *sides in found:
        box = np.array(sides, np.float32)
        hits = [i for i in missed if objects[i][0] == kind]
        overlaps = iou(box, np.array([objects[i][2:] for i in hits], np.float32).reshape(-1, 4))
        hit = len(hits) > 0 and float(overlaps.max()) >= ABOVE
        if hit:
            missed.remove(hits[int(overlaps.argmax())])
            right += 1
        _rectangle(axis, sides, RIGHT if hit else WRONG, "-", f"{kind} {score:.2f}")
    for i in missed:
        _rectangle(axis, objects[i][2:], MISSED, "--", objects[i][0])
    return right


def _rectangle(axis: Axes, sides: list[float], ink: str, line: str, text: str) -> None:
    left, top, right, bottom = sides
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="black", linewidth=2.4))
    axis.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=ink, linewidth=1.3, linestyle=line)
    )
    behind = {"facecolor": "black", "alpha": 0.55, "pad": 0.6, "linewidth": 0}
    y, alignment = (top - 2, "bottom") if top > 12 else (bottom + 2, "top")
    axis.text(left, y, text, color=ink, fontsize=5.5, verticalalignment=alignment, bbox=behind, clip_on=True)

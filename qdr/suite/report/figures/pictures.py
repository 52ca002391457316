"""Photographs: before and after, where each method is wrong, and what a detector finds in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from qdr.errors import QdrError
from qdr.images.pairs import read_image
from qdr.metrics.protocol import PROTOCOL, protocol
from qdr.metrics.psnr import psnr
from qdr.rows import read_json
from qdr.suite.detection.boxes import iou
from qdr.suite.report.load import PACKAGED, load
from qdr.suite.report.quality import TASK_LABELS, label
from qdr.suite.report.results import Results, set_name
from qdr.suite.report.style import WIDE, Drawing, bare, panels

SHOWN = ("input", "fp32", "ptq", "qat", "qdr", "target")
CONDITIONS = {"degraded": "degraded", "qdr": "QDR, INT8", "clean": "clean"}
RIGHT, WRONG, MISSED = "#3CE33C", "#FF4040", "#FFFFFF"
ABOVE = 0.5  # overlap from which a detection is right


def photographs(results: Results, task: str) -> dict[str, Path]:
    """The versions of a task's photograph that there are, in the order they are shown; none without its target."""
    found = {name: results.folder / "samples" / task / f"{name}.png" for name in SHOWN}
    return {name: path for name, path in found.items() if path.is_file()} if found["target"].is_file() else {}


def picture_label(name: str) -> str:
    """How a version of a photograph is called.

    >>> picture_label("qdr"), picture_label("fp32"), picture_label("target")
    ('QDR, INT8', 'FP32', 'Clean')
    """
    return "Clean" if name == "target" else label(name) + ("" if name in ("input", "fp32") else ", INT8")


def before_after(results: Results, task: str) -> Drawing | None:
    """The versions of a photograph above; below |version - clean|, mean over channels, on one scale.

    The scale ends at the 99.5th percentile of the restored versions' errors: the input's would hide them.
    """
    images = {name: read_image(path) for name, path in photographs(results, task).items()}
    if not images:
        return None
    target = images.pop("target")
    errors = {name: np.abs(image.astype(float) - target).mean(axis=2) for name, image in images.items()}
    scale = float(np.quantile(np.stack([error for name, error in errors.items() if name != "input"]), 0.995))
    cell = WIDE / (len(images) + 1)
    figure, axes = panels(2, len(images) + 1, 2 * cell * target.shape[0] / target.shape[1] + 0.4)
    shown: Any = None
    for (name, image), top, bottom in zip(images.items(), axes[0], axes[1], strict=False):
        top.imshow(image)
        top.set_title(f"{picture_label(name)}\n{psnr(image, target, protocol(PROTOCOL)):.2f} dB", fontsize=7)
        shown = bottom.imshow(errors[name], cmap="magma", vmin=0, vmax=scale)
    axes[0][-1].imshow(target)
    axes[0][-1].set_title("Clean\n", fontsize=7)
    for axis in axes.flat:
        bare(axis)
    axes[1][-1].axis("off")
    axes[1][0].set_ylabel("error")
    bar = figure.colorbar(shown, cax=axes[1][-1].inset_axes((0.0, 0.0, 0.08, 1.0)), extend="max")
    bar.set_label("grey levels")
    where = set_name(task, (results.quality.real(task) or ["photos"])[0])
    caption = (
        f"{where}: one test image, chosen by its number, restored by the first seed; PSNR by protocol {PROTOCOL}. Below: "
        "mean absolute error over channels, in grey levels of 255, one scale for all."
    )
    return Drawing(figure, caption, photographs=True)


def packaged(results: Results) -> Drawing | None:
    """Per task a photograph before and after the packaged INT8 weights, with its PSNR in dB."""
    found = sorted((results.folder / "packaged").glob("*-input.png"))
    by_task = {path.name.split("-")[0]: path for path in found}
    tasks = [task for task in TASK_LABELS if task in by_task]
    if not tasks:
        return None
    frame = load(results.folder / "packaged.csv", PACKAGED)
    figure, axes = panels(2, len(tasks), 3.9, WIDE)
    for column, task in zip(axes.T, tasks, strict=True):
        image = by_task[task].name.removeprefix(f"{task}-").removesuffix("-input.png")
        rows = frame[(frame["task"] == task) & (frame["image"] == image) & (frame["protocol"] == PROTOCOL)]
        for axis, kind, bits in zip(column, ("input", "restored"), ("input", "W8A8"), strict=True):
            bare(axis)
            axis.imshow(read_image(by_task[task].with_name(f"{task}-{image}-{kind}.png")))
            value = float(rows[rows["bits"] == bits]["value"].iloc[0])
            axis.set_title(f"{TASK_LABELS[task]}: {value:.1f} dB" if kind == "input" else f"restored: {value:.1f} dB")
    return Drawing(
        figure,
        "The packaged INT8 weights on photographs that were not seen in training, degraded synthetically: of each task "
        "the middle of the image with the median gain, 192 pixels wide; PSNR of the whole image.",
        photographs=True,
    )


def detection_boxes(results: Results) -> Drawing | None:
    """A column per task, a row per condition; None where the pictures are not to be passed on (Pascal VOC)."""
    folder = results.folder / "detection"
    if not results.has("detection.csv"):
        return None
    tasks = results.detection.tasks
    if not all((folder / task / f"{name}.png").is_file() for task in tasks for name in CONDITIONS):
        return None
    if len(tasks) > 1:
        cell = WIDE / len(tasks)
        figure, axes = panels(len(CONDITIONS), len(tasks), (cell + 0.17) * len(CONDITIONS) + 0.2, WIDE)
    else:  # the conditions side by side
        figure, axes = panels(1, len(CONDITIONS), WIDE / len(CONDITIONS) + 0.4, WIDE)
        axes = axes.T
    for column, task in enumerate(tasks):
        record = _boxes(folder / task / "boxes.json")
        for row, (name, title) in enumerate(CONDITIONS.items()):
            axis = axes[row][column]
            axis.imshow(read_image(folder / task / f"{name}.png"))
            bare(axis)
            right = _draw(axis, record["objects"], record[name])
            found = f"{right} of {len(record['objects'])} found, {len(record[name]) - right} wrong"
            above = TASK_LABELS[task] if len(tasks) > 1 and row == 0 else title if len(tasks) == 1 else ""
            axis.set_title(f"{above}\n{found}".strip(), fontsize=7)
            axis.set_ylabel(title if len(tasks) > 1 and column == 0 else "")
    caption = (
        "What the detector finds in one labelled image per task (the one with the most objects, the next for the next task: "
        "not chosen by result). Solid green: right (overlap of a half), solid red: wrong, dashed white: missed."
    )
    return Drawing(figure, caption, photographs=True)


def _boxes(path: Path) -> dict[str, Any]:
    """boxes.json: `objects` and what is found per condition, as [kind, score, left, top, right, bottom]."""
    keys = ("objects", *CONDITIONS)
    record = read_json(path, **dict.fromkeys(keys, list))
    for key in keys:
        for number, entry in enumerate(record[key]):
            numbers = isinstance(entry, list) and len(entry) == 6 and all(isinstance(v, int | float) for v in entry[1:])
            if not numbers or not isinstance(entry[0], str):
                raise QdrError(f"{path}: {key}[{number}] is {entry!r}, expected a kind and five numbers: run `dvc repro`")
    return record


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
    for shade, width, style in (("black", 1.8, "-"), (ink, 1.0, line)):
        edge: dict[str, Any] = {"edgecolor": shade, "linewidth": width, "linestyle": style}
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, **edge))
    behind = {"facecolor": "black", "alpha": 0.55, "pad": 0.5, "linewidth": 0}
    at, side = (left + 1, "left") if left < 0.55 * axis.get_xlim()[1] else (right - 1, "right")
    axis.text(at, top + 1, text, color=ink, fontsize=5.5, va="top", ha=side, bbox=behind, clip_on=True)

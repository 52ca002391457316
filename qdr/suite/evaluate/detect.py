"""What degradation and restoration do to a detector: AP of what it finds in clean, degraded and restored images.

Labelled images are degraded as the task's test images are, restored by the engines of FP32, PTQ, QAT and QDR at W8A8 (those
that the profile trains, first seed), and given to detectors as 8-bit images. Conditions:

    clean            the labelled image itself: the ceiling
    degraded         what a camera would give: the floor
    restored         each engine's restoration of the degraded image
    clean-restored   FP32's and QDR's restoration of the clean image: a restorer should do no harm where nothing is wrong

Metrics, each with a paired interval over images (`qdr.suite.evaluate.average_precision`); x is ap50 or ap:

    x                average precision
    x_gain           restored - degraded; clean-restored - clean
    x_to_fp32        INT8 - FP32, of restored images
    x_gain_kept      (INT8 - degraded) / (FP32 - degraded), only where FP32's gain is significantly above zero: a share of
                     nothing means nothing

A resampled set in which FP32 gains nothing has no share either and is left out of that interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from qdr.rows import write_rows
from qdr.runtimes.session import restore
from qdr.suite import paths
from qdr.suite.config import Config
from qdr.suite.data.degrade import degrade
from qdr.suite.detection.boxes import Image, Labelled
from qdr.suite.detection.detectors import open_detector
from qdr.suite.detection.objects import labelled_scene
from qdr.suite.detection.voc import voc_images
from qdr.suite.evaluate import SHOWN
from qdr.suite.evaluate.average_precision import METRICS, Precision, average_precision
from qdr.suite.evaluate.detection_pictures import write_pictures
from qdr.suite.evaluate.restore import INPUT_BITS, open_run
from qdr.suite.evaluate.stats import Bootstrap, Values
from qdr.suite.processes import side_by_side
from qdr.suite.train.plan import Run, plan

HARMLESS = ("fp32", "qdr")  # whose restoration of clean images is measured
SPLIT = "labelled"  # of procedural scenes: none is trained on
Compared = tuple[float, Values, Values]  # of all images, of every resampled set, of all images but one


@dataclass(frozen=True)
class Condition:
    """What is shown to the detector."""

    name: str
    method: str
    bits: str
    engine: str
    images: list[Image]

    @property
    def key(self) -> str:
        """A short name, unique within a task."""
        return f"{self.name}/{self.method}" if "restored" in self.name else self.name


def detect(config: Config) -> None:
    """Write the detection rows of every task and the pictures for the figure; tasks side by side."""
    each = replace(config, threads=max(1, config.threads // len(config.tasks)))
    side_by_side(partial(_detect, each, labelled_images(config)), config.tasks, config.threads)


def _detect(config: Config, truth: list[Labelled], task: str) -> None:
    stats = Bootstrap(config.detect.resamples, config.stats.confidence)
    sets, rows = stats.sets(len(truth)), []
    clean = Condition("clean", "input", INPUT_BITS, "none", [labelled.image for labelled in truth])
    conditions = [clean, *_conditions(config, task, truth)]
    for name in config.detect.detectors:
        detector = open_detector(name, config.threads)
        found = {condition.key: [detector.detect(image) for image in condition.images] for condition in conditions}
        classes = len(detector.classes)
        measured = {key: average_precision(truth, boxes, classes, sets) for key, boxes in found.items()}
        about = {"profile": config.profile, "task": task, "detector": name}
        rows += [about | row | {"images": len(truth)} for row in _rows(conditions, measured, stats)]
        if name == config.detect.detectors[0]:
            shown = {condition.key: condition.images for condition in conditions}
            write_pictures(config, task, detector, truth, shown, found)
    write_rows(paths.rows("detection", task), rows)


def labelled_images(config: Config) -> list[Labelled]:
    """The images of the profile's source."""
    count = config.detect.images
    if config.detect.source == "voc":
        return voc_images(count)
    make = partial(labelled_scene, config.data.seed, SPLIT, size=config.data.scenes.size)
    return side_by_side(make, range(count), config.threads)


def _conditions(config: Config, task: str, truth: list[Labelled]) -> Iterator[Condition]:
    """Everything but the clean images, restored by one engine after the other."""
    seed, source, kind = config.data.seed, config.detect.source, config.data.degrade[task]
    degraded = [degrade(kind, task, one.image, one.depth, seed, f"{source}/{one.name}")[0] for one in truth]
    yield Condition("degraded", "input", INPUT_BITS, "none", degraded)
    planned = plan(config, task)
    for run in (Run(task, method, bits, "all", 0) for method, bits in SHOWN.items()):
        if run not in planned:
            continue
        session = open_run(config, run)
        about = (run.method, run.bits, session.name)
        yield Condition("restored", *about, [restore(session, image) for image in degraded])
        if run.method in HARMLESS:
            yield Condition("clean-restored", *about, [restore(session, one.image) for one in truth])
        session.close()


def _rows(conditions: list[Condition], measured: dict[str, Precision], stats: Bootstrap) -> Iterator[dict[str, Any]]:
    fp32, degraded = measured["restored/fp32"], measured["degraded"]
    for condition in conditions:
        about = {"condition": condition.name, "method": condition.method, "bits": condition.bits, "engine": condition.engine}
        own = measured[condition.key]
        for i, metric in enumerate(METRICS):
            compared: dict[str, Compared] = {metric: (float(own.value[i]), own.drawn[:, i], own.left_out[:, i])}
            if condition.name == "clean-restored":
                compared[f"{metric}_gain"] = _less(own, measured["clean"], i)
            if condition.name == "restored":
                compared[f"{metric}_gain"] = _less(own, degraded, i)
            if condition.name == "restored" and condition.method != "fp32":
                compared[f"{metric}_to_fp32"] = _less(own, fp32, i)
                gain = _less(fp32, degraded, i)
                if stats.interval(*gain).low > 0:
                    compared[f"{metric}_gain_kept"] = _share(compared[f"{metric}_gain"], gain)
            for name, numbers_of in compared.items():
                found = stats.interval(*numbers_of)
                numbers = {"value": found.estimate, "low": found.low, "high": found.high}
                yield about | {"metric": name} | {key: f"{number:.6f}" for key, number in numbers.items()}


def _less(a: Precision, b: Precision, i: int) -> Compared:
    return float(a.value[i] - b.value[i]), a.drawn[:, i] - b.drawn[:, i], a.left_out[:, i] - b.left_out[:, i]


def _share(kept: Compared, gain: Compared) -> Compared:
    (value, drawn, left_out), (whole, gained, alone) = kept, gain
    return value / whole, drawn[gained > 0] / gained[gained > 0], left_out[alone > 0] / alone[alone > 0]

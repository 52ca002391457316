"""The detection table: what a detector finds in clean, degraded and restored images."""

from __future__ import annotations

from qdr.suite.evaluate.stats import Bootstrap, Interval
from qdr.suite.report.detection import LABELS, METHODS, Detection
from qdr.suite.report.quality import TASK_LABELS
from qdr.suite.report.tables.table import BLANK, RULE, Note, Table, brackets, show

HEADER = ["Task", "Detector", "Clean", "Degraded", "FP32", "PTQ INT8", "QAT INT8", "QDR INT8", "QDR gain", "QDR gain kept"]
HEADER += ["Clean, FP32", "Clean, QDR INT8"]
NOTES = [
    "AP50 in points of 100, by COCO's code; the detector was trained on clean images only. Restored: the engines' 8-bit "
    "output. n.s.: the paired interval of the difference to the same image without restoration includes zero.",
    Note(
        "Gain: restored - degraded. Gain kept: (QDR INT8 - degraded) / (FP32 - degraded), where FP32's gain is significant.",
        *HEADER[8:10],
    ),
    Note(
        "The last two columns: the clean image, restored all the same; a harmless restorer leaves it at the value of Clean.",
        *HEADER[10:],
    ),
]
OWN = "Scenes with objects of five classes, and a small detector that the pipeline trains on other such scenes."
VOC = "Pascal VOC 2012 images, published detectors trained on COCO."


def detection_table(detection: Detection, stats: Bootstrap, resamples: int) -> Table:
    """Tasks x detectors."""
    rows: list[list[str]] = []
    for task in detection.tasks:
        rows += [RULE] if rows and len(detection.detectors) > 1 else []
        for detector in detection.detectors:
            cells = [_points(detection.get(task, detector, condition)) for condition in ("clean", "degraded")]
            for condition, methods in (("restored", METHODS), ("clean-restored", ("fp32", "qdr"))):
                if condition == "clean-restored":
                    gain = detection.get(task, detector, "restored", "qdr", "ap50_gain")
                    kept = detection.get(task, detector, "restored", "qdr", "ap50_gain_kept")
                    cells += [BLANK if gain is None else show(_hundred(gain), 1, sign=True)]
                    cells += [BLANK if kept is None else show(kept, 3)]
                for method in methods:
                    against = detection.get(task, detector, condition, method, "ap50_gain")
                    mark = "" if against is None or against.significant else " n.s."
                    cells.append(_points(detection.get(task, detector, condition, method)) + mark)
            rows.append([TASK_LABELS[task], LABELS[detector], *cells])
    caption = (
        f"Detection after restoration: AP50, {detection.images} images, profile {detection.profile}; "
        f"{brackets(stats, resamples)}."
    )
    parts = {"": HEADER[:8], "gains": [*HEADER[:3], *HEADER[8:]]}
    return Table("detection", caption, HEADER, rows, [OWN if detection.detectors == ["centre"] else VOC, *NOTES], parts)


def _points(interval: Interval | None) -> str:
    return BLANK if interval is None else f"{100 * interval.estimate:.1f}"


def _hundred(interval: Interval) -> Interval:
    return Interval(100 * interval.estimate, 100 * interval.low, 100 * interval.high)

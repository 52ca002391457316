"""The paper's three claims beside what was measured here.

The claims are those of the abstract of arXiv 2603.09624. It does not say what share of FP32 is meant, which Jetson, at
which size, nor which detector: the remarks say how each is read.
"""

from __future__ import annotations

import numpy as np

from qdr.rows import read_json
from qdr.suite.bench.roofline import AGX64, MODES, NANO8, fps
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.detection import LABELS
from qdr.suite.report.load import LATENCY, int8_of, load
from qdr.suite.report.quality import FP32, INPUT, TASK_LABELS, Setting, set_label
from qdr.suite.report.site.parts import Claim, Findings, Given
from qdr.suite.report.tables.jetson import device_label, imported, read_kernels

QDR = Setting("qdr", "W8A8")


def claims(given: Given) -> list[Claim]:
    """Quality kept, speed, and what a detector gains; each with what this profile has of it."""
    folder = given.folder
    jetson = _brought_back(given)
    found = _detected(given) if (folder / "detection.csv").is_file() else []
    return [
        Claim("96.5 %", "of FP32 is what INT8 keeps", _kept(given), KEPT),
        Claim(
            "442 FPS",
            "in INT8 on a Jetson Orin",
            [*jetson, *_timed(given), *_predicted(given)],
            SPEED if jetson else f"{NO_JETSON} {SPEED}",
        ),
        Claim("+16.3 mAP", "for a detector behind the restoration", found, DETECTED if found else MISSING),
    ]


KEPT = (
    "QDR's INT8 engine. Share of PSNR: mean PSNR over FP32's mean PSNR. Share of the gain: what is kept of FP32's "
    "improvement over the degraded input; a model that does nothing scores 0. Intervals: over images, paired."
)
SPEED = (
    "A prediction is for the GPU of one module in its fastest mode, from datasheets, at mid efficiency (low to high). What "
    "was measured is the engine alone at the median (and 90th percentile)."
)
NO_JETSON = "Nothing here ran on a Jetson: what is said of an Orin is predicted."
DETECTED = (
    "Gain over the same images without restoration, in points of 100, QDR's INT8 engine. AP50: overlap of a half. AP: the "
    "mean from 0.50 to 0.95, which is COCO's mAP. n.s.: the interval includes zero."
)
MISSING = "This profile measured no detector: results of other profiles have detection.csv (stage detect)."


def _kept(given: Given) -> list[Findings]:
    quality, shares, gains = given.quality, [], []
    for task, split in quality.sets(given.kind):
        int8, fp32, degraded = (quality.values(task, split, "psnr", s) for s in (QDR, FP32, INPUT))
        if len(int8):
            where = set_label(task, split)
            shares.append((where, *_percent(given.stats.gain_recovery(int8, fp32, np.zeros_like(fp32)))))
            gains.append((where, *_percent(given.stats.gain_recovery(int8, fp32, degraded))))
    return [Findings("Share of PSNR", True, shares), Findings("Share of the gain", True, gains)] if shares else []


def _percent(interval: Interval) -> tuple[str, str]:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} %", f"{low:.1f} to {high:.1f}"


def _brought_back(given: Given) -> list[Findings]:
    """The INT8 EFM on every Jetson whose results were imported."""
    if not (given.folder / "jetson.json").is_file():
        return []
    found: dict[str, list[tuple[str, str, str]]] = {}
    for device, row in imported(given.folder / "jetson.json"):
        if row["precision"] == "int8":
            size, p90 = f"{row['task']} {row['width']}x{row['height']}", f"p90 {row['engine_ms']['p90']:.2f} ms"
            found.setdefault(device_label(device), []).append((size, f"{row['fps']:.0f} FPS", p90))
    return [Findings(device, True, rows) for device, rows in found.items()]


def _timed(given: Given) -> list[Findings]:
    """The INT8 EFM on the processor of the profile."""
    if not (given.folder / "latency.csv").is_file():
        return []
    frame = load(given.folder / "latency.csv", LATENCY)
    frame = frame[(frame["model"] == "efm") & (frame["engine"] == "openvino")]
    frame = frame[frame["precision"] == int8_of(frame)]
    rows = [
        (f"{row['width']}x{row['height']}", f"{row['fps']:.0f} FPS", f"{row['median_ms']:.2f} ms (p90 {row['p90_ms']:.2f})")
        for row in frame.to_dict("records")
    ]
    cpu = read_json(given.folder / "latency.json")["cpu"] if (given.folder / "latency.json").is_file() else "this processor"
    return [Findings(f"{cpu}, {frame['threads'].iloc[0]} threads", True, rows)] if rows else []


def _predicted(given: Given) -> list[Findings]:
    """The profile's own model on the largest and on a small Orin."""
    if not (given.folder / "kernels.csv").is_file():
        return []
    layers = read_kernels(given.folder / "kernels.csv")["base"]
    found = []
    for device in (AGX64, NANO8):
        mode = next(mode for mode in MODES if mode.device == device)
        rows = []
        for side in (256, 512):
            low, mid, high = fps(layers, mode, side * side)
            rows.append((f"{side}x{side}", f"{mid:.0f} FPS", f"{low:.0f} to {high:.0f}"))
        found.append(Findings(f"{device}, {mode.name}", False, rows))
    return found


def _detected(given: Given) -> list[Findings]:
    detection, found = given.detection, []
    for detector in detection.detectors:
        for metric, name in (("ap50_gain", "AP50"), ("ap_gain", "AP")):
            intervals = {task: detection.get(task, detector, "restored", "qdr", metric) for task in detection.tasks}
            rows = [(TASK_LABELS[task], *_points(interval)) for task, interval in intervals.items() if interval is not None]
            found += [Findings(f"{name}, {LABELS[detector]}", True, rows)] if rows else []
    return found


def _points(interval: Interval) -> tuple[str, str]:
    mark = "" if interval.significant else ", n.s."
    return f"{100 * interval.estimate:+.1f}", f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}{mark}"

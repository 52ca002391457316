"""The paper's three claims beside what was measured here.

The claims are those of the abstract of arXiv 2603.09624. It does not say what share of FP32 is meant, which Jetson, at
which size, nor which detector: the remarks say how each is read.
"""

from __future__ import annotations

import numpy as np

from qdr.bench.roofline import AGX64, MODES, NANO8, fps
from qdr.evaluate.stats import Interval
from qdr.report.detection import LABELS
from qdr.report.load import LATENCY, load
from qdr.report.quality import FP32, INPUT, TASK_LABELS, Setting, set_label
from qdr.report.site.parts import Claim, Finding, Given
from qdr.report.tables.jetson import device_label, imported, read_kernels

QDR = Setting("qdr", "W8A8")
DASH = "—"


def claims(given: Given) -> list[Claim]:
    """Quality kept, speed, and what a detector gains; each with what this profile has of it."""
    folder = given.folder
    kept = Claim("96.5 %", "of FP32 is what INT8 keeps", _kept(given), KEPT)
    speed = Claim("442 FPS", "in INT8 on a Jetson Orin", _measured_speed(given) + _predicted_speed(given), SPEED)
    found = _detected(given) if (folder / "detection.csv").is_file() else []
    return [kept, speed, Claim("+16.3 mAP", "for a detector behind the restoration", found, DETECTED if found else MISSING)]


KEPT = (
    "QDR's INT8 engine. Share: mean PSNR over FP32's mean PSNR. Gain: the part of FP32's improvement over the degraded input "
    "that is kept, which a model that does nothing scores 0 in."
)
SPEED = (
    "Nothing here ran on a Jetson. Predictions are for the GPU of a module in its fastest mode, from datasheets, at mid "
    "efficiency (low to high). Measured are the median (and 90th percentile) of the engine alone on this processor."
)
DETECTED = (
    "AP over the same images without restoration, in points of 100, QDR's INT8 engine. AP50: overlap of a half; AP: the mean "
    "from 0.50 to 0.95, which mAP means in COCO. n.s.: the interval includes zero."
)
MISSING = "This profile measured no detector: results of other profiles have detection.csv (stage detect)."


def _kept(given: Given) -> list[Finding]:
    quality, findings = given.quality, []
    for task, split in quality.sets(given.kind):
        int8, fp32, degraded = (quality.values(task, split, "psnr", s) for s in (QDR, FP32, INPUT))
        if not len(int8):
            continue
        share = given.stats.gain_recovery(int8, fp32, np.zeros_like(fp32))
        gain = given.stats.gain_recovery(int8, fp32, degraded)
        where = set_label(task, split)
        findings.append(Finding(f"{where}: share of PSNR", *_percent(share), True))
        findings.append(Finding(f"{where}: share of the gain", *_percent(gain), True))
    return findings


def _percent(interval: Interval) -> tuple[str, str]:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} %", f"{low:.1f} to {high:.1f}"


def _measured_speed(given: Given) -> list[Finding]:
    """INT8 EFM on this processor, and on every Jetson that was brought back."""
    findings = []
    if (given.folder / "jetson.json").is_file():
        for device, row in imported(given.folder / "jetson.json"):
            if row["precision"] == "int8":
                what = f"{device_label(device)}, {row['height']}x{row['width']}"
                times = row["engine_ms"]
                findings.append(Finding(what, f"{row['fps']:.0f} FPS", f"p90 {times['p90']:.2f} ms", True))
    if (given.folder / "latency.csv").is_file():
        frame = load(given.folder / "latency.csv", LATENCY)
        rows = frame[(frame["model"] == "efm") & (frame["engine"] == "openvino") & (frame["precision"] == "int8")]
        for row in rows.to_dict("records"):
            what = f"This processor, {row['threads']} threads, {row['height']}x{row['width']}"
            times = f"{row['median_ms']:.2f} ms, p90 {row['p90_ms']:.2f} ms"
            findings.append(Finding(what, f"{row['fps']:.0f} FPS", times, True))
    return findings


def _predicted_speed(given: Given) -> list[Finding]:
    """The profile's own model on the largest and on a small Orin, at the sizes of the prediction's first two columns."""
    if not (given.folder / "kernels.csv").is_file():
        return []
    layers = read_kernels(given.folder / "kernels.csv")["base"]
    findings = []
    for device in (AGX64, NANO8):
        mode = next(mode for mode in MODES if mode.device == device)
        for side in (256, 512):
            low, mid, high = fps(layers, mode, side * side)
            findings.append(Finding(f"{device}, {mode.name}, {side}x{side}", f"{mid:.0f} FPS", f"{low:.0f} to {high:.0f}", False))
    return findings


def _detected(given: Given) -> list[Finding]:
    detection, findings = given.detection, []
    for task in detection.tasks:
        for detector in detection.detectors:
            for metric, name in (("ap50_gain", "AP50"), ("ap_gain", "AP")):
                interval = detection.get(task, detector, "restored", "qdr", metric)
                if interval is not None:
                    what = f"{TASK_LABELS[task]}, {LABELS[detector]}: {name}"
                    mark = "" if interval.significant else ", n.s."
                    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}{mark}"
                    findings.append(Finding(what, f"{100 * interval.estimate:+.1f}", ends, True))
    return findings

"""The verdict: what the paper's abstract says (arXiv 2603.09624), what this profile measured, and whether it holds.

The abstract does not say which share of FP32 is meant, which Jetson at which size, nor which detector; here the share is
that of FP32's gain over the degraded input, of which a model that does nothing keeps 0 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdr.rows import read_json
from qdr.suite.bench.roofline import AGX64, MODES, NANO8, fps
from qdr.suite.evaluate.stats import Interval
from qdr.suite.report.detection import LABELS
from qdr.suite.report.load import LATENCY, int8_of, load
from qdr.suite.report.quality import FP32, INPUT, Setting, label, seeds, span
from qdr.suite.report.results import Results, set_name
from qdr.suite.report.tables.jetson import device_label, imported, read_kernels

QDR, QAT = Setting("qdr", "W8A8"), Setting("qat", "W8A8")
SHARE = 0.965


@dataclass(frozen=True)
class Claim:
    """What the paper says, what there is of it here, in a word whether it holds, and what that rests on."""

    said: str
    here: str
    verdict: str
    basis: str


def claims(results: Results) -> list[Claim]:
    """Quality kept, distillation against plain QAT, speed, and what a detector gains."""
    return [*_quality(results), _speed(results), _detection(results)]


def _quality(results: Results) -> list[Claim]:
    quality, stats = results.quality, results.stats
    sets = [where for where in results.sets if len(quality.values(*where, "psnr", QDR))]
    said = ("INT8 keeps 96.5 % of FP32's quality", "Distilling at the bottleneck beats plain QAT")
    if not sets:
        return [Claim(text, "no QDR at W8A8 in this profile", "not measured", "") for text in said]
    basis = f"{span(len(quality.values(*where, 'psnr', QDR)) for where in sets)} images per set, {seeds(quality.frame)}"
    kept: dict[str, list[float]] = {}
    for method in ("qdr", "qat", "ptq"):
        for where in sets:
            values = quality.values(*where, "psnr", Setting(method, "W8A8"))
            if len(values):
                fp32, degraded = (quality.values(*where, "psnr", s) for s in (FP32, INPUT))
                kept.setdefault(method, []).append(stats.gain_recovery(values, fp32, degraded).estimate)
    ranges = [f"{label(method)} {_ends([100 * share for share in shares], '.1f')} %" for method, shares in kept.items()]
    low = [set_name(*where) for where, share in zip(sets, kept["qdr"], strict=True) if share < SHARE]
    all_hold = all(share >= SHARE for shares in kept.values() for share in shares)
    verdict = "holds, whatever the method" if all_hold else _of(len(sets) - len(low), len(sets))
    here = f"of FP32's gain over the input: {'; '.join(ranges)}" + (
        f"; below {100 * SHARE} % on {', '.join(low)}" if low else ""
    )
    found = [
        (where, stats.difference(*(quality.values(*where, "psnr", s) for s in (QDR, QAT))))
        for where in sets
        if len(quality.values(*where, "psnr", QAT))
    ]
    return [Claim(said[0], here, verdict, basis), _against_qat(said[1], found, basis)]


def _against_qat(said: str, found: list[tuple[tuple[str, str], Interval]], basis: str) -> Claim:
    better = sum(each.significant and each.estimate > 0 for _, each in found)
    worse = sum(each.significant and each.estimate < 0 for _, each in found)
    each = "; ".join(f"{set_name(*where)} {x.estimate:+.2f} [{x.low:+.2f}, {x.high:+.2f}]" for where, x in found)
    here = f"QDR minus QAT in dB: {each}. Significantly better on {better}, worse on {worse} of {len(found)} sets"
    if better == len(found):
        verdict = "holds"
    else:
        counts = [f"{word} on {number}" for word, number in (("better", better), ("worse", worse)) if number]
        verdict = f"{', '.join(counts)} of {len(found)}" if counts else "open"
    return Claim(said, here, verdict, basis)


def _speed(results: Results) -> Claim:
    said, parts, verdict = "442 frames per second in INT8 on a Jetson Orin", [], "not measured"
    if results.has("jetson.json"):
        for device, row in imported(results.folder / "jetson.json"):
            if row["precision"] == "int8":
                verdict = "measured"
                parts.append(f"{row['fps']:.0f} at {row['width']}x{row['height']} on {device_label(device)}")
    if verdict != "measured" and results.has("kernels.csv"):
        layers = read_kernels(results.folder / "kernels.csv")["base"]
        modes = [next(mode for mode in MODES if mode.device == device) for device in (AGX64, NANO8)]
        ranges = [(mode.device, *fps(layers, mode, 512 * 512)) for mode in modes]
        predicted = ", ".join(f"{device} {low:.0f} to {high:.0f}" for device, low, _, high in ranges)
        parts.append(f"no Jetson was at hand; predicted at 512x512: {predicted}")
    basis = ""
    if results.has("latency.csv"):
        frame = load(results.folder / "latency.csv", LATENCY)
        frame = frame[(frame["model"] == "efm") & (frame["engine"] == "openvino")]
        frame = frame[frame["height"] == frame["height"].iloc[0]]
        rows = {str(row["precision"]): row for row in frame.to_dict("records")}
        int8, fp32 = rows[int8_of(frame)], rows["fp32"]
        ratio, size = fp32["median_ms"] / int8["median_ms"], f"{int8['width']}x{int8['height']}"
        parts.append(f"on the processor here {int8['fps']:.0f} at {size}, {ratio:.1f} times FP32")
        cpu = read_json(results.folder / "latency.json")["cpu"] if results.has("latency.json") else "a processor"
        basis = f"{cpu}, OpenVINO, {int8['threads']} threads, median of {int8['calls']} calls"
    return Claim(said, "; ".join(parts), verdict, basis)


def _detection(results: Results) -> Claim:
    said = "A detector behind the restoration gains 16.3 mAP"
    if not results.has("detection.csv"):
        return Claim(said, "no detector in this profile", "not measured", "")
    detection, parts, all_found = results.detection, [], []
    for detector in detection.detectors:
        found = [
            detection.get(task, detector, "restored", "qdr", "ap_gain")
            or detection.get(task, detector, "restored", "qdr", "ap50_gain")
            for task in detection.tasks
        ]
        gains = [each for each in found if each is not None]
        all_found += gains
        parts.append(f"{LABELS[detector]} {_ends([100 * each.estimate for each in gains], '+.1f')}")
    better = sum(each.significant and each.estimate > 0 for each in all_found)
    worse = sum(each.significant and each.estimate < 0 for each in all_found)
    count = len(all_found)
    here = f"points of mAP, by task: {'; '.join(parts)}. Significantly better in {better}, worse in {worse} of {count} cases"
    return Claim(said, here, f"gains in {better} of {count} cases", f"{detection.images} images, first seed")


def _ends(values: list[float], form: str) -> str:
    """The smallest and the largest of some numbers.

    >>> _ends([1.25, 3.0, 2.0], ".1f")
    '1.2 to 3.0'
    """
    found = sorted(values)
    return " to ".join(dict.fromkeys(format(value, form) for value in (found[0], found[-1]))) if found else "none"


def _of(holds: int, count: int) -> str:
    """On how many sets a claim holds.

    >>> _of(4, 4), _of(1, 4), _of(0, 4)
    ('holds', 'holds on 1 of 4 sets', 'does not hold')
    """
    return "holds" if holds == count else f"holds on {holds} of {count} sets" if holds else "does not hold"

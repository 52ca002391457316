"""What methods keep of FP32's quality, on how many training images, and what a detector makes of it."""

from __future__ import annotations

from qdr.suite.report.detection import LABELS, METHODS
from qdr.suite.report.quality import FP32, INPUT, TASK_LABELS, Quality, Setting, count, label, seeds, span
from qdr.suite.report.results import Results, set_name
from qdr.suite.report.style import Drawing, colour, interval, legend, panels

COMPARED = tuple(
    Setting(name, "FP32" if name == "fp32-tuned" else "W8A8")
    for name in ("fp32-tuned", "ptq", "qat", "qat-kd-decoder", "qdr")
)
FEW_BITS = "W4A4"


def recovery(results: Results) -> Drawing:
    """A panel per test set: PSNR minus FP32's with its interval, on one scale, and the share of the gain that is kept."""
    quality, stats, sets = results.quality, results.stats, results.sets
    shown = [s for s in COMPARED if any(len(quality.values(*where, "psnr", s)) for where in sets)]
    figure, axes = panels(1, len(sets), 0.75 + 0.27 * len(shown), sharex=True, sharey=True)
    counts = []
    for axis, where in zip(axes[0], sets, strict=True):
        fp32, degraded = (quality.values(*where, "psnr", s) for s in (FP32, INPUT))
        counts.append(len(fp32))
        axis.axvline(0, color=colour("fp32"), linewidth=0.8)
        for place, setting in enumerate(shown):
            values = quality.values(*where, "psnr", setting)
            if not len(values):
                continue
            by_seed, base = (quality.by_seed(*where, "psnr", s) for s in (setting, INPUT))
            own = quality.teachers(*where, "psnr", setting)
            found, kept = stats.difference(by_seed, own), stats.gain_recovery(by_seed, own, base)
            interval(axis, found.estimate, place, found, setting.method)
            text = f"{100 * kept.estimate:.1f} %"
            white = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
            axis.annotate(
                text, (found.estimate, place), (0, 5), textcoords="offset points", ha="center", fontsize=6, bbox=white
            )
        title = f"{set_name(*where).replace(', ', chr(10))}\nFP32 {(fp32 - degraded).mean():+.1f} dB\nn = {len(fp32)}"
        axis.set_title(title, fontsize=7)
        axis.grid(False, axis="y")
        axis.margins(x=0.12)
    axes[0][0].set_yticks(range(len(shown)), [label(s.method) + (" INT8" if s.bits == "W8A8" else "") for s in shown])
    axes[0][0].set_ylim(len(shown) - 0.6, -0.7)
    figure.supxlabel("PSNR minus FP32's (dB)", fontsize=7.5)
    return Drawing(
        figure,
        "PSNR of each method minus that of the FP32 model, measured on the 8-bit output of the exported engines; all panels "
        f"have one scale. Bars: {results.level} paired t intervals over n images; {seeds(quality.frame)}. Numbers: "
        "the share of FP32's gain over the degraded input (in the title) that is kept; doing nothing keeps 0 %.",
    )


def few_images(results: Results) -> Drawing | None:
    """A panel per task with at least three numbers of training images: PSNR minus FP32's, a line per method."""
    quality, stats = results.quality, results.stats
    settings = _few(quality)
    if not settings:
        return None
    figure, axes = panels(1, len(settings), 2.2, sharey=True)
    tests = []
    for axis, (task, listed) in zip(axes[0], settings.items(), strict=True):
        where = (task, quality.real(task)[0])
        fp32 = quality.by_seed(*where, "psnr", FP32)
        tests.append(fp32.shape[1])
        numbers = sorted({s.images for s in listed}, key=count)
        methods = list(dict.fromkeys(s.method for s in listed))
        axis.axhline(0, color=colour("fp32"), linewidth=0.8)
        for place, method in enumerate(methods):
            points = sorted((s for s in listed if s.method == method), key=lambda s: count(s.images))
            x = [numbers.index(s.images) + 0.1 * (place - (len(methods) - 1) / 2) for s in points]
            found = [stats.difference(quality.by_seed(*where, "psnr", s), fp32) for s in points]
            axis.plot(x, [f.estimate for f in found], color=colour(method), linewidth=1)
            for at, each in zip(x, found, strict=True):
                interval(axis, at, each.estimate, each, method, vertical=True, capsize=1, label=label(method))
        axis.set_xticks(range(len(numbers)), numbers)
        axis.set(title=set_name(*where), xlabel="training images")
        axis.margins(x=0.08)
    axes[0][0].set_ylabel(f"PSNR of {FEW_BITS} minus FP32's (dB)")
    legend(figure)
    shown = quality.frame[(quality.frame["bits"] == FEW_BITS)]
    return Drawing(
        figure,
        f"{FEW_BITS} models trained on few images, against the FP32 model trained on all (0 dB); one scale. Bars: "
        f"{results.level} paired t intervals over {span(tests)} test images; {seeds(shown)}.",
    )


def _few(quality: Quality) -> dict[str, list[Setting]]:
    """Per task with three numbers of images or more, the settings of the methods that were trained on few in every task."""
    settings = {task: quality.settings(task, (FEW_BITS,)) for task in quality.tasks if quality.real(task)}
    settings = {task: found for task, found in settings.items() if len({s.images for s in found}) > 2}
    few = [{s.method for s in found if s.images != "all"} for found in settings.values()]
    return {task: [s for s in found if s.method in set.intersection(*few)] for task, found in settings.items()}


def detection(results: Results) -> Drawing | None:
    """A row per detector, a column per task: AP50 of degraded and of restored images; dashed: of the clean ones."""
    if not results.has("detection.csv"):
        return None
    found = results.detection
    figure, axes = panels(
        len(found.detectors), len(found.tasks), 0.6 + 1.15 * len(found.detectors), sharex=True, sharey=True
    )
    shown = {"input": "degraded", **dict.fromkeys(METHODS, "restored")}
    for row, detector in zip(axes, found.detectors, strict=True):
        for axis, task in zip(row, found.tasks, strict=True):
            for place, (method, condition) in enumerate(shown.items()):
                value = found.get(task, detector, condition, method)
                if value is not None:
                    interval(axis, place, 100 * value.estimate, value, method, scale=100, vertical=True)
            clean = found.get(task, detector, "clean")
            if clean is not None:
                axis.axhline(100 * clean.estimate, color="black", linewidth=0.8, linestyle="--")
            axis.set_title(TASK_LABELS[task] if detector == found.detectors[0] else "")
            axis.set_xticks(range(len(shown)), ["input", *(label(name).removesuffix(" (LSQ)") for name in METHODS)])
            axis.set_xlim(-0.5, len(shown) - 0.5)
            axis.grid(False, axis="x")
        row[0].set_ylabel(f"{LABELS[detector]}\nAP50 (points)")
    own = found.detectors == ["centre"]
    return Drawing(
        figure,
        f"What a detector finds in {found.images} {'scenes with objects' if own else 'photographs of Pascal VOC 2012'}: "
        "AP50 in the degraded input and after restoration by FP32 and by INT8 engines (PTQ, QAT, QDR); dashed: in the clean "
        f"images. Bars: {results.level} bootstrap intervals over images; first seed.",
    )

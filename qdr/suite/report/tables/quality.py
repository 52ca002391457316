"""The quality tables: every task and method, the README's, the ablation, few bits, and ranks.

Each states the paired difference to a reference with its interval. A best value is set in bold only where its paired
interval against every other integer method of the task excludes zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdr.errors import QdrError
from qdr.metrics.recovery import psnr_ratio
from qdr.suite.config import BITS, SCENES
from qdr.suite.evaluate import SHOWN
from qdr.suite.evaluate.stats import Interval, Paired
from qdr.suite.report.quality import (
    FP32,
    INPUT,
    PHOTOS,
    REAL,
    Quality,
    Setting,
    Values,
    label,
    plain_qat,
    seeds,
    set_label,
    span,
    teacher,
)
from qdr.suite.report.tables.table import NOT_SIGNIFICANT, Bold, Note, Table, brackets, show as show, tested

QUANTIZED = tuple(bits for bits in BITS if bits != "FP32")
KINDS = {
    PHOTOS: "real photographs, never seen in training, with synthetic degradation",
    REAL: "real pairs of public test sets (cbsd68: clean photographs with white noise of sigma 25)",
    SCENES: "held-out procedural scenes",
}
BOLD = "Bold: the best integer method of its task, where its paired interval against every other one excludes zero."
RATIO = Note("PSNR ratio: P / P_fp32.", "PSNR ratio")
RECOVERY = (
    "Gain recovery: (P - P_input) / (P_fp32 - P_input); a model that does nothing keeps 0. FP32 is the model that the "
    "method starts from, and Δ is to plain QAT of that model."
)
PARTS = {  # what a method of the ablation changes
    "qdr-no-dfd": "- DFD: distillation at every level, decoder included, instead of at the bottleneck alone.",
    "qdr-no-lmr": "- LMR: fixed weight.",
    "qdr-no-ldg": (
        "- LDG: the EFM without gates, quantized with its own FP32 teacher. Each teacher has one seed: what - LDG changes "
        "is not separated from what another seed would."
    ),
}
ENDS = "WxAy: x-bit weights, y-bit activations; below 8 bits the image, the first and the last layer keep 8"
WEIGHTS = ", in W7A8 no weight does, so that no processor's integer products overflow"
FAKE = "No engine here executes activations of fewer than 8 bits: they are measured by fake quantization and named so."


@dataclass(frozen=True)
class View:
    """The rows of one task and split, and how intervals are taken."""

    quality: Quality
    task: str
    split: str
    stats: Paired

    def values(self, setting: Setting, metric: str = "psnr") -> Values:
        """One value per image."""
        return self.quality.values(self.task, self.split, metric, setting)

    def by_seed(self, setting: Setting) -> Values:
        """PSNR, [seeds, images]."""
        return self.quality.by_seed(self.task, self.split, "psnr", setting)

    def start(self, setting: Setting) -> list[str]:
        """Task, method, bits and engine."""
        where = set_label(self.task, self.split)
        if setting == INPUT:
            return [where, label("input"), "—", "—"]
        return [where, label(setting.method), setting.bits, self.quality.engine(self.task, setting)]

    def means(self, setting: Setting) -> list[str]:
        """Mean PSNR and SSIM.

        Raises:
            QdrError: when one was not measured.
        """
        found = {metric: self.values(setting, metric) for metric in ("psnr", "ssim")}
        if lacking := [metric for metric, values in found.items() if not len(values)]:
            what = f"{lacking[0]} of {setting.method} {setting.bits}, {setting.images} images"
            raise QdrError(f"quality.csv has no {what}, on {self.split} of task {self.task!r}: run `dvc repro`")
        return [f"{found['psnr'].mean():.2f}", f"{found['ssim'].mean():.4f}"]

    def recovery(self, setting: Setting) -> str:
        """Gain recovery against its own FP32 model, with its interval; 0 and 1 by definition for the input and that one."""
        if setting == INPUT:
            return "0"
        if setting == teacher(setting.method):
            return "1"
        fp32 = self.quality.teachers(self.task, self.split, "psnr", setting)
        return show(self.stats.gain_recovery(self.by_seed(setting), fp32, self.by_seed(INPUT)), 3)

    def against(self, setting: Setting, reference: Setting) -> str | Interval:
        """Paired PSNR difference to a reference, with its interval; a dash where there is no other reference."""
        base = self.by_seed(reference)
        return "—" if setting == reference or not len(base) else self.stats.difference(self.by_seed(setting), base)

    def best(self, listed: list[Setting]) -> Setting | None:
        """The setting that is significantly ahead of all others, if there is one."""
        top = max(listed, key=lambda setting: float(self.values(setting).mean()), default=None)
        if top is None:
            return None
        rivals = [setting for setting in listed if setting != top]
        ahead = all(self.stats.difference(self.by_seed(top), self.by_seed(rival)).significant for rival in rivals)
        return top if ahead else None


def main_table(quality: Quality, kind: str, stats: Paired) -> Table:
    """Test sets of a kind x methods at FP32 and W8A8."""
    header = ["Task", "Method", "Bits", "Engine", "PSNR (dB)", "SSIM", "PSNR ratio", "Gain recovery", "Δ PSNR to QAT (dB)"]
    rows: list[list[str | Interval]] = []
    for task, split in quality.sets(kind):
        view = View(quality, task, split, stats)
        listed = [s for s in quality.settings(task, ("FP32", "W8A8")) if s.images == "all" and "-no-" not in s.method]
        best = view.best([s for s in listed if s.bits == "W8A8"])
        rows += [[]] if rows else []
        for setting in listed:
            psnr, ssim = view.means(setting)
            own = FP32 if setting == INPUT else teacher(setting.method)
            ratio = psnr_ratio(float(view.values(setting).mean()), float(view.values(own).mean()))
            last = view.against(setting, plain_qat(setting)) if setting.bits == "W8A8" else "—"
            psnr = Bold(psnr) if setting == best else psnr
            rows.append([*view.start(setting), psnr, ssim, f"{100 * ratio:.1f} %", view.recovery(setting), last])
    name = "main-scenes" if kind == SCENES else "main"
    notes = [BOLD] if any(isinstance(cell, Bold) for row in rows for cell in row) else []
    caption, printed = _caption("Restoration quality", quality, kind, stats), [c for c in header if c != "PSNR ratio"]
    return Table(name, caption, header, tested(rows, stats.confidence, 3), [*notes, RATIO, RECOVERY], {"": printed})


def summary_table(quality: Quality, kind: str, stats: Paired) -> Table:
    """A line per test set, for the README: PSNR of the main methods and what QDR's INT8 engine keeps."""
    shown = [INPUT, FP32, Setting("fp32-tuned", "FP32"), *(Setting(m, bits) for m, bits in SHOWN.items() if bits != "FP32")]
    header = ["Task", *(label(s.method) + (" INT8" if s.bits == "W8A8" else "") for s in shown), "QDR gain recovery"]
    rows = []
    for task, split in quality.sets(kind):
        view = View(quality, task, split, stats)
        rows.append([set_label(task, split), *(view.means(s)[0] for s in shown), view.recovery(Setting("qdr", "W8A8"))])
    notes = [note for where in quality.sets(kind) if (note := _habit(quality, *where, shown))]
    return Table("summary", _caption("PSNR (dB)", quality, kind, stats, tests=False), header, rows, notes)


def _habit(quality: Quality, task: str, split: str, shown: list[Setting]) -> str | None:
    """The same models under the protocol that the field uses for this set."""
    name = quality.habit(task, split)
    if name is None:
        return None
    means = ", ".join(f"{label(s.method)} {quality.values(task, split, 'psnr', s, name).mean():.2f}" for s in shown)
    return f"{set_label(task, split)} in {name}, as the field prints it: {means} dB."


def ablation_table(quality: Quality, kind: str, stats: Paired) -> Table:
    """QDR and what each part contributes, at W8A8."""
    header = ["Task", "Method", "Bits", "Engine", "PSNR (dB)", "SSIM", "Gain recovery", "Δ PSNR to QDR (dB)"]
    reference = Setting("qdr", "W8A8")
    rows: list[list[str | Interval]] = []
    for task, split in quality.sets(kind):
        view = View(quality, task, split, stats)
        parts = [s for s in quality.settings(task, ("FP32", "W8A8")) if "-no-" in s.method]
        rows += [[]] if rows and parts else []
        for setting in [Setting("qat", "W8A8"), reference, *parts] if parts else []:
            last = view.against(setting, reference) if setting.bits == "W8A8" else "—"
            rows.append([*view.start(setting), *view.means(setting), view.recovery(setting), last])
    shown = {cell for row in rows for cell in row[1:2]}
    note = " ".join(words for method, words in PARTS.items() if label(method) in shown)
    return Table(
        "ablation",
        _caption("Ablation", quality, kind, stats),
        header,
        tested(rows, stats.confidence, 3),
        [note] if note else [],
    )


def low_bit_table(quality: Quality, kind: str, stats: Paired) -> Table:
    """Fewer than 8 bits, and few training images."""
    header = ["Task", "Method", "Bits", "Engine", "Training images", "Seeds", "PSNR (dB)", "Gain recovery"]
    header.append("Δ PSNR to QAT (dB)")
    rows: list[list[str | Interval]] = []
    for task, split in quality.sets(kind):
        view = View(quality, task, split, stats)
        listed = [s for s in quality.settings(task, QUANTIZED) if s.bits != "W8A8" or s.images != "all"]
        rows += [[]] if rows and listed else []
        for setting in listed:
            seeds = quality.seeds(task, split, "psnr", setting)
            spread = f" ± {(seeds.max() - seeds.min()) / 2:.2f}" if len(seeds) > 1 else ""
            last = view.against(setting, plain_qat(setting))
            cells = [*view.start(setting), setting.images, str(len(seeds)), view.means(setting)[0] + spread]
            rows.append([*cells, view.recovery(setting), last])
    shown = {cell for row in rows for cell in row if isinstance(cell, str)}
    notes = [ENDS + (WEIGHTS if "W7A8" in shown else "") + "."] + ([FAKE] if "fake-quant" in shown else [])
    notes += ["± is half the range over seeds."] if any("±" in cell for cell in shown) else []
    name = "low-bit-scenes" if kind == SCENES else "low-bit"
    caption, printed = _caption("Few bits, few images", quality, kind, stats), [c for c in header if c != "Seeds"]
    return Table(name, caption, header, tested(rows, stats.confidence, 3), notes, {"": printed})


def _caption(title: str, quality: Quality, kind: str, stats: Paired, tests: bool = True) -> str:
    sets = quality.sets(kind)
    frame = quality.frame[quality.frame["split"].isin([split for _, split in sets])]
    what = KINDS[PHOTOS if all(split == PHOTOS for _, split in sets) else kind]
    count = span(int(images) for images in frame.groupby(["task", "split"])["image"].nunique())
    protocols, profiles = "/".join(sorted(set(frame["protocol"]))), "/".join(sorted(set(frame["profile"])))
    over = "images" if seeds(frame).startswith("1 seed ") else "images and seeds"
    unit = "task" if len(sets) == len(quality.tasks) else "test set"
    return (
        f"{title}: {what}, {count} images per {unit}, {seeds(frame)}, protocol {protocols}, profile {profiles}; "
        f"{brackets(stats.confidence, over)}{NOT_SIGNIFICANT if tests else ''}."
    )

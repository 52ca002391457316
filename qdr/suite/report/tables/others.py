"""The tables beside quality: ranking, sensitivity, parity of engines, measurement protocols, latency."""

from __future__ import annotations

from pathlib import Path

from qdr.metrics.protocol import PROTOCOLS
from qdr.rows import read_json
from qdr.suite.evaluate.gates import GATE_MEAN_LEVEL, GATE_PSNR_DB, level_gate
from qdr.suite.evaluate.stats import rank
from qdr.suite.report.load import LATENCY, LATER, NUMERICS, PARITY, SENSITIVITY, load, read_jetson
from qdr.suite.report.metrics import speed_ups
from qdr.suite.report.quality import TASK_LABELS, Quality, label, seeds, span
from qdr.suite.report.tables.jetson import device_label, imported
from qdr.suite.report.tables.table import BLANK, RULE, Note, Table


def parity_table(path: Path) -> Table:
    """Engines against fake quantization, per task, method and engine; engines that are wrong have dashes."""
    frame = load(path, PARITY)
    verdicts = path.with_name("numerics.csv")
    judged = load(verdicts, NUMERICS) if verdicts.is_file() else None
    wrong = judged[judged["verdict"] == "wrong"] if judged is not None else frame.iloc[:0]
    header = ["Task", "Method", "Bits", "Engine", "Images", "Mean Δ PSNR (dB)", "Largest (dB)"]
    header += ["Max level", "Mean level", "Gate"]
    rows: list[list[str]] = []
    for task in TASK_LABELS:
        part = frame[frame["task"] == task]
        rows += [RULE] if rows and len(part) else []
        for (method, bits, engine), group in part.groupby(["method", "bits", "engine"], sort=False):
            mean, worst = group["delta_psnr_db"].mean(), group["delta_psnr_db"].abs().max()
            level, average = int(group["max_level"].max()), group["mean_level"].max()
            passed = abs(mean) <= GATE_PSNR_DB and average <= level_gate(str(method))
            cells = [TASK_LABELS[task], label(str(method)), str(bits), str(engine), str(len(group))]
            cells += [f"{mean:+.5f}", f"{worst:.5f}"]
            rows.append([*cells, str(level), f"{average:.4f}", "pass" if passed else "FAIL"])
        for row in wrong[wrong["task"] == task].to_dict("records"):
            cells = [TASK_LABELS[task], label(str(row["method"])), str(row["bits"]), str(row["engine"])]
            rows.append([*cells, *[BLANK] * 5, "wrong, not used"])
    caption = f"Parity of the engines with the fake quantization of training, on their 8-bit output; {seeds(frame)}."
    gate = f"Gate: |mean Δ PSNR| ≤ {GATE_PSNR_DB} dB and mean level ≤ {GATE_MEAN_LEVEL} on every image."
    notes = [gate, "Max level: of any pixel. Mean level: the largest over images."]
    if len(wrong):
        mean, high = wrong["mean_level"].max(), wrong["high_level"].max()
        notes.append(
            f"Wrong: it computes something else than the file says on this processor (up to {mean:.1f} grey levels off "
            f"on average, {high:.0f} at the worst pixels of the file's probe)."
        )
    if (frame["mean_level"] > GATE_MEAN_LEVEL).any():
        notes.append(
            "Of networks that were not made for integer engines only the PSNR is gated (`qdr/suite/evaluate/parity.py`)."
        )
    return Table("parity", caption, header, rows, notes, {"": [*header[:4], header[5], *header[7:]]})


def sensitivity_table(path: Path) -> Table:
    """One layer at a time: the ten most harmful ones per scheme."""
    frame = load(path, SENSITIVITY)
    header = ["Task", "Scheme", "Layer", "What", "Bits", "SQNR (dB)", "PSNR lost (dB)"]
    rows: list[list[str]] = []
    for scheme in dict.fromkeys(frame["bits"]):
        worst = frame[frame["bits"] == scheme].sort_values("psnr_drop_db", ascending=False, kind="stable").head(10)
        rows += [RULE] if rows else []
        for row in worst.to_dict("records"):
            cells = [TASK_LABELS[str(row["task"])], str(row["bits"]), str(row["layer"]), str(row["kind"]), str(row["width"])]
            rows.append([*cells, f"{row['sqnr_db']:.1f}", f"{row['psnr_drop_db']:+.4f}"])
    caption = "Sensitivity: one layer quantized after training, all others FP32; the ten that lose most, validation scenes."
    return Table("sensitivity", caption, header, rows, ["SQNR: of what the network adds to the image."])


def ranking_table(quality: Quality, kind: str, confidence: float) -> Table:
    """Mean ranks over all images of all tasks, per width and number of training images."""
    header = ["Bits", "Training images", "Method", "Mean rank", "Behind the best", "Blocks", "p (Friedman)"]
    rows: list[list[str]] = []
    notes = []
    for bits, images in quality.comparisons():
        values = quality.blocks(kind, bits, images)
        if len(values) < 3:
            continue
        found = rank(values, confidence)
        best, count = min(found.ranks.values()), len(next(iter(values.values())))
        rows += [RULE] if rows else []
        for method, mean in found.ranks.items():
            gap = mean - best
            verdict = BLANK if gap == 0 else f"{gap:.2f}" + ("" if gap > found.critical_difference else " n.s.")
            rows.append([bits, images, label(method), f"{mean:.2f}", verdict, str(count), f"{found.p_value:.2g}"])
        notes.append(f"{bits}, {images} images: critical difference {found.critical_difference:.2f}.")
    caption = (
        "Ranking by PSNR: mean rank over blocks (an image of a task, seeds averaged), methods measured on every task, "
        f"{seeds(quality.frame)}; "
        f"n.s.: less than Nemenyi's critical difference at {100 * confidence:.0f} %."
    )
    return Table("ranking", caption, header, rows, notes)


def protocol_table() -> Table:
    """How images are compared."""
    rows = [
        [p.name, p.colour, "yes" if p.rounded else "no", str(p.border), p.window, p.description] for p in PROTOCOLS.values()
    ]
    caption = "Measurement protocols. Every value is of one 8-bit image; means are over images."
    notes = [
        "PSNR: 10 log10(255² / MSE). SSIM: Wang et al. 2004; gaussian: 11×11, sigma 1.5; uniform: 7×7; valid positions."
    ]
    return Table(
        "protocol", caption, ["Protocol", "Colour", "Rounded", "Border", "SSIM window", "What is compared"], rows, notes
    )


SHORT = (("openvino", "fp32"), ("openvino", "int8"), ("onnxruntime", "int8"), ("onnxruntime", "int8-w7"))


def short_latency_table(latency: Path) -> Table:
    """The EFM at the smallest side in FP32 and in INT8, for the README: the engines that were right on the processor."""
    frame, about = load(latency, LATENCY), read_json(latency.with_suffix(".json"), cpu=str)
    side, faster = min(frame["height"]), speed_ups(frame)
    rows = []
    for engine, precision in SHORT:
        found = frame[(frame["height"] == side) & (frame["model"] == "efm") & (frame["engine"] == engine)]
        for row in found[found["precision"] == precision].to_dict("records"):
            name = {"fp32": "FP32", "int8": "INT8", "int8-w7": "INT8, 7-bit weights"}[precision]
            cells = [f"{row['median_ms']:.1f}", f"{row['fps']:.0f}", f"{faster[side, 'efm', engine, precision]:.2f}×"]
            rows.append([engine, name, *cells])
    flags = " ".join(flag for flag in about.get("cpu_flags", []) if flag in ("avx2", "avx512_vnni", "amx_int8", "asimd"))
    calls = span(int(calls) for calls in frame[frame["height"] == side]["calls"])
    caption = (
        f"Latency of one {side}x{side} image, EFM, engine alone, {frame['threads'].iloc[0]} threads, median of {calls} "
        f"calls: {about['cpu']} ({flags}), commit {str(about.get('git_revision'))[:7]}."
    )
    return Table(
        "latency-short", caption, ["Engine", "Precision", "ms", "Frames per second", "Speed-up over its FP32"], rows[:3]
    )


def latency_table(latency: Path, jetson: Path) -> Table:
    """Milliseconds of every engine, precision and side, and the Jetson's row."""
    frame = load(latency, LATENCY)
    record, about, elsewhere = read_jetson(jetson), read_json(latency.with_suffix(".json"), cpu=str), imported(jetson)
    sides, faster = list(dict.fromkeys(frame["height"].tolist())), speed_ups(frame)
    several, whole, first = len(sides) > 1, LATER[0] in frame, frame.iloc[0]
    header = ["Side"] * several + ["Model", "Engine", "Precision", "Median (ms)", "p90 (ms)", "p99 (ms)", "FPS", "Speed-up"]
    header += ["Peak memory (MiB)"] + ["End to end (ms)", "PSNR to FP32 (dB)"] * whole
    rows: list[list[str]] = []

    def add(side: int, model: str, engine: str, precision: str, *cells: str) -> None:
        found = [*[str(side)] * several, model, engine, precision, *cells]
        rows.append(found + [BLANK] * (len(header) - len(found)))

    for side in sides:
        rows += [RULE] if rows else []
        for row in frame[frame["height"] == side].to_dict("records"):
            case = str(row["model"]), str(row["engine"]), str(row["precision"])
            cells = [f"{row[key]:.2f}" for key in ("median_ms", "p90_ms", "p99_ms")]
            cells += [f"{row['fps']:.0f}", f"{faster[side, *case]:.2f}×", f"{row['peak_rss_mib']:.0f}"]
            cells += [f"{row['end_to_end_median_ms']:.2f}", f"{row['psnr_to_fp32_db']:.1f}"] if whole else []
            add(side, *case, *cells)
    wrong = about.get("wrong", [])
    for side in sides:
        for case in wrong:
            add(side, case["model"], case["engine"], case["precision"])
    notes: list[str] = ["Speed-up: over FP32 in the same engine, same run."]
    if whole:
        notes.append("End to end: the median from 8-bit image to 8-bit image; the other times are of the engine alone.")
        notes.append(Note("PSNR to FP32: of the timed output to the FP32 model's, 100 dB where they are equal.", header[-1]))
    notes += [
        f"{case['engine']} {case['precision']} of {case['model']}: not timed, since it computes something else than the "
        f"file says on this processor ({case['why']})."
        for case in wrong
    ]
    if (frame["precision"] == "int8-w7").any():
        notes.append("int8-w7: weights in 7 bits (W7A8), which no processor's integer products overflow; int8: W8A8.")
    rows.append(RULE)
    for entry in record["rows"] if record["status"] == "built" else []:
        cells = [f"{entry[key]:.2f}" for key in ("median_ms", "p90_ms", "p99_ms")]
        add(first["height"], "efm", f"tensorrt ({record['device']})", entry["precision"], *cells, f"{entry['fps']:.0f}")
    for device, entry in elsewhere:
        if entry["benchmarked"] and entry["height"] == entry["width"] and entry["height"] in sides:
            times, engine = entry["end_to_end_ms"], f"tensorrt ({device_label(device)})"
            cells = [f"{times[key]:.2f}" for key in ("median", "p90", "p99")] + [f"{1000 / times['median']:.0f}"]
            add(entry["height"], "efm", engine, entry["precision"], *cells)
    if elsewhere:
        notes.append("tensorrt: measured on the device named, copies between host and device included.")
    elif record["status"] != "built":
        add(first["height"], "efm", "tensorrt (Jetson)", "int8")
        notes.append(f"Jetson: not built: {record['reason']}.")
    where, calls = " and ".join(f"{side}x{side}" for side in sides), span(int(count) for count in frame["calls"])
    caption = (
        f"Latency at {where}, batch {first['batch']}, {first['threads']} threads: each case in "
        f"its own process, {calls} calls in {first['repeats']} turns after warm-up. CPU: {about['cpu']}."
    )
    left_out = ("p90 (ms)", "FPS", "Peak memory (MiB)", "PSNR to FP32 (dB)")
    return Table("latency", caption, header, rows, notes, {"": [name for name in header if name not in left_out]})

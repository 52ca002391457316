"""The Jetson's tables: what was measured there and brought back, and what is predicted for every Orin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.suite.bench.roofline import BAND, LABEL, MODES, SIZES, TARGET_FPS, Layer, fps, reaches
from qdr.suite.report.load import KERNELS, load, read_jetson
from qdr.suite.report.tables.table import BLANK, RULE, Note, Table

Json = dict[str, Any]


def read_kernels(path: Path) -> dict[str, list[Layer]]:
    """The kernels of every model in results/kernels.csv."""
    frame = load(path, KERNELS)
    columns = ["channels_in", "channels_out", "macs_per_pixel", "bytes_per_pixel", "weight_bytes"]
    return {
        str(model): [Layer(*row) for row in part[columns].itertuples(index=False, name=None)]
        for model, part in frame.groupby("model", sort=False)
    }


def imported(jetson: Path) -> list[tuple[Json, Json]]:
    """Device and row of everything that was brought back."""
    return [(entry["device"], row) for entry in read_jetson(jetson).get("imported", []) for row in entry["rows"]]


def device_label(device: Json) -> str:
    """How tables call a device."""
    return f"{device['model']}, {device['power_mode']}, TensorRT {device['tensorrt']}"


def jetson_table(jetson: Path) -> Table | None:
    """Every case that was measured on a Jetson; None if there is none."""
    found = imported(jetson)
    if not found:
        return None
    header = ["Device", "Power mode", "TensorRT", "L4T", "Task", "Precision", "Size", "Engine median (ms)", "p90 (ms)"]
    header += ["p99 (ms)", "With copies (ms)", "FPS", "Power (W)", "Hottest (°C)", "Max level", "Mean level", "PSNR (dB)"]
    rows: list[list[str]] = []
    last: Json = {}
    for device, row in found:
        rows += [RULE] if rows and device != last else []
        last = device
        engine, accuracy = row["engine_ms"], row["accuracy"]
        rows.append(
            [device["model"], device["power_mode"], device["tensorrt"], device["l4t"], row["task"], row["precision"]]
            + [f"{row['height']}x{row['width']}", *(f"{engine[key]:.3f}" for key in ("median", "p90", "p99"))]
            + [f"{row['end_to_end_ms']['median']:.3f}", f"{row['fps']:.0f}"]
            + [BLANK if row[key] is None else f"{row[key]:.1f}" for key in ("power_w", "hottest_c")]
            + [str(accuracy["max_level"]), f"{accuracy['mean_level']:.3f}", f"{accuracy['psnr_db']:.1f}"]
        )
    caption = "Measured on a Jetson with the bundle's script, batch 1, a photograph as input; FPS of the engine alone."
    note = "Levels and PSNR: against the reference in the bundle (INT8: OpenVINO's INT8; FP32, FP16: its FP32), worst image."
    case = ["Device", "Task", "Precision", "Size"]
    parts = {"": [*case, "Engine median (ms)", "p99 (ms)", "With copies (ms)", "FPS"], "accuracy": [*case, *header[-3:]]}
    parts["device"] = [*header[:6], "Power (W)", "Hottest (°C)"]
    return Table("jetson", caption, header, rows, [Note(note, *header[-3:])], parts)


def prediction_table(layers: dict[str, list[Layer]], model: str) -> Table:
    """Predicted FPS of one model in every power mode of every Orin, low to high efficiency."""
    header = ["Module", "Mode", "GPU (dense TOPS)", "DLA (dense TOPS)", "Memory (GB/s)", *(f"FPS {w}x{h}" for h, w in SIZES)]
    rows: list[list[str]] = []
    if model not in layers:
        raise QdrError(f"kernels.csv has no model {model!r}: run `dvc repro kernels`")
    for number, mode in enumerate(MODES):
        rows += [RULE] if number and mode.device != MODES[number - 1].device else []
        cells = [mode.device, mode.name, f"{mode.gpu_tops:.1f}", f"{mode.dla_tops:.1f}" if mode.dlas else BLANK]
        cells.append(f"{mode.bandwidth:.1f}")
        for height, width in SIZES:
            low, mid, high = fps(layers[model], mode, height * width)
            cells.append(f"{mid:.0f} ({low:.0f} to {high:.0f})")
        rows.append(cells)
    caption = (
        f"{LABEL}: frames per second of the INT8 EFM ({model}) on the GPU of Jetson Orin, one image at a time, no copies."
    )
    notes = [_assumptions(), "FPS: at mid efficiency (low to high)."]
    notes.append(Note("The DLAs add nothing here: the bundle builds for the GPU.", header[3]))
    return Table("jetson-prediction", caption, header, rows, notes, {"": [name for name in header if name != header[3]]})


def target_table(layers: dict[str, list[Layer]]) -> Table:
    """Which model reaches the target on which Orin at which size."""
    header = ["Module", "Mode", "Model", *(f"{width}x{height}" for height, width in SIZES)]
    rows: list[list[str]] = []
    for number, mode in enumerate(MODES):
        rows += [RULE] if number and mode.device != MODES[number - 1].device else []
        for model, listed in layers.items():
            answers = [reaches(*fps(listed, mode, height * width)) for height, width in SIZES]
            rows.append([mode.device, mode.name, model, *answers])
    caption = f"{LABEL}: does the INT8 EFM reach {TARGET_FPS:.0f} frames per second on the GPU of Jetson Orin?"
    meaning = "yes: even at low efficiency; likely: at mid; perhaps: at high efficiency only; no: not even then."
    return Table("jetson-442", caption, header, rows, [meaning, _assumptions(), _sizes(layers)])


def _assumptions() -> str:
    named = "; ".join(
        f"{e.name}: {100 * e.compute:.0f} % of compute, {100 * e.memory:.0f} % of bandwidth, {e.launch_us:g} µs per kernel"
        for e in BAND
    )
    return f"Efficiency {named}. Sources and calibration: docs/jetson.md."


def _sizes(layers: dict[str, list[Layer]]) -> str:
    pixels = SIZES[0][0] * SIZES[0][1]
    work = (f"{name} {sum(x.macs_per_pixel for x in listed) * pixels / 1e9:.2f}" for name, listed in layers.items())
    return f"GMAC at {SIZES[0][1]}x{SIZES[0][0]}: {', '.join(work)}."

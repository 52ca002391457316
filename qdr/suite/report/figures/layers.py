"""Inside the network: gradients while training, where errors grow, what the gates follow, which layers mind few bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from PIL import Image

from qdr.images.pairs import read_grey
from qdr.suite.config import PSNR_FLOOR
from qdr.suite.methods import catalogue
from qdr.suite.report.load import CONFLICT, FEATURES, SENSITIVITY, TRAINING, load
from qdr.suite.report.quality import TASK_LABELS, label, seeds, span
from qdr.suite.report.results import Results, set_name
from qdr.suite.report.style import BLUE, ORANGE, Drawing, legend, look, panels

SCHEMES = ("W8A8", "W4A4")
SHORT = {"encoder": "enc.", "decoder": "dec."}
ERRORS = {"relative": "mean |quantized - FP32| / mean |FP32|", "absolute": "mean |quantized - FP32|"}
AVERAGED = 10  # logged steps
MOST = 10  # layers in the figure of sensitivity


def gradients(results: Results) -> Drawing | None:
    """Distillation's gradient and the reconstruction's at the bottleneck: the angle between them, and their ratio.

    A column per task, a line per method and scheme: the median over the logged steps, and where 80 % of the steps are.
    """
    frame = load(results.folder / "training.csv", TRAINING)
    runs = frame[frame["bits"].isin(SCHEMES) & (frame["images"] == "all") & (frame["seed"] == 0)]
    measured = runs[runs["metric"] == "grad_cosine"]
    shared = [set(measured[measured["task"] == task]["method"]) for task in measured["task"].unique()]
    methods = [name for name in catalogue() if shared and name in set.intersection(*shared)]
    tasks = [task for task in TASK_LABELS if task in set(measured["task"])]
    if not methods:
        return None
    if len(methods) > 1:  # a column per task
        columns = [(TASK_LABELS[task], [(task, method, label(method)) for method in methods]) for task in tasks]
        figure, axes = panels(2, len(tasks), 1.25 + 0.34 * len(methods), sharex="row", sharey=True)
    else:  # a row per task
        columns = [(label(methods[0]), [(task, methods[0], TASK_LABELS[task]) for task in tasks])]
        figure, axes = panels(1, 2, 0.75 + 0.25 * len(tasks), sharey=True)
        axes = axes.T
    for (title, lines), (top, bottom) in zip(columns, axes.T, strict=True):
        for place, (task, method, _) in enumerate(lines):
            for bits, shift in zip(SCHEMES, (-0.16, 0.16), strict=True):
                table = _by_step(runs[(runs["task"] == task) & (runs["method"] == method) & (runs["bits"] == bits)])
                if "grad_cosine" not in table:
                    continue
                shade, marker = look(method)
                fill = shade if bits == SCHEMES[0] else "white"
                for axis, values in ((top, table["grad_cosine"]), (bottom, _ratio(table))):
                    low, middle, high = np.nanquantile(values, (0.1, 0.5, 0.9))
                    axis.plot((low, high), (place + shift,) * 2, color=shade, linewidth=1)
                    axis.plot(middle, place + shift, marker, color=shade, markerfacecolor=fill)
        top.axvline(0, color="black", linewidth=0.8)
        bottom.axvline(1, color="black", linewidth=0.8)
        top.set(title=title, xlabel="cosine", xlim=(-0.75, 0.75))
        bottom.set(title=title if len(methods) == 1 else "", xscale="log", xlabel="ratio of norms", xlim=(0.006, 12))
        bottom.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    for axis in axes.flat:
        axis.grid(False, axis="y")
    names = [name for *_, name in columns[0][1]]
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    caption = (
        "The gradients of distillation and of the reconstruction at the bottleneck, as training logged them: cosine between "
        "them (negative: they oppose each other), and the weighted norm of distillation's over the reconstruction's. "
        "Filled: W8A8, hollow: W4A4; the median over steps, bars: 80 % of the steps; first seed."
    )
    return Drawing(figure, caption)


def learning(results: Results) -> Drawing | None:
    """FP32 teachers while they train: PSNR of training batches against the pixels seen, a column per task."""
    schedule = results.config.fp32
    frame = load(results.folder / "training.csv", TRAINING)
    rows = frame[(frame["method"] == "fp32") & (frame["metric"] == "loss_rec") & (frame["seed"] == 0)]
    tasks = [task for task in TASK_LABELS if len(rows[rows["task"] == task]) > AVERAGED]
    if schedule.loss != "psnr" or not tasks:
        return None
    figure, axes = panels(1, len(tasks), 1.9, sharex=True)
    for axis, task in zip(axes[0], tasks, strict=True):
        logged = rows[rows["task"] == task].sort_values("step")
        pixels = (logged["step"].to_numpy() + 1) * schedule.batch * schedule.patch**2 / 1e9
        psnr = -10 * np.log10(np.expm1(10 * logged["value"]) * PSNR_FLOOR)
        mean = psnr.rolling(AVERAGED, center=True, min_periods=1).mean().to_numpy()
        axis.plot(pixels, psnr, ".", color="0.6", markersize=2)
        axis.plot(pixels, mean, color=BLUE)
        last = psnr[-AVERAGED:].mean() - psnr[(pixels > pixels[-1] / 2)][:AVERAGED].mean()
        axis.set(title=f"{TASK_LABELS[task]}\nlast doubling {last:+.1f} dB", xscale="log", xlabel="gigapixels")
        axis.set_xlim(left=pixels[-1] / 50)
    axes[0][0].set_ylabel("PSNR of a batch (dB)")
    caption = (
        "Teachers while they train: mean PSNR of a training batch, whose degradations or crops no step has seen before, "
        f"against the pixels seen so far; points: logged steps, line: mean of {AVERAGED}; first seed. Last doubling: mean "
        f"of the last {AVERAGED} logged steps minus that from half of the pixels on, the fall of the learning rate included."
    )
    return Drawing(figure, caption)


def _by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """What one run logged where it logged the cosine, a column per metric; without that column where it never did."""
    table = rows.pivot_table(index="step", columns="metric", values="value")
    return table[table["grad_cosine"].notna()] if "grad_cosine" in table else table


def _ratio(table: pd.DataFrame) -> pd.Series[float]:
    """Weighted gradient of distillation over that of the reconstruction (without labels: of the teacher's output)."""
    terms = [name.removeprefix("grad_") for name in map(str, table) if name.startswith("grad_") and name != "grad_cosine"]
    norms = {term: table[f"grad_{term}"] * table[f"weight_{term}"] for term in terms}
    anchor = "rec" if "rec" in norms else "output"
    ratio: pd.Series[float] = sum(norm for term, norm in norms.items() if term != anchor) / norms[anchor]
    return ratio.replace(0.0, np.nan)


def conflict(results: Results) -> Drawing | None:
    """Cosines between gradients on the weights in front of the bottleneck: of both losses, and of one between batches.

    A column per task, a row per scheme; a point per batch, at the start of QDR's training and at its end.
    """
    path = results.folder / "conflict.csv"
    if not path.is_file():
        return None
    frame = load(path, CONFLICT)
    if frame.empty:
        return None
    tasks, schemes = (
        [value for value in order if value in set(frame[key])] for key, order in (("task", TASK_LABELS), ("bits", SCHEMES))
    )
    pairs = list(dict.fromkeys(frame["pair"]))
    figure, axes = panels(len(schemes), len(tasks), 0.7 + 0.9 * len(schemes), sharex=True, sharey=True)
    for line, bits in zip(axes, schemes, strict=True):
        for axis, task in zip(line, tasks, strict=True):
            rows = frame[(frame["task"] == task) & (frame["bits"] == bits)]
            axis.set_visible(not rows.empty)
            for stage, shade, shift in (("start", ORANGE, -0.17), ("end", BLUE, 0.17)):
                shown = rows[rows["stage"] == stage]
                places = shown["pair"].map(pairs.index) + shift
                axis.plot(shown["value"], places, "|", color=shade, markersize=7, label=f"{stage} of training")
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set(title=f"{TASK_LABELS[task]}, {bits}", xlim=(-1, 1))
            axis.set_yticks(range(len(pairs)), pairs)
            axis.set_ylim(len(pairs) - 0.5, -0.5)
    for axis in axes[-1]:
        axis.set_xlabel("cosine")
    legend(figure)
    caption = (
        "Gradients of reconstruction and of Decoder-Free Distillation on the weights in front of the bottleneck: cosines "
        "(negative: they oppose each other) between both on one batch; and what batches have in common anyway, between both "
        f"on two batches and between two batches of one loss. {frame['batch'].nunique()} batches, first seed."
    )
    return Drawing(figure, caption)


def error_growth(results: Results, error: str = "relative") -> Drawing | None:
    """A row per scheme, a column per test set: error of the features, level by level, a line per method."""
    frame = load(results.folder / "features.csv", FEATURES)
    frame = frame[(frame["images"] == "all") & frame["bits"].isin(SCHEMES) & (frame["error"] == error)]
    schemes = [bits for bits in SCHEMES if bits in set(frame["bits"])]
    sets = [(t, str(s)) for t in TASK_LABELS for s in frame[frame["task"] == t]["split"].unique()]
    if not sets:
        return None
    shared = set.intersection(*(set(frame[frame["task"] == task]["method"]) for task, _ in sets))
    methods = [name for name, recipe in catalogue().items() if name in shared and recipe.model == "efm"]
    shown = frame[frame["method"].isin(methods)]
    cells = [(bits, *where) for bits in schemes for where in sets]
    parts = {
        cell: shown[(shown["bits"] == cell[0]) & (shown["task"] == cell[1]) & (shown["split"] == cell[2])] for cell in cells
    }
    parts = {cell: rows for cell, rows in parts.items() if len(rows)}
    columns = len(parts) if len(parts) <= 5 else len(sets)
    lines = -(-len(parts) // columns)
    figure, axes = panels(lines, columns, 0.9 + 1.25 * lines, sharex=True, sharey=True)
    for axis, ((bits, *where), rows) in zip(axes.flat, parts.items(), strict=False):
        for method in methods:
            mean = rows[rows["method"] == method].groupby("place")["value"].mean()
            shade, marker = look(method)
            if len(mean):
                style = {"markersize": 6, "linewidth": 1.6} if method == "qdr" else {"markersize": 3.5, "linewidth": 0.9}
                axis.plot(mean, marker=marker, color=shade, label=label(method), **style)
        levels = rows.drop_duplicates("place").sort_values("place")
        names = [_short(level) for level in levels["level"]]
        axis.set_xticks(levels["place"], names, rotation=45, ha="right", rotation_mode="anchor", fontsize=6.5)
        axis.set_yscale("log")
        axis.set_title(f"{set_name(*where)}, {bits}", fontsize=7.5)
    for axis in axes.flat[len(parts) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{error} error")
    legend(figure)
    caption = (
        f"Error of the features of quantized models, {ERRORS[error]}, from the first level of "
        f"the encoder to the output; fake quantization, {span(frame.groupby(['task', 'split'])['image'].nunique())} test "
        f"images, {seeds(frame)}; one logarithmic scale."
    )
    return Drawing(figure, caption)


def _short(level: str) -> str:
    """A level of the network as ticks name it.

    >>> _short("encoder.0"), _short("bottleneck")
    ('enc. 1', 'bottleneck')
    """
    name, _, number = level.partition(".")
    return f"{SHORT[name]} {int(number) + 1}" if number else level


def ldg_gates(results: Results) -> Drawing | None:
    """Per task the value of LDG's gates against the true degradation, pixel by pixel: does a gate open where it is bad?"""
    folder = results.folder / "gates"
    tasks = [task for task in TASK_LABELS if (folder / task / "truth.png").is_file()]
    if not tasks:
        return None
    figure, axes = panels(1, len(tasks), 2.0, sharex=True, sharey=True)
    for axis, task in zip(axes[0], tasks, strict=True):
        truth = _grey(folder / task / "truth.png")
        for level, (shade, line, marker) in enumerate(((BLUE, "-", "o"), (ORANGE, "--", "s"))):
            path = folder / task / f"gate{level}.png"
            if not path.is_file():
                continue
            gate = _grey(path)
            small = np.asarray(Image.fromarray(truth).resize(gate.shape[::-1], Image.Resampling.BOX))
            edges = np.quantile(small, np.linspace(0, 1, 9))
            bins = np.clip(np.searchsorted(edges, small, side="right") - 1, 0, 7)
            x, low, middle, high = np.array(
                [(small[bins == b].mean(), *np.quantile(gate[bins == b], (0.05, 0.5, 0.95))) for b in np.unique(bins)]
            ).T
            axis.fill_between(x, low, high, color=shade, alpha=0.15, linewidth=0)
            name = f"gate at 1/{4 << level}: r = {_correlation(gate, small):+.2f}"
            axis.plot(x, middle, line, marker=marker, markersize=3, color=shade, label=name)
        axis.set_title(TASK_LABELS[task])
        axis.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), xlabel="true degradation")
        axis.legend(loc="upper left", fontsize=6.5, borderaxespad=0.1, handlelength=1.5)
    axes[0][0].set_ylabel("gate")
    caption = (
        "Do the gates of Learnable Degradation Gating open where the degradation is strong? Values of the FP32 model's two "
        "gates over the true degradation map of one photograph per task, both from 0 to 1: the median of eight equally "
        "filled bins of pixels, bands from the 5th to the 95th percentile; r: Pearson's correlation over pixels."
    )
    return Drawing(figure, caption)


def _grey(path: Path) -> NDArray[np.float32]:
    """A map as it was saved, [height, width] in [0, 1]."""
    return np.divide(read_grey(path), 255, dtype=np.float32)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson's r over pixels; nan where a map is constant."""
    return float("nan") if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def sensitivity(results: Results) -> Drawing:
    """The layers that change PSNR most when only they are quantized, every scheme on one scale."""
    frame = load(results.folder / "sensitivity.csv", SENSITIVITY)
    schemes = [bits for bits in SCHEMES if bits in set(frame["bits"])]
    fewest = frame[frame["bits"] == schemes[-1]]
    order = fewest.reindex(fewest["psnr_drop_db"].abs().sort_values(ascending=False, kind="stable").index)[:MOST]
    layers = list(order[["layer", "kind"]].itertuples(index=False, name=None))
    figure, axes = panels(1, 1, 0.75 + 0.18 * len(layers))
    axis = axes[0][0]
    axis.axvline(0, color="black", linewidth=0.8)
    for bits, shift in zip(schemes, (-0.15, 0.15), strict=False):
        for kind, shade in (("weights", BLUE), ("activations", ORANGE)):
            rows = frame[(frame["bits"] == bits) & (frame["kind"] == kind)]
            found = dict(zip(rows["layer"].tolist(), rows["psnr_drop_db"].tolist(), strict=True))
            y = [place for place, (name, what) in enumerate(layers) if what == kind and name in found]
            x = [found[layers[place][0]] for place in y]
            marker, fill = "s" if kind == "weights" else "o", shade if bits == schemes[-1] else "white"
            places = np.array(y) + shift
            axis.hlines(places, 0, x, color=shade, linewidth=0.8)
            if y:
                axis.plot(x, places, marker, color=shade, markerfacecolor=fill, label=f"{bits}, {kind}")
    axis.set_yticks(range(len(layers)), [name for name, _ in layers])
    axis.set_ylim(len(layers) - 0.4, -0.6)
    axis.grid(False, axis="y")
    axis.set_xlabel("PSNR lost (dB)")
    legend(figure, axis, 2)
    task = TASK_LABELS[str(frame["task"].iloc[0])]
    largest = frame[frame["bits"] == schemes[0]]["psnr_drop_db"].max()
    caption = (
        f"PSNR lost when one layer is quantized after training and all others stay FP32, {task}, validation scenes: the "
        f"{len(layers)} of {len(fewest)} that change most at {schemes[-1]}. At {schemes[0]} no layer loses more than "
        f"{max(largest, 0):.2f} dB. Negative: PSNR rises."
    )
    return Drawing(figure, caption)
